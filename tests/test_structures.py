"""The dataclasses that all layers share."""

from __future__ import annotations

from dataclasses import FrozenInstanceError

import numpy as np
import pytest

from napari_sam.structures import (
    BoxPrompt,
    Frame,
    MaskPrediction,
    MaskPrompt,
    PointPrompt,
    PromptSet,
    TextPrompt,
)


@pytest.fixture
def prediction() -> MaskPrediction:
    frame = Frame((0.0, 0.0), (2.0, 2.0), (2, 2))
    low_res = np.arange(12, dtype=np.float32).reshape(3, 2, 2)
    return MaskPrediction(
        masks=np.zeros((3, 4, 4), dtype=bool),
        predicted_iou=np.array([0.2, 0.9, 0.5], dtype=np.float32),
        stability_score=np.ones(3, dtype=np.float32),
        low_res_masks=low_res,
        frame=frame,
    )


@pytest.mark.parametrize(
    "prompts",
    [
        PromptSet(points=(PointPrompt((0, 0)),)),
        PromptSet(box=BoxPrompt((0, 0), (1, 1))),
        PromptSet(mask=MaskPrompt(np.zeros((2, 2), dtype=bool))),
        PromptSet(text=TextPrompt("nuclei")),
    ],
)
def test_any_prompt_makes_a_set_not_empty(prompts: PromptSet) -> None:
    assert not prompts.is_empty
    assert PromptSet().is_empty


def test_best_has_the_highest_predicted_iou(prediction: MaskPrediction) -> None:
    assert prediction.best == 1


def test_mask_prompt_is_the_best_logits_where_they_lie(
    prediction: MaskPrediction,
) -> None:
    prompt = prediction.mask_prompt()
    np.testing.assert_array_equal(prompt.values, prediction.low_res_masks[1])
    assert prompt.frame == prediction.frame


def test_mask_prompt_of_a_chosen_mask(prediction: MaskPrediction) -> None:
    chosen = prediction.mask_prompt(0)
    np.testing.assert_array_equal(chosen.values, prediction.low_res_masks[0])


def test_prompts_cannot_be_changed() -> None:
    point = PointPrompt((1, 2))
    with pytest.raises(FrozenInstanceError):
        point.positive = False  # type: ignore[misc]
