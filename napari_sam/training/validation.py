"""One-click IoU on windows that a run never fits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_sam.errors import DataError
from napari_sam.training.batches import choose_objects
from napari_sam.training.frames import plain_frame
from napari_sam.training.learner import Learner
from napari_sam.training.losses import mask_iou
from napari_sam.training.prompts import (
    PromptBatch,
    PromptConfig,
    first_prompts,
    half_resolution,
    inner_depth,
)
from napari_sam.training.reading import StoredImage, TrainingImage
from napari_sam.training.recipe import Recipe
from napari_sam.training.rounds import autocast, choose, decode

# Apart from the random numbers of every step.
STREAM = 2**32
# Draws that may find no object of use, for each window wanted.
TRIES = 20
# Whole images take a SAM seconds each, and hold more objects than a piece does.
WHOLE_WINDOWS = 12
OBJECTS = 4


@dataclass(frozen=True, eq=False)
class _Window:
    image: NDArray[np.float32]
    truth: Tensor
    prompts: PromptBatch


class Validation:
    """Windows of held-back images, each object clicked once in its middle.

    Parameters
    ----------
    images : sequence of TrainingImage or StoredImage
        At least one.
    recipe : Recipe
    windows : int
        How many are cut, taking the images in turn. Whole images are taken once, with
        more objects of each.

    Raises
    ------
    DataError
        No object is large enough to be clicked.
    """

    def __init__(
        self,
        images: Sequence[TrainingImage | StoredImage],
        recipe: Recipe,
        windows: int = 24,
    ) -> None:
        self.recipe = recipe
        if recipe.frame != "cut":
            windows = min(windows, len(images), WHOLE_WINDOWS)
            recipe = replace(recipe, objects=OBJECTS * recipe.objects)
        self._windows: list[_Window] = []
        rng = np.random.default_rng([recipe.seed, STREAM])
        for number in range(windows * TRIES):
            window = plain_frame(images[number % len(images)].opened(), rng, recipe)
            ids = choose_objects(window, rng, recipe)
            if ids:
                masks = np.stack([window.labels == each for each in ids])
                self._windows.append(_clicked(window.image, masks))
            if len(self._windows) == windows:
                break
        if not self._windows:
            raise DataError(
                "No object of the held-back images can be used: label larger ones, or"
                " set validation to 0."
            )

    def __len__(self) -> int:
        return len(self._windows)

    @torch.no_grad()
    def one_click_iou(self, model: Learner) -> float:
        """Mean IoU of the masks a model thinks best; leaves the model in eval mode."""
        model.eval()
        ious = torch.cat([self._ious(model, window) for window in self._windows])
        return float(ious.mean())

    def _ious(self, model: Learner, window: _Window) -> Tensor:
        with autocast(self.recipe):
            features = model.encode(torch.from_numpy(window.image)[None])
        count = len(window.truth)
        features = features.select(torch.zeros(count, dtype=torch.long))
        logits, predicted_iou = decode(model, features, window.prompts, self.recipe)
        pick = choose(predicted_iou, window.prompts.ambiguous)
        return mask_iou(logits[torch.arange(count), pick], window.truth)


def _clicked(image: NDArray[np.float32], masks: NDArray[np.bool_]) -> _Window:
    clicks = PromptConfig(box=0.0, mask=0.0)
    prompts = first_prompts(masks, np.random.default_rng(0), clicks)
    for index, mask in enumerate(masks):
        row, col = np.unravel_index(int(inner_depth(mask).argmax()), mask.shape)
        prompts.coords[index, 0] = torch.tensor([float(col), float(row)])
    return _Window(image, half_resolution(masks), prompts)
