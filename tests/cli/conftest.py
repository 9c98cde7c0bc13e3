"""A predictor that draws what it is asked for: the plumbing, without a model."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import imageio.v3 as imageio
import numpy as np
import pytest

from napari_sam.cli import demonstration, main, segmenting
from napari_sam.structures import Frame, MaskPrediction, PromptSet

Run = Callable[..., tuple[int, str, str]]


@dataclass
class DrawingPredictor:
    """Fills boxes, copies masks, and puts a 5 x 5 square on each positive point."""

    model: Any = field(
        default_factory=lambda: SimpleNamespace(
            name="drawing",
            device="cpu",
            compute_dtype="torch.float32",
            checkpoint_sha256="abc",
        )
    )
    embedding: Any = None
    channel_axis: int | None = None
    asked: list[tuple[PromptSet, bool]] = field(default_factory=list)

    def set_image(self, image: np.ndarray, channel_axis: int | None = None) -> None:
        self.channel_axis = channel_axis
        sides = np.delete(image.shape, channel_axis) if channel_axis else image.shape
        self.embedding = SimpleNamespace(image_shape=tuple(int(s) for s in sides[:2]))

    def predict_batch(
        self, prompts: list[PromptSet], multimask_output: bool = True
    ) -> list[MaskPrediction]:
        self.asked += [(each, multimask_output) for each in prompts]
        return [self._draw(each, 3 if multimask_output else 1) for each in prompts]

    def _draw(self, prompts: PromptSet, count: int) -> MaskPrediction:
        mask = np.zeros(self.embedding.image_shape, bool)
        if prompts.mask is not None:
            mask |= prompts.mask.values > 0
        if prompts.box is not None:
            (top, left), (bottom, right) = prompts.box.start, prompts.box.stop
            mask[int(top) : int(bottom), int(left) : int(right)] = True
        for point in prompts.points:
            row, col = (int(each) for each in point.position)
            mask[row - 2 : row + 3, col - 2 : col + 3] = point.positive
        # The middle candidate is the best; the others are empty.
        masks = np.stack(
            [mask if k == count // 2 else mask & False for k in range(count)]
        )
        scores = np.where(masks.any(axis=(1, 2)), 0.9, 0.1).astype(np.float32)
        logits = np.where(masks, 8, -8).astype(np.float32)
        frame = Frame((0.0, 0.0), (1.0, 1.0), self.embedding.image_shape)
        return MaskPrediction(masks, scores, scores, logits, frame)


@pytest.fixture
def predictor(monkeypatch: pytest.MonkeyPatch) -> DrawingPredictor:
    """Put a drawing predictor in the place of every model."""
    drawing = DrawingPredictor()
    for module in (segmenting, demonstration):
        monkeypatch.setattr(module, "load_predictor", lambda *_: drawing)
    return drawing


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Run:
    """Run the program in this process: exit code, stdout, stderr."""

    def run_program(*arguments: object) -> tuple[int, str, str]:
        code = main([str(each) for each in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return run_program


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """A grey PNG of 40 x 60 pixels."""
    pixels = np.random.default_rng(0).integers(0, 255, (40, 60), np.uint8)
    path = tmp_path / "image.png"
    imageio.imwrite(path, pixels)
    return path
