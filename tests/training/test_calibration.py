"""Calibrated ratings lie on the fitted line, and masks stay as they were."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_sam.errors import DataError
from napari_sam.evaluation.benchmark import ObjectRecord, SetResult
from napari_sam.evaluation.trials import Step
from napari_sam.nn.pocket import Pocket
from napari_sam.training.calibration import RatingLine, apply_ratings, fit_ratings


def result_of(name: str, pairs: list[tuple[float, float]]) -> SetResult:
    records = [
        ObjectRecord("image", number, 100, points=(Step(true, predicted),))
        for number, (predicted, true) in enumerate(pairs)
    ]
    return SetResult(name, 1, records=records)


def test_the_line_is_found() -> None:
    predicted = np.linspace(0.1, 0.7, 9)
    pairs = [(p, 0.2 + 0.9 * p) for p in predicted]
    line = fit_ratings([result_of("one", pairs[:5]), result_of("two", pairs[5:])])
    assert (line.gain, line.offset) == pytest.approx((0.9, 0.2))


def test_a_large_set_counts_no_more_than_a_small_one() -> None:
    level = [(0.4, 0.4), (0.6, 0.6)]
    high = [(0.4, 0.6), (0.6, 0.8)]
    line = fit_ratings([result_of("one", level * 50), result_of("two", high)])
    assert line.offset + line.gain * 0.5 == pytest.approx(0.6)


def test_a_single_rating_is_too_few() -> None:
    with pytest.raises(DataError, match="at least two"):
        fit_ratings([result_of("one", [(0.5, 0.5)])])


def test_ratings_change_and_masks_do_not() -> None:
    torch.manual_seed(0)
    model = Pocket().eval()
    torch.nn.init.normal_(model.mask_decoder.quality_head.mlp.layers[-1].weight)
    clicks = torch.tensor([[[90.0, 70.0]]]), torch.tensor([[1]])
    with torch.no_grad():
        features = model.encode(torch.rand(1, 3, 256, 256))
        masks, before = model.decode(features, clicks)
        apply_ratings(model, RatingLine(0.5, 0.25))
        same, after = model.decode(features, clicks)
    assert torch.equal(masks, same)
    assert torch.allclose(after, 0.5 * before + 0.25, atol=1e-5)
