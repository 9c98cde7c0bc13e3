"""Batches of training windows, drawn in a process of their own."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, IterableDataset

from napari_sam.training.augment import TrainingWindow
from napari_sam.training.datasets import Source
from napari_sam.training.frames import draw_frame
from napari_sam.training.prompts import (
    PromptBatch,
    first_prompts,
    half_resolution,
)
from napari_sam.training.recipe import Recipe
from napari_sam.training.targets import dense_targets


@dataclass
class Batch:
    """One step's windows and prompted objects.

    Attributes
    ----------
    images : Tensor
        (B, 3, N, N) in 0..1.
    dense : Tensor
        (B, 4, N / 2, N / 2), targets of the dense head.
    complete : Tensor
        (B,) bool.
    window_index : Tensor
        (M,), the window each object is in.
    truth : Tensor
        (M, N / 2, N / 2), covered share.
    is_object : Tensor
        (M,) bool; False for a click on background.
    prompts : PromptBatch
        Of the M objects.
    """

    images: Tensor
    dense: Tensor
    complete: Tensor
    window_index: Tensor
    truth: Tensor
    is_object: Tensor
    prompts: PromptBatch


class BatchStream(IterableDataset):
    """Batches of a run, each a function of the seed and its step alone.

    Parameters
    ----------
    source : Source
    recipe : Recipe
    start : int
        First step; a resumed run goes on with the batch that comes next.
    """

    def __init__(self, source: Source, recipe: Recipe, start: int = 0) -> None:
        self.source = source
        self.recipe = recipe
        self.start = start

    def __iter__(self) -> Iterator[Batch]:
        step = self.start
        while True:
            yield make_batch(self.source, self.recipe, step)
            step += 1

    def loader(self) -> DataLoader[Batch]:
        """Return a loader that draws ahead in one worker process, of one thread."""
        return DataLoader(self, batch_size=None, num_workers=1, prefetch_factor=4)


def make_batch(source: Source, recipe: Recipe, step: int) -> Batch:
    """Draw the batch of one step."""
    rng = np.random.default_rng([recipe.seed, step])
    windows: list[TrainingWindow] = []
    masks: list[NDArray[np.bool_]] = []
    index: list[int] = []
    real: list[bool] = []
    while len(windows) < recipe.images:
        window = draw_frame(source.draw(rng), rng, recipe)
        ids = choose_objects(window, rng, recipe)
        if not ids:
            continue
        for identity in ids:
            mask, is_object = choose_mask(window, identity, rng, recipe)
            masks.append(mask)
            index.append(len(windows))
            real.append(is_object)
        windows.append(window)
    stacked = np.stack(masks)
    # The dense head answers at half resolution; labels are thinned to match.
    dense = [dense_targets(window.labels)[:, 1::2, 1::2] for window in windows]
    return Batch(
        torch.from_numpy(np.stack([window.image for window in windows])),
        torch.from_numpy(np.stack(dense)),
        torch.tensor([window.complete for window in windows]),
        torch.tensor(index),
        half_resolution(stacked),
        torch.tensor(real),
        first_prompts(stacked, rng, recipe.prompts),
    )


def choose_objects(
    window: TrainingWindow, rng: np.random.Generator, recipe: Recipe
) -> list[int]:
    """Ids to prompt for: the anchor first, then others at random."""
    areas = np.bincount(window.labels.ravel())
    areas[0] = 0
    ids = np.flatnonzero(areas >= recipe.augment.minimum_area)
    if len(ids) == 0:
        return []
    others = rng.permutation(ids[ids != window.anchor])
    first = [window.anchor] if window.anchor in ids else []
    return [int(i) for i in [*first, *others][: recipe.objects]]


def choose_mask(
    window: TrainingWindow, identity: int, rng: np.random.Generator, recipe: Recipe
) -> tuple[NDArray[np.bool_], bool]:
    """The object's mask, or now and then a piece of background (False)."""
    if window.complete and rng.random() < recipe.background:
        background = window.labels == 0
        if background.mean() > 0.05:
            rows, cols = np.nonzero(background)
            pick = rng.integers(len(rows))
            spot = np.zeros_like(background)
            row, col = rows[pick], cols[pick]
            spot[row : row + 2, col : col + 2] = True
            return spot & background, False
    return window.labels == identity, True
