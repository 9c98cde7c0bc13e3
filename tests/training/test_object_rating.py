"""Pocket learns which of its own suggestions are objects."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats

from napari_sam.errors import DataError
from napari_sam.inference.automatic import segment_everything
from napari_sam.inference.predictor import SamPredictor
from napari_sam.nn.pocket import Pocket
from napari_sam.nn.pocket_objects import HINTS
from napari_sam.nn.registry import create_model
from napari_sam.samples import load_sample
from napari_sam.training.object_rating import ObjectTable, fit_object_head, tabulate


def tables(model: Pocket, count: int = 1500) -> list[ObjectTable]:
    """Suggestions whose worth two of the hints tell, and as many that say nothing."""
    rng = torch.Generator().manual_seed(1)
    found = []
    for kind in ("nuclei", "cells"):
        seen = torch.randn(count, model.object_head.width, generator=rng)
        iou = torch.sigmoid(2 * seen[:, 0] - 2 * seen[:, HINTS])
        found.append(ObjectTable(kind, seen, iou))
    return found


def test_a_fitted_head_ranks_suggestions_it_has_not_seen() -> None:
    torch.manual_seed(0)
    model = Pocket().eval()
    known, new = tables(model)
    losses = fit_object_head(model, [known], steps=200)
    assert np.mean(losses[-20:]) < 0.9 * np.mean(losses[:20])
    assert model.object_head.is_fitted
    with torch.no_grad():
        ratings = model.object_head.rate(new.seen)
    assert stats.spearmanr(ratings, new.iou).statistic > 0.7


def test_nothing_but_the_head_changes_and_a_seed_gives_the_same() -> None:
    torch.manual_seed(0)
    model = Pocket().eval()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    random = torch.random.get_rng_state()
    fit_object_head(model, tables(model), steps=5, seed=3)
    torch.testing.assert_close(torch.random.get_rng_state(), random)
    first = {name: value.clone() for name, value in model.state_dict().items()}
    changed = {name for name in before if not before[name].equal(first[name])}
    assert changed
    assert all(name.startswith("object_head.") for name in changed)
    fit_object_head(model, tables(model), steps=5, seed=3)
    for name, value in model.state_dict().items():
        torch.testing.assert_close(value, first[name])


def test_no_suggestion_is_refused() -> None:
    model = Pocket().eval()
    empty = ObjectTable(
        "nuclei", torch.zeros(0, model.object_head.width), torch.ones(0)
    )
    with pytest.raises(DataError, match="suggests nothing"):
        fit_object_head(model, [empty])


def test_the_bundled_model_s_suggestions_are_compared_with_the_truth() -> None:
    sample = load_sample("fluorescence_nuclei")
    predictor = SamPredictor(create_model("pocket", dtype="float32"))
    predictor.set_image(sample.image)
    table = tabulate(predictor, "nuclei", sample.labels)
    assert table.seen.shape == (len(table.iou), predictor.model.object_head.width)
    assert torch.isfinite(table.seen).all()
    assert (table.iou > 0.7).sum() >= 0.6 * sample.labels.max()
    nothing = tabulate(predictor, "nuclei", np.zeros_like(sample.labels))
    assert not nothing.iou.any()
    # And the shipped head rates them as they deserve.
    with torch.no_grad():
        ratings: Any = predictor.model.object_head.rate(table.seen)
    assert stats.spearmanr(ratings, table.iou).statistic > 0.5
    records = segment_everything(predictor).records
    assert {round(each.predicted_iou, 4) for each in records} & {
        round(float(each), 4) for each in ratings
    }
