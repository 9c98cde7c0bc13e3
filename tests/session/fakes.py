"""A predictor whose masks are known: discs around clicks."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam.errors import PromptError
from napari_sam.geometry import resample
from napari_sam.structures import Frame, MaskPrediction, PromptSet

RADII = (3.0, 6.0, 9.0)
SHAPE = (64, 80)


def disc(
    shape: tuple[int, int], centre: tuple[float, float], radius: float
) -> NDArray[np.bool_]:
    rows, cols = np.ogrid[: shape[0], : shape[1]]
    inside: NDArray[np.bool_] = (rows - centre[0]) ** 2 + (
        cols - centre[1]
    ) ** 2 <= radius**2
    return inside


class DiscPredictor:
    """Masks are discs of three sizes; the middle one has the highest predicted IoU."""

    def __init__(self) -> None:
        self.model = SimpleNamespace(name="discs", device="cpu", checkpoint_sha256="d")
        self.embedding: Any = None
        self.encoded: list[NDArray[Any]] = []
        self.asked: list[PromptSet] = []

    def set_image(self, image: Any, **_: Any) -> None:
        array = np.asarray(image)
        self.encoded.append(array)
        self.embedding = SimpleNamespace(shape=array.shape[:2], model_name="discs")

    def set_embedding(self, embedding: Any) -> None:
        self.embedding = embedding

    def predict(
        self, prompts: PromptSet, *, multimask_output: bool = True
    ) -> MaskPrediction:
        self.asked.append(prompts)
        return self.predict_batch([prompts], multimask_output)[0]

    def predict_steps(
        self, prompts: PromptSet, multimask_output: bool = True, *, quick: bool = False
    ) -> Iterator[MaskPrediction]:
        yield self.predict(prompts, multimask_output=multimask_output)

    def predict_batch(
        self, prompts: list[PromptSet], multimask_output: bool = True
    ) -> list[MaskPrediction]:
        radii = RADII if multimask_output else RADII[1:2]
        return [self._prediction(each, radii) for each in prompts]

    def _prediction(
        self, prompts: PromptSet, radii: tuple[float, ...]
    ) -> MaskPrediction:
        shape = self.embedding.shape
        if any(point.position[0] > shape[0] for point in prompts.points):
            raise PromptError("The point is outside.")
        masks = np.stack([_mask(shape, prompts, radius) for radius in radii])
        logits = np.where(masks, 4.0, -4.0).astype(np.float32)
        iou = np.array([0.9 if r == RADII[1] else 0.5 for r in radii], np.float32)
        frame = Frame((0.0, 0.0), (1.0, 1.0), shape)
        return MaskPrediction(masks, iou, iou, logits, frame)


def _mask(shape: Any, prompts: PromptSet, radius: float) -> NDArray[np.bool_]:
    mask = np.zeros(shape, bool)
    if prompts.mask is not None and prompts.mask.frame is None:
        mask |= prompts.mask.values
    elif prompts.mask is not None:
        whole = Frame((0.0, 0.0), (1.0, 1.0), shape)
        mask |= resample(prompts.mask.values, prompts.mask.frame, whole, fill=-1) > 0
    if prompts.box is not None:
        (row0, col0), (row1, col1) = prompts.box.start, prompts.box.stop
        mask[round(row0) : round(row1), round(col0) : round(col1)] = True
    for point in prompts.points:
        if point.positive:
            mask |= disc(shape, point.position, radius)
    for point in prompts.points:
        if not point.positive:
            mask &= ~disc(shape, point.position, 3.0)
    return mask
