"""Basins of peaks, against scikit-image's h-maxima."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import ndimage
from skimage.morphology import local_maxima, reconstruction

from napari_sam.inference.basins import find_basins


def hills(seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed).standard_normal((120, 160))
    smooth = ndimage.gaussian_filter(noise, 4)
    return ((smooth - smooth.min()) / np.ptp(smooth)).astype(np.float32)


@pytest.mark.parametrize("prominence", [0.01, 0.1, 0.3])
@pytest.mark.parametrize("seed", range(4))
def test_peaks_left_are_those_of_the_h_maxima(seed: int, prominence: float) -> None:
    height = hills(seed)
    inside = np.ones(height.shape, bool)
    labels, peaks = find_basins(height, inside, prominence)
    lowered = reconstruction(height.astype(float) - prominence, height.astype(float))
    domes, count = ndimage.label(local_maxima(lowered), np.ones((3, 3), bool))
    assert len(peaks) == count
    assert {int(domes[peak]) for peak in peaks} == set(range(1, count + 1))
    assert [int(labels[peak]) for peak in peaks] == list(range(1, count + 1))


def test_a_shallow_valley_parts_nothing_and_a_deep_one_does() -> None:
    row = np.array([0, 5, 9, 8.8, 9.1, 4, 1, 6, 2, 0], np.float32)
    height = np.tile(row, (3, 1)) * np.array([[0.5], [1], [0.5]], np.float32)
    labels, peaks = find_basins(height, height > 0, 0.5)
    assert peaks == [(1, 4), (1, 7)]
    assert labels[1].tolist() == [0, 1, 1, 1, 1, 1, 1, 2, 2, 0] or labels[
        1
    ].tolist() == [0, 1, 1, 1, 1, 1, 2, 2, 2, 0]


def test_parts_that_do_not_touch_stay_apart() -> None:
    height = np.ones((5, 9), np.float32)
    inside = np.ones((5, 9), bool)
    inside[:, 4] = False
    height[2, 1], height[2, 7] = 2.0, 1.1
    labels, peaks = find_basins(height, inside, 10.0)
    assert peaks == [(2, 1), (2, 7)]
    assert (labels[:, 4] == 0).all()
    assert set(labels[:, :4].ravel()) == {1}
    assert set(labels[:, 5:].ravel()) == {2}


def test_nothing_inside_gives_nothing() -> None:
    labels, peaks = find_basins(hills(0), np.zeros((120, 160), bool), 0.1)
    assert not labels.any()
    assert peaks == []
