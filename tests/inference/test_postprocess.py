"""Masks pasted into the image, their stability, holes and small parts."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as functional
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from napari_sam.geometry import resized_frame
from napari_sam.inference import postprocess
from napari_sam.inference.postprocess import (
    crop_logits,
    enlarge_logits,
    fill_holes,
    frame_box,
    paste_logits,
    remove_small_parts,
    sample_logits,
    stability_score,
)
from napari_sam.structures import Frame


def blob(height: int, width: int, radius: float = 0.2) -> torch.Tensor:
    """Logits of a disc in the middle."""
    y, x = torch.meshgrid(
        torch.linspace(-1, 1, height), torch.linspace(-1, 1, width), indexing="ij"
    )
    return 10 * (radius - torch.hypot(y - 0.1, x + 0.2))


@pytest.mark.parametrize("shape", [(16, 24), (40, 30), (5, 90), (1, 1)])
def test_sampling_a_whole_frame_is_torch_s_bilinear_resize(
    shape: tuple[int, int],
) -> None:
    logits = torch.randn((16, 24), generator=torch.Generator().manual_seed(0))
    expected = functional.interpolate(logits[None, None], shape, mode="bilinear")
    sampled = sample_logits(logits, resized_frame(shape, (16, 24)), (0, 0, *shape))
    np.testing.assert_allclose(sampled, expected[0, 0].numpy(), atol=2e-5)


def test_sampling_a_box_is_a_part_of_the_whole() -> None:
    logits = blob(12, 10)
    frame = Frame((3.5, -2.0), (1.7, 2.3), (12, 10))
    whole = sample_logits(logits, frame, (0, 0, 30, 30))
    part = sample_logits(logits, frame, (4, 9, 11, 20))
    np.testing.assert_allclose(part, whole[4:11, 9:20], atol=1e-5)


def test_pasting_writes_only_inside_the_frame() -> None:
    out = np.zeros((20, 20), dtype=bool)
    frame = Frame((5.0, 8.0), (2.0, 2.0), (3, 4))
    inner, outer = paste_logits(torch.full((3, 4), 9.0), frame, out)
    expected = np.zeros_like(out)
    expected[5:11, 8:16] = True
    np.testing.assert_array_equal(out, expected)
    assert (inner, outer) == (48, 48)


@pytest.mark.parametrize("origin", [(-50.0, 0.0), (0.0, 90.0), (4.6, 4.6)])
def test_pasting_a_frame_without_pixels_changes_nothing(
    origin: tuple[float, float],
) -> None:
    out = np.zeros((9, 9), dtype=bool)
    frame = Frame(origin, (0.2, 0.2), (4, 4))
    assert paste_logits(torch.full((4, 4), 9.0), frame, out) == (0, 0)
    assert not out.any()


def test_pasting_in_bands_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    frame = resized_frame((50, 70), (16, 16))
    whole, banded = np.zeros((2, 50, 70), dtype=bool)
    counts = paste_logits(blob(16, 16), frame, whole)
    monkeypatch.setattr(postprocess, "BAND_PIXELS", 150)
    assert paste_logits(blob(16, 16), frame, banded) == counts
    np.testing.assert_array_equal(banded, whole)
    assert whole.any()


@given(
    st.tuples(st.floats(-30, 30), st.floats(-30, 30)),
    st.tuples(st.floats(0.3, 5), st.floats(0.3, 5)),
)
def test_the_frame_s_box_holds_the_centres_inside_it(
    origin: tuple[float, float], step: tuple[float, float]
) -> None:
    frame = Frame(origin, step, (6, 7))
    row0, col0, row1, col1 = frame_box(frame, (20, 20))
    for axis, (start, stop) in enumerate([(row0, row1), (col0, col1)]):
        centres = np.arange(20) + 0.5
        end = origin[axis] + step[axis] * frame.shape[axis]
        inside = np.flatnonzero((centres >= origin[axis]) & (centres < end))
        assert list(range(start, stop)) == inside.tolist()


@pytest.mark.parametrize("radius", [0.05, 0.3, 3.0])
def test_cropping_changes_neither_mask_nor_stability(radius: float) -> None:
    logits, frame = blob(32, 24, radius), resized_frame((90, 80), (32, 24))
    whole, cropped = np.zeros((2, 90, 80), dtype=bool)
    expected = paste_logits(*enlarge_logits(logits, frame, 4), whole)
    part = crop_logits(logits, frame)
    assert part is not None
    assert paste_logits(*enlarge_logits(*part, 4), cropped) == expected
    np.testing.assert_array_equal(cropped, whole)
    assert part[0].numel() <= logits.numel()


def test_cropping_a_mask_of_nothing_leaves_nothing() -> None:
    frame = resized_frame((9, 9), (4, 4))
    assert crop_logits(torch.full((4, 4), -1.0), frame) is None


def test_stability_of_known_logits() -> None:
    logits = np.array([2.0, 1.5, 0.5, -0.5, -2.0], dtype=np.float32)
    assert stability_score(logits) == pytest.approx(2 / 4)
    assert stability_score(logits, threshold=1.0, offset=0.2) == pytest.approx(1)
    assert stability_score(np.full(3, -5, dtype=np.float32)) == 0


@pytest.fixture
def ring() -> NDArray[np.bool_]:
    """A ring around a hole of 9 pixels, with a speck beside it."""
    mask = np.zeros((14, 14), dtype=bool)
    mask[2:9, 2:9] = True
    mask[4:7, 4:7] = False
    mask[12, 12] = True
    return mask


def test_holes_are_filled(ring: NDArray[np.bool_]) -> None:
    expected = ring.copy()
    expected[4:7, 4:7] = True
    np.testing.assert_array_equal(fill_holes(ring), expected)
    np.testing.assert_array_equal(fill_holes(ring, max_area=9), expected)


def test_larger_holes_stay(ring: NDArray[np.bool_]) -> None:
    np.testing.assert_array_equal(fill_holes(ring, max_area=8), ring)


def test_a_bay_is_no_hole_even_at_the_border() -> None:
    mask = np.ones((6, 6), dtype=bool)
    mask[:3, 2] = False
    np.testing.assert_array_equal(fill_holes(mask), mask)


def test_an_empty_mask_has_no_holes() -> None:
    assert not fill_holes(np.zeros((3, 3), dtype=bool)).any()


def test_small_parts_are_removed(ring: NDArray[np.bool_]) -> None:
    expected = ring.copy()
    expected[12, 12] = False
    np.testing.assert_array_equal(remove_small_parts(ring, 2), expected)
    np.testing.assert_array_equal(remove_small_parts(ring, 1), ring)


def test_the_largest_part_stays_however_small(ring: NDArray[np.bool_]) -> None:
    expected = ring.copy()
    expected[12, 12] = False
    np.testing.assert_array_equal(remove_small_parts(ring, 10_000), expected)


def test_parts_that_touch_at_a_corner_are_one() -> None:
    mask = np.zeros((6, 6), dtype=bool)
    mask[:3, :3] = True
    mask[3, 3] = True
    np.testing.assert_array_equal(remove_small_parts(mask, 5), mask)


def test_cleaning_changes_no_input(ring: NDArray[np.bool_]) -> None:
    before = ring.copy()
    fill_holes(ring)[0] = True
    remove_small_parts(ring, 5)[0] = True
    np.testing.assert_array_equal(ring, before)
