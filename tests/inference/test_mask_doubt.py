"""Negative clicks count beside masks that are sure of themselves."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_sam import SamPredictor, create_model
from napari_sam.geometry import resample
from napari_sam.inference.mask_doubt import DEEPEST, depth_logits, doubt_mask
from napari_sam.session.mask_prompts import prompt_of_mask
from napari_sam.structures import (
    BoxPrompt,
    Frame,
    MaskPrompt,
    PointPrompt,
    PromptSet,
)

SHAPE = (120, 160)
ROWS, COLS = np.indices(SHAPE)
PLANE = Frame((0.0, 0.0), (1.0, 1.0), SHAPE)


def disc(row: float, col: float, radius: float) -> NDArray[np.bool_]:
    inside: NDArray[np.bool_] = np.hypot(ROWS - row, COLS - col) <= radius
    return inside


DISC = disc(50, 60, 20)
NEGATIVE = PointPrompt((50.0, 75.0), positive=False)


@pytest.mark.parametrize(
    "mask",
    [
        MaskPrompt(DISC),
        MaskPrompt(np.where(DISC, 6.0, -6.0).astype(np.float32), PLANE),
        prompt_of_mask(DISC[30:71, 40:81], (30, 40)),
    ],
)
def test_a_drawn_mask_becomes_sure_only_far_from_its_edge(mask: MaskPrompt) -> None:
    doubted = doubt_mask(PromptSet(points=(NEGATIVE,), mask=mask))
    assert doubted.mask is not None
    assert doubted.mask.frame is not None
    seen = resample(doubted.mask.values, doubted.mask.frame, PLANE, -DEEPEST)
    assert ((seen > 0) == DISC).all()
    assert seen[50, 60] == pytest.approx(DEEPEST)
    assert 0 < seen[50, 79] < 0.5
    assert -0.5 < seen[50, 82] < 0
    assert seen[5, 150] == pytest.approx(-DEEPEST)
    click, negative = doubted.points
    assert negative == NEGATIVE
    assert click.positive
    row, col = click.position
    assert DISC[round(row), round(col)]
    # Deep inside, and off the negative click.
    assert np.hypot(row - 50, col - 75) > 15
    assert np.hypot(row - 50, col - 60) < 10


def test_what_is_left_as_it_is() -> None:
    mask = MaskPrompt(DISC)
    positive = PointPrompt((50.0, 60.0))
    for same in (
        PromptSet(mask=mask),
        PromptSet(points=(positive,), mask=mask),
        PromptSet(points=(positive, NEGATIVE)),
        PromptSet(points=(NEGATIVE,), mask=MaskPrompt(np.zeros(SHAPE, bool))),
    ):
        assert doubt_mask(same) is same
    # What a model predicted knows its own doubts.
    logits = np.clip((20 - np.hypot(ROWS - 50, COLS - 60)) / 4, -6, 6)
    predicted = MaskPrompt(logits.astype(np.float32), PLANE)
    asked = PromptSet(points=(positive, NEGATIVE), mask=predicted)
    assert doubt_mask(asked) is asked
    alone = doubt_mask(PromptSet(points=(NEGATIVE,), mask=predicted))
    assert alone.mask is predicted
    assert [each.positive for each in alone.points] == [True, False]
    # A box and a positive click say already where the object is.
    box = BoxPrompt((30, 40), (71, 81))
    for given in (
        PromptSet(points=(NEGATIVE,), box=box, mask=mask),
        PromptSet(points=(positive, NEGATIVE), mask=mask),
    ):
        assert doubt_mask(given).points == given.points
        assert doubt_mask(given).mask is not mask


def test_a_large_mask_is_looked_at_in_few_samples() -> None:
    large = np.zeros((3000, 2000), bool)
    large[200:2800, 300:1800] = True
    negative = PointPrompt((2500.0, 1700.0), positive=False)
    doubted = doubt_mask(PromptSet(points=(negative,), mask=MaskPrompt(large)))
    assert doubted.mask is not None
    assert doubted.mask.frame is not None
    assert max(doubted.mask.values.shape) < 800
    plane = Frame((0.0, 0.0), (20.0, 20.0), (150, 100))
    seen = resample(doubted.mask.values, doubted.mask.frame, plane, -DEEPEST) > 0
    assert (seen == large[10::20, 10::20]).mean() > 0.99
    line = np.zeros((3000, 2000), bool)
    line[5:2995, 7] = True
    thin = doubt_mask(PromptSet(points=(negative,), mask=MaskPrompt(line))).mask
    assert thin is not None
    assert np.isfinite(thin.values).all()
    assert (thin.values > 0).any()


def test_depth_logits() -> None:
    logits = depth_logits(np.pad(np.ones((9, 9), bool), 3), 9.0, 2.0)
    assert logits[3:12, 3] == pytest.approx(1)
    assert logits[7, 7] == 2
    assert logits[7, 2] == pytest.approx(-1)
    assert logits[0, 7] == -2


def test_a_click_cuts_a_neighbour_off_a_drawn_mask() -> None:
    left, right = disc(60, 60, 16), disc(60, 94, 16)
    image = np.where(left | right, 180, 20).astype(np.uint8)
    predictor = SamPredictor(create_model("pocket"))
    predictor.set_image(image)
    click = PointPrompt((60.0, 96.0), positive=False)
    asked = PromptSet(points=(click,), mask=MaskPrompt(left | right))
    answer = predictor.predict(asked, multimask_output=False)
    mask = answer.masks[answer.best]
    assert np.count_nonzero(mask & left) > 0.9 * np.count_nonzero(left)
    assert np.count_nonzero(mask & right) < 0.2 * np.count_nonzero(right)
