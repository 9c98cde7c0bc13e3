"""A predictor that knows the truth and errs as the tests wish."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import imageio.v3 as imageio
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import binary_erosion

from napari_sam.structures import Frame, MaskPrediction, PromptSet


@dataclass
class KnowingPredictor:
    """Answers with the square at the first prompt, eroded less with each click.

    Squares of 12 pixels lie on a grid of 20: the object of a prompt is the square of
    its cell. A first click gets a mask eroded twice, each further click once less. The
    second of three candidates is perfect, but rated lowest.
    """

    overrate: float = 0.0
    shape: tuple[int, int] = (0, 0)
    asked: list[tuple[PromptSet, bool]] = field(default_factory=list)

    def set_image(self, image: NDArray[Any], *, channel_axis: int | None) -> None:
        sides = [s for axis, s in enumerate(image.shape) if axis != channel_axis]
        self.shape = (sides[0], sides[1])

    def predict_batch(
        self, prompts: Sequence[PromptSet], multimask_output: bool = True
    ) -> list[MaskPrediction]:
        self.asked += [(each, multimask_output) for each in prompts]
        return [self._answer(each, multimask_output) for each in prompts]

    def _answer(self, prompts: PromptSet, multimask_output: bool) -> MaskPrediction:
        start = prompts.box.start if prompts.box else prompts.points[0].position
        row, col = (20 * int(side // 20) + 4 for side in start)
        truth = np.zeros(self.shape, dtype=bool)
        truth[row : row + 12, col : col + 12] = True
        rounds = max(2 - max(len(prompts.points) - 1, 0), 0) if prompts.points else 1
        chosen = binary_erosion(truth, iterations=rounds) if rounds else truth
        masks = [chosen, truth, ~truth] if multimask_output else [chosen]
        iou = chosen.sum() / truth.sum() + self.overrate
        ratings = np.array([iou, iou - 0.3, iou - 0.4][: len(masks)], np.float32)
        stacked = np.stack(masks)
        logits = np.where(stacked, 4.0, -4.0).astype(np.float32)
        frame = Frame((0.0, 0.0), (1.0, 1.0), self.shape)
        return MaskPrediction(stacked, ratings, ratings, logits, frame)


def grid_labels(rows: int, cols: int) -> NDArray[np.uint16]:
    """Squares of 12 pixels in cells of 20, numbered from 1."""
    labels = np.zeros((20 * rows, 20 * cols), np.uint16)
    for index in range(rows * cols):
        top, left = 20 * (index // cols) + 4, 20 * (index % cols) + 4
        labels[top : top + 12, left : left + 12] = index + 1
    return labels


def write_set(folder: Path, images: int = 1, rows: int = 2, cols: int = 3) -> Path:
    """Write a data set of bright squares on dark ground."""
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True)
    labels = grid_labels(rows, cols)
    for index in range(images):
        pixels = np.where(labels > 0, 180, 30).astype(np.uint8)
        imageio.imwrite(folder / "images" / f"field{index}.png", pixels)
        imageio.imwrite(folder / "labels" / f"field{index}.png", labels)
    return folder


@pytest.fixture
def knowing() -> KnowingPredictor:
    return KnowingPredictor()
