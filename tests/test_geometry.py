"""Coordinates, frames, boxes and run lengths."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray

from napari_sam.geometry import (
    box_iou,
    decode_rle,
    encode_rle,
    frame_to_image,
    image_to_frame,
    longest_side_shape,
    mask_iou,
    mask_to_box,
    resample,
    resized_frame,
    swap_xy,
)
from napari_sam.structures import Frame

SIDES = st.integers(1, 40)
SHAPES = st.tuples(SIDES, SIDES)
MASKS = npst.arrays(np.bool_, SHAPES)
FRACTIONS = st.floats(0, 1)


@st.composite
def frames(draw: st.DrawFn) -> Frame:
    origin = st.floats(-500, 500)
    step = st.floats(0.1, 20)
    return Frame((draw(origin), draw(origin)), (draw(step), draw(step)), draw(SHAPES))


@given(st.tuples(st.integers(1, 20_000), st.integers(1, 20_000)))
def test_longest_side_is_the_length_asked_for(shape: tuple[int, int]) -> None:
    resized = longest_side_shape(shape, 1024)
    assert max(resized) == 1024
    assert min(resized) >= 1
    ratio = min(shape) / max(shape)
    assert min(resized) == pytest.approx(1024 * ratio, abs=1)


def test_swapping_twice_is_nothing() -> None:
    positions = np.array([[3.0, 5.0], [0.0, 7.5]])
    np.testing.assert_array_equal(swap_xy(positions), [[5.0, 3.0], [7.5, 0.0]])
    np.testing.assert_array_equal(swap_xy(swap_xy(positions)), positions)


@given(frames(), st.tuples(FRACTIONS, FRACTIONS))
def test_image_to_frame_and_back(frame: Frame, position: tuple[float, float]) -> None:
    there = image_to_frame(np.array(position), frame)
    np.testing.assert_allclose(frame_to_image(there, frame), position, atol=1e-6)


@given(SHAPES, st.tuples(FRACTIONS, FRACTIONS))
def test_a_whole_image_frame_keeps_fractions(
    shape: tuple[int, int], fraction: tuple[float, float]
) -> None:
    frame = resized_frame(shape, longest_side_shape(shape, 64))
    inside = image_to_frame(np.multiply(fraction, shape), frame)
    np.testing.assert_allclose(inside, np.multiply(fraction, frame.shape), atol=1e-9)


@given(npst.arrays(np.float32, SHAPES, elements=st.floats(-9, 9, width=32)))
def test_resampling_on_the_same_frame_is_nothing(values: NDArray[np.float32]) -> None:
    frame = Frame((3.0, 4.0), (2.0, 2.5), (values.shape[0], values.shape[1]))
    np.testing.assert_allclose(resample(values, frame, frame), values, atol=1e-5)


@given(SHAPES, SHAPES)
def test_resampling_keeps_a_constant(
    shape: tuple[int, int], target: tuple[int, int]
) -> None:
    values = np.full(shape, 2.5, dtype=np.float32)
    resized = resample(
        values, resized_frame((60, 80), shape), resized_frame((60, 80), target)
    )
    np.testing.assert_allclose(resized, 2.5, rtol=1e-5)


def test_resampling_keeps_a_linear_ramp() -> None:
    whole, coarse = resized_frame((64, 64), (64, 64)), resized_frame((64, 64), (16, 16))
    ramp = np.add.outer(np.arange(64) + 0.5, 3 * (np.arange(64) + 0.5))
    centres = (np.arange(16) + 0.5) * 4
    expected = np.add.outer(centres, 3 * centres)
    inner = slice(1, -1)
    resized = resample(ramp, whole, coarse)
    np.testing.assert_allclose(resized[inner, inner], expected[inner, inner], rtol=1e-5)


def test_resampling_to_a_coarse_frame_misses_no_small_object() -> None:
    mask = np.zeros((100, 100), dtype=bool)
    mask[33, 71] = True
    coarse = resized_frame((100, 100), (10, 10))
    resized = resample(mask, resized_frame((100, 100), (100, 100)), coarse)
    assert np.unravel_index(resized.argmax(), (10, 10)) == (3, 7)
    assert resized.sum() == pytest.approx(0.01, rel=0.05)


def test_resampling_fills_what_is_outside() -> None:
    source = Frame((10.0, 10.0), (1.0, 1.0), (5, 5))
    target = Frame((0.0, 0.0), (1.0, 1.0), (20, 20))
    resized = resample(np.ones((5, 5)), source, target, fill=-7.0)
    expected = np.full((20, 20), -7.0)
    expected[10:15, 10:15] = 1
    np.testing.assert_allclose(resized, expected, atol=1e-5)


@given(MASKS)
def test_the_box_is_the_smallest_that_holds_the_mask(mask: NDArray[np.bool_]) -> None:
    box = mask_to_box(mask)
    if box is None:
        assert not mask.any()
        return
    inside = mask[box[0] : box[2], box[1] : box[3]]
    assert inside.sum() == mask.sum()
    assert inside[0].any() and inside[-1].any()
    assert inside[:, 0].any() and inside[:, -1].any()


def test_box_iou_of_known_boxes() -> None:
    boxes = np.array([[0, 0, 2, 2], [5, 5, 5, 5]])
    others = np.array([[0, 0, 2, 2], [1, 1, 3, 3], [5, 5, 5, 5]])
    np.testing.assert_allclose(box_iou(boxes, others), [[1, 1 / 7, 0], [0, 0, 0]])


@given(MASKS)
def test_box_iou_agrees_with_mask_iou_of_filled_boxes(mask: NDArray[np.bool_]) -> None:
    box = mask_to_box(mask)
    if box is None:
        return
    whole = (0, 0, *mask.shape)
    filled = np.zeros_like(mask)
    filled[box[0] : box[2], box[1] : box[3]] = True
    expected = mask_iou(filled, np.ones_like(mask))
    assert box_iou(np.array(box), np.array(whole))[0, 0] == pytest.approx(expected)


def test_mask_iou_of_known_masks() -> None:
    row = np.array([[True, True, False]])
    assert mask_iou(row, row[:, ::-1]) == pytest.approx(1 / 3)
    assert mask_iou(row, np.zeros_like(row)) == 0
    assert mask_iou(np.zeros_like(row), np.zeros_like(row)) == 1


@given(MASKS)
def test_run_lengths_round_trip(mask: NDArray[np.bool_]) -> None:
    shape = (mask.shape[0], mask.shape[1])
    counts = encode_rle(mask)
    assert sum(counts[1::2]) == mask.sum()
    assert all(counts[1:])
    np.testing.assert_array_equal(decode_rle(counts, shape), mask)


def test_run_lengths_go_down_columns_and_start_with_background() -> None:
    mask = np.array([[False, True], [False, True], [True, False]])
    assert encode_rle(mask) == [2, 3, 1]
    assert encode_rle(~mask) == [0, 2, 3, 1]


@pytest.mark.parametrize("counts", [[3], [5], [-1, 5], []])
def test_run_lengths_of_another_size_are_refused(counts: list[int]) -> None:
    with pytest.raises(ValueError, match="do not fill"):
        decode_rle(counts, (2, 2))
