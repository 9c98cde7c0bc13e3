"""A batch is a function of the seed and its step, and of nothing else."""

from __future__ import annotations

from dataclasses import fields, replace
from itertools import islice

import numpy as np
import pytest
import torch

from napari_sam.training.batches import Batch, BatchStream, make_batch
from napari_sam.training.prompts import PromptConfig
from napari_sam.training.recipe import Recipe

from .conftest import DiscSource


def flat(batch: Batch) -> list[torch.Tensor]:
    tensors = [getattr(batch, item.name) for item in fields(batch)]
    prompts = tensors.pop()
    return tensors + [getattr(prompts, item.name) for item in fields(prompts)]


def same(one: Batch, other: Batch) -> bool:
    return all(torch.equal(*pair) for pair in zip(flat(one), flat(other), strict=True))


def test_a_batch_is_well_formed(discs: DiscSource, recipe: Recipe) -> None:
    batch = make_batch(discs, recipe, 0)
    count = len(batch.truth)
    assert batch.images.shape == (4, 3, 64, 64)
    assert batch.dense.shape == (4, 4, 32, 32)
    assert batch.complete.tolist() == [True] * 4
    assert 4 <= count <= 8
    assert batch.window_index.unique().tolist() == [0, 1, 2, 3]
    assert batch.truth.shape == (count, 32, 32)
    assert batch.truth.amax((1, 2)).min() > 0
    assert len(batch.is_object) == len(batch.prompts.coords) == count


def test_a_batch_depends_on_seed_and_step_alone(
    discs: DiscSource, recipe: Recipe
) -> None:
    batch = make_batch(discs, recipe, 7)
    np.random.default_rng().random()
    torch.rand(3)
    assert same(batch, make_batch(discs, recipe, 7))
    assert not torch.equal(batch.images, make_batch(discs, recipe, 8).images)
    other_seed = replace(recipe, seed=1)
    assert not torch.equal(batch.images, make_batch(discs, other_seed, 7).images)


def test_a_stream_that_starts_later_goes_on_the_same(
    discs: DiscSource, recipe: Recipe
) -> None:
    whole = list(islice(BatchStream(discs, recipe), 3))
    late = next(iter(BatchStream(discs, recipe, start=2).loader()))
    assert same(whole[2], late)


def test_clicks_on_background_are_no_objects(discs: DiscSource, recipe: Recipe) -> None:
    clicks = PromptConfig(box=0.0, mask=0.0)
    batch = make_batch(discs, replace(recipe, background=1.0, prompts=clicks), 0)
    assert not batch.is_object.any()
    foreground = batch.dense[:, 0]
    for window, (x, y) in zip(
        batch.window_index, batch.prompts.coords[:, 0], strict=True
    ):
        # Foreground is thinned to the odd pixels: look at the one that is clicked.
        if x % 2 == 1 and y % 2 == 1:
            assert foreground[window, int(y) // 2, int(x) // 2] == 0
    assert batch.truth.sum((1, 2)).max() <= 1


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_the_share_of_background_clicks(
    discs: DiscSource, recipe: Recipe, share: float
) -> None:
    batches = [
        make_batch(discs, replace(recipe, background=share), step) for step in range(8)
    ]
    objects = torch.cat([batch.is_object for batch in batches]).float()
    assert float(objects.mean()) == pytest.approx(1 - share, abs=0.2 * (share > 0))
