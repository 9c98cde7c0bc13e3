"""What the dense head is asked for, on shapes whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam.training.targets import dense_targets


def disc(radius: float, side: int = 41) -> np.ndarray:
    rows, cols = np.indices((side, side)) - side // 2
    return np.asarray(np.hypot(rows, cols) <= radius, np.int32)


def test_a_disc_peaks_in_its_middle() -> None:
    labels = disc(12)
    foreground, centre, boundary, size = dense_targets(labels)
    assert np.array_equal(foreground, labels)
    assert centre[20, 20] == 1 and boundary[20, 20] == 1
    # Halfway out; the farthest pixel is 12 away, the edge's inner ring counts as 0.
    assert centre[20, 26] == pytest.approx(0.5, abs=0.01)
    assert boundary[20, 26] == pytest.approx(0.5, abs=0.06)
    assert centre[20, 32] == pytest.approx(0, abs=1e-6)
    assert boundary[20, 32] == 0
    assert size[20, 20] == pytest.approx(np.log2(np.sqrt(labels.sum())) / 8)


def test_background_is_zero_everywhere() -> None:
    labels = disc(9) * 7
    targets = dense_targets(labels)
    assert not targets[:, labels == 0].any()
    assert targets[:, labels > 0].min() >= 0 and targets.max() <= 1
    assert targets.dtype == np.float32


def test_no_object_gives_zeros() -> None:
    assert not dense_targets(np.zeros((8, 6), np.int32)).any()


def test_touching_objects_are_told_apart() -> None:
    labels = np.zeros((20, 40), np.int32)
    labels[2:18, 4:20], labels[2:18, 20:36] = 3, 9
    _, centre, boundary, size = dense_targets(labels)
    # The seam is a boundary of both, though no background lies between.
    assert not boundary[2:18, 19:21].any()
    assert boundary[9, 11] > 0.8 and boundary[9, 28] > 0.8
    assert (centre[2:18, 4:20] == 1).sum() == (centre[2:18, 20:36] == 1).sum() == 1
    assert size[5, 10] == size[5, 30] == pytest.approx(np.log2(16) / 8)


def test_an_object_of_one_pixel_is_its_own_centre() -> None:
    labels = np.zeros((5, 5), np.int32)
    labels[2, 3] = 1
    assert dense_targets(labels)[:, 2, 3].tolist() == [1, 1, 0, 0]
