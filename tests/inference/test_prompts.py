"""Prompts that cannot be used are refused with the reason."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_sam.errors import PromptError
from napari_sam.inference.framing import ImageEmbedding
from napari_sam.inference.prompts import check_prompts, prompt_set
from napari_sam.structures import (
    BoxPrompt,
    Frame,
    MaskPrompt,
    PointPrompt,
    PromptSet,
    TextPrompt,
)

SHAPE = (40, 60)
KINDS = frozenset({"point", "box", "mask"})
LOW_RES = Frame((0.0, 0.0), (5.0, 5.0), (8, 12))


class Embedding(ImageEmbedding):
    """An embedding whose logits may come without a frame."""

    @property
    def low_res_frame(self) -> Frame:
        return LOW_RES


EMBEDDING = Embedding(SHAPE, "model")


def check(**prompts: Any) -> PromptSet:
    return check_prompts(prompt_set(**prompts), EMBEDDING, KINDS)


def test_arrays_become_prompts() -> None:
    mask = np.ones(SHAPE, dtype=bool)
    prompts = check(
        points=[(1, 2), (3, 4)], point_labels=[1, 0], box=(5, 6, 7, 8), mask_input=mask
    )
    assert prompts.points == (PointPrompt((1, 2)), PointPrompt((3, 4), positive=False))
    assert prompts.box == BoxPrompt((5, 6), (7, 8))
    assert prompts.mask is not None
    np.testing.assert_array_equal(prompts.mask.values, mask)


def test_points_are_positive_unless_labelled() -> None:
    assert all(point.positive for point in check(points=[(1, 2), (3, 4)]).points)


@given(
    st.floats(-0.5, SHAPE[0], exclude_max=True),
    st.floats(-0.5, SHAPE[1], exclude_max=True),
)
def test_points_inside_are_kept_as_they_are(row: float, col: float) -> None:
    assert check(points=[(row, col)]).points == (PointPrompt((row, col)),)


def test_a_box_over_the_border_is_clipped() -> None:
    assert check(box=(-5, 10, 20, 100)).box == BoxPrompt((0, 10), (20, 60))


@pytest.mark.parametrize("dtype", [bool, np.uint8, np.int32, np.float32])
def test_a_mask_of_the_image_may_be_of_any_real_type(dtype: type) -> None:
    mask = np.zeros(SHAPE, dtype=dtype)
    mask[3:5, 6:9] = 1
    checked = check(mask_input=mask).mask
    assert checked is not None
    assert checked.frame is None
    assert checked.values.dtype == bool
    np.testing.assert_array_equal(checked.values, mask > 0)


@pytest.mark.parametrize("shape", [(8, 12), (1, 8, 12)])
def test_logits_without_a_frame_lie_on_the_embedding_s(shape: tuple[int, ...]) -> None:
    checked = check(mask_input=np.full(shape, -2.0)).mask
    assert checked is not None
    assert checked.frame == LOW_RES
    np.testing.assert_array_equal(checked.values, np.full((8, 12), -2, np.float32))


def test_logits_on_another_frame_keep_it() -> None:
    frame = Frame((3.0, 4.0), (1.0, 1.0), (2, 2))
    checked = check(mask_input=MaskPrompt(np.eye(2), frame)).mask
    assert checked is not None
    assert checked.frame == frame
    assert checked.values.dtype == np.float32


@pytest.mark.parametrize(
    ("prompts", "reason"),
    [
        ({}, "There is no prompt"),
        ({"points": np.zeros((0, 2))}, "There is no prompt"),
        ({"point_labels": [1]}, "point_labels came without points"),
        ({"points": (1, 2)}, r"the shape \(2,\)"),
        ({"points": [(1, 2, 3)]}, r"give \(N, 2\)"),
        ({"points": [(1, 2), (3,)]}, "points must be numbers"),
        ({"points": "here"}, "points must be numbers"),
        ({"points": [(1, 2)], "point_labels": [1, 0]}, "There are 1 points"),
        ({"points": [(1, 2)], "point_labels": 1}, "one label a point"),
        ({"points": [(1, 2)], "point_labels": [2]}, "must be 1"),
        ({"points": [(1, 2)], "point_labels": [np.nan]}, "must be 1"),
        ({"points": [(np.nan, 2)]}, "NaN or infinite"),
        ({"points": [(1, np.inf)]}, "NaN or infinite"),
        ({"points": [(-1, 2)]}, "outside the image of 40 x 60"),
        ({"points": [(40, 2)]}, r"\(row 40, col 2\) is outside"),
        ({"points": [(1, 2), (1, 60)]}, r"\(row 1, col 60\) is outside"),
        ({"box": (1, 2, 3)}, "give 4 numbers"),
        ({"box": [(1, 2, 3, 4), (1, 2, 3, 4)]}, "several boxes are several objects"),
        ({"box": (1, 2, np.nan, 4)}, "NaN or infinite"),
        ({"box": (5, 2, 3, 4)}, "inverted or has no area"),
        ({"box": (1, 4, 3, 2)}, "inverted or has no area"),
        ({"box": (1, 2, 1, 4)}, "inverted or has no area"),
        ({"box": (41, 2, 50, 4)}, "outside the image of 40 x 60"),
        ({"box": (-9, 2, 0, 4)}, "outside the image of 40 x 60"),
        ({"mask_input": np.ones((4, 4), bool)}, r"the shape \(4, 4\) but the image"),
        ({"mask_input": np.ones((2, *SHAPE), bool)}, "but the image"),
        ({"mask_input": np.zeros(SHAPE, bool)}, "is empty"),
        ({"mask_input": np.full((8, 12), np.nan)}, "NaN or infinite logits"),
        ({"mask_input": np.full(SHAPE, 1j)}, "must be bool or float"),
        ({"mask_input": MaskPrompt(np.ones((3, 3)), LOW_RES)}, "but its frame"),
    ],
)
def test_what_cannot_be_used_is_refused(prompts: dict[str, Any], reason: str) -> None:
    with pytest.raises(PromptError, match=reason):
        check(**prompts)


@pytest.mark.parametrize(
    ("prompts", "kind"),
    [
        (PromptSet(points=(PointPrompt((1, 2)),)), "point"),
        (PromptSet(box=BoxPrompt((1, 2), (3, 4))), "box"),
        (PromptSet(mask=MaskPrompt(np.ones(SHAPE, bool))), "mask"),
        (PromptSet(text=TextPrompt("nuclei")), "text"),
    ],
)
def test_a_kind_the_model_does_not_take_is_refused(
    prompts: PromptSet, kind: str
) -> None:
    all_kinds = KINDS | {"text"}
    assert check_prompts(prompts, EMBEDDING, all_kinds).is_empty is False
    with pytest.raises(PromptError, match=f"'model' takes no {kind} prompt"):
        check_prompts(prompts, EMBEDDING, all_kinds - {kind})


def test_float_logits_need_a_frame_where_the_model_has_no_default() -> None:
    plain = ImageEmbedding(SHAPE, "model")
    with pytest.raises(PromptError, match=r"the shape \(8, 12\) but the image"):
        check_prompts(prompt_set(mask_input=np.ones((8, 12))), plain, KINDS)
