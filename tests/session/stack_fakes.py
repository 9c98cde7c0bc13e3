"""A predictor for stacks: the bright pieces that the prompts touch."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam.structures import MaskPrediction, PromptSet

FAKES = Path(__file__).parent.parent / "inference" / "volume_fakes.py"


def _load(path: Path) -> ModuleType:
    """Load the fakes of the volumes' tests, which are in another package."""
    spec = importlib.util.spec_from_file_location("volume_fakes", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


fakes = _load(FAKES)
balls: Callable[..., NDArray[np.int32]] = fakes.balls


class StackPredictor(fakes.BrightPredictor):  # type: ignore[misc, name-defined]
    """Answers for single slices too, as a session asks before it propagates."""

    def __init__(self) -> None:
        super().__init__()
        self.model.device = "cpu"
        self.on_encode: Callable[[], None] | None = None
        self.read: list[tuple[int, ...]] = []

    @property
    def embedding(self) -> Any:
        return self._embedding

    def preprocess(self, image: NDArray[Any], **settings: Any) -> NDArray[np.float32]:
        if self.on_encode is not None:
            self.on_encode()
        self.read.append(image.shape)
        pixels: NDArray[np.float32] = super().preprocess(image, **settings)
        return pixels

    def set_image(self, image: NDArray[Any], **settings: Any) -> None:
        limits = settings.pop("contrast_limits", None) or (0, 3000)
        pixels = super().preprocess(image, contrast_limits=limits, **settings)
        self._embedding = self.framing.encode(pixels)

    def predict(
        self, prompts: PromptSet, *, multimask_output: bool = True
    ) -> MaskPrediction:
        found: MaskPrediction = self.predict_batch([prompts], multimask_output)[0]
        return found

    def predict_steps(
        self, prompts: PromptSet, multimask_output: bool = True, *, quick: bool = False
    ) -> Iterator[MaskPrediction]:
        yield self.predict(prompts, multimask_output=multimask_output)
