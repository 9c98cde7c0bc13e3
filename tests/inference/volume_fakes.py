"""A model of objects that are as bright as nothing else, for tests of volumes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from napari_sam.geometry import resample
from napari_sam.inference.framing import ImageEmbedding, LowResMasks
from napari_sam.inference.postprocess import DrawnMask, draw_mask
from napari_sam.inference.preprocess import to_model_image
from napari_sam.structures import Frame, MaskPrediction, PromptSet


@dataclass(frozen=True, eq=False)
class BrightEmbedding(ImageEmbedding):
    """The slice itself."""

    pixels: NDArray[np.float32]


class BrightFraming:
    """Answers with the bright pieces that the prompts touch most."""

    def __init__(self) -> None:
        self.encoded = 0
        self.asked: list[int] = []

    def encode(self, image: NDArray[np.float32]) -> BrightEmbedding:
        self.encoded += 1
        return BrightEmbedding(image.shape[1:], "bright", image)

    def decode(
        self, embedding: Any, prompts: Sequence[PromptSet], multimask_output: bool
    ) -> list[MaskPrediction]:
        count = 3 if multimask_output else 1
        found = []
        for each in prompts:
            mask, rating = self._answer(embedding, each)
            masks = np.stack([mask] * count)
            ratings = np.array([rating, 0.1, 0.1][:count], np.float32)
            logits = np.where(masks, 8.0, -8.0).astype(np.float32)
            frame = Frame((0.0, 0.0), (1.0, 1.0), mask.shape)
            found.append(MaskPrediction(masks, ratings, ratings, logits, frame))
        return found

    def decode_low_res(
        self, embedding: Any, prompts: Sequence[PromptSet], multimask_output: bool
    ) -> list[LowResMasks]:
        self.asked.append(len(prompts))
        found = self.decode(embedding, prompts, multimask_output)
        return [
            LowResMasks(
                torch.from_numpy(each.low_res_masks),
                torch.from_numpy(each.predicted_iou),
                each.frame,
            )
            for each in found
        ]

    def draw(
        self, embedding: Any, logits: torch.Tensor, frame: Frame, offset: float
    ) -> DrawnMask | None:
        return draw_mask(logits, frame, embedding.image_shape, offset)

    def _answer(
        self, embedding: BrightEmbedding, prompts: PromptSet
    ) -> tuple[NDArray[np.bool_], float]:
        bright = embedding.pixels[0] > 0.5
        pieces, _ = ndimage.label(bright)
        votes = np.zeros(bright.shape, dtype=bool)
        for point in prompts.points:
            row, col = (int(side) for side in point.position)
            votes[row, col] = point.positive
        if prompts.mask is not None:
            values = np.asarray(prompts.mask.values) > 0
            frame = prompts.mask.frame or Frame((0.0, 0.0), (1.0, 1.0), values.shape)
            whole = Frame((0.0, 0.0), (1.0, 1.0), bright.shape)
            votes |= resample(values, frame, whole) > 0.5
        elif prompts.box is not None:
            (row0, col0), (row1, col1) = prompts.box.start, prompts.box.stop
            votes[int(row0) : int(row1), int(col0) : int(col1)] = True
        counts = np.bincount(pieces[votes], minlength=2)
        counts[0] = 0
        if not counts.any():
            return np.zeros_like(bright), 0.1
        return pieces == counts.argmax(), 0.9


class BrightPredictor:
    """What a volume needs of `SamPredictor`, over the framing above."""

    def __init__(self) -> None:
        self.framing = BrightFraming()
        config = SimpleNamespace(normalisation="pocket")
        self.model = SimpleNamespace(name="bright", checkpoint_sha256="", config=config)
        self._embedding: Any = None

    def preprocess(self, image: NDArray[Any], **settings: Any) -> NDArray[np.float32]:
        return to_model_image(image, normalisation="pocket", **settings)

    def set_embedding(self, embedding: ImageEmbedding) -> None:
        self._embedding = embedding

    def predict_batch(
        self, prompts: Sequence[PromptSet], multimask_output: bool = True
    ) -> list[MaskPrediction]:
        return self.framing.decode(self._embedding, prompts, multimask_output)


def balls(
    shape: tuple[int, int, int], centres: Sequence[tuple[float, ...]], radius: float
) -> NDArray[np.int32]:
    """Labels of balls, numbered from 1."""
    grid = np.stack(np.meshgrid(*map(np.arange, shape), indexing="ij"), axis=-1)
    labels = np.zeros(shape, np.int32)
    for number, centre in enumerate(centres, start=1):
        labels[((grid - np.array(centre)) ** 2).sum(-1) <= radius**2] = number
    return labels
