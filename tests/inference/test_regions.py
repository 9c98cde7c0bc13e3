"""Suggested objects from dense maps that are as good as the truth."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_sam.inference.regions import (
    DenseMaps,
    Splitting,
    draw_region,
    drop_repeats,
    find_regions,
    usual_size,
)
from napari_sam.structures import Frame
from napari_sam.training.targets import dense_targets

SPLITTING = Splitting(1.0, 0.1)


def discs(
    shape: tuple[int, int], places: list[tuple[int, int, int]]
) -> NDArray[np.int32]:
    """Labels of discs at (row, col, radius); a later one lies on an earlier."""
    labels = np.zeros(shape, np.int32)
    rows, cols = np.indices(shape)
    for index, (row, col, radius) in enumerate(places, start=1):
        labels[np.hypot(rows - row, cols - col) <= radius] = index
    return labels


def maps_of(labels: NDArray[np.int32], step: float = 1.0) -> DenseMaps:
    foreground, centre, boundary, size = dense_targets(labels)
    frame = Frame((0.0, 0.0), (step, step), labels.shape)
    return DenseMaps(
        foreground, centre, boundary, frame, 8 * size + np.float32(np.log2(step))
    )


def test_touching_objects_are_told_apart() -> None:
    labels = discs((60, 90), [(30, 25, 15), (30, 55, 15), (12, 80, 6)])
    regions = find_regions(maps_of(labels), SPLITTING)
    assert len(regions) == 3
    for region in regions:
        row0, col0, row1, col1 = region.box
        inside = labels[row0:row1, col0:col1]
        (index,) = {labels[region.seed]}
        assert np.count_nonzero(region.mask & (inside == index)) >= 0.97 * max(
            np.count_nonzero(region.mask), np.count_nonzero(labels == index)
        )
        assert region.certainty == pytest.approx(1)
        assert region.size_mismatch < 0.1


def test_a_seed_must_stand_out() -> None:
    # Two peaks of .8 and a saddle of .4 between them, in a frame of nothing.
    profile = 0.6 - 0.2 * np.cos(np.linspace(0, 4 * np.pi, 61))
    height = np.pad(np.tile(profile, (20, 1)), 5).astype(np.float32)
    frame = Frame((0.0, 0.0), (1.0, 1.0), height.shape)
    maps = DenseMaps((height > 0).astype(np.float32), height, height, frame)
    assert len(find_regions(maps, Splitting(0.1, 0.3))) == 2
    assert len(find_regions(maps, Splitting(0.1, 0.5))) == 1


def test_a_region_without_a_peak_is_no_object() -> None:
    maps = maps_of(discs((40, 40), [(20, 20, 12)]))
    maps.centre[:] *= 0.2
    maps.boundary[:] *= 0.2
    assert find_regions(maps, SPLITTING) == []


def test_size_does_not_fit_half_an_object() -> None:
    labels = discs((60, 60), [(30, 30, 20)])
    maps = maps_of(labels)
    maps.foreground[:, 30:] = 0
    (half,) = find_regions(maps, SPLITTING)
    assert half.size_mismatch == pytest.approx(0.5, abs=0.1)


def test_usual_size_is_in_samples() -> None:
    labels = discs((100, 100), [(30, 30, 20), (80, 80, 4)])
    side = np.sqrt(np.count_nonzero(labels == 1))
    assert usual_size(maps_of(labels)) == pytest.approx(side, rel=0.02)
    assert usual_size(maps_of(labels, step=4.0)) == pytest.approx(side, rel=0.02)
    assert usual_size(maps_of(np.zeros((9, 9), np.int32))) is None


def test_repeats_go_and_parts_stay() -> None:
    labels = discs((60, 90), [(30, 25, 15), (30, 55, 15)])
    both = find_regions(maps_of(labels), SPLITTING)
    one = find_regions(maps_of((labels > 0).astype(np.int32)), Splitting(9.0, 0.3))
    kept = drop_repeats([*both, *both, *one])
    assert kept == [*both, *one]
    assert drop_repeats([]) == []


def test_regions_are_drawn_in_image_pixels() -> None:
    labels = discs((40, 40), [(20, 20, 10)])
    (region,) = find_regions(maps_of(labels, step=2.0), SPLITTING)
    drawn = draw_region(region, (80, 80))
    assert drawn is not None
    assert drawn.mask.sum() == pytest.approx(4 * np.count_nonzero(labels), rel=0.03)
    assert drawn.box == pytest.approx((20, 20, 62, 62), abs=1)
    assert region.area == 4 * np.count_nonzero(labels)


def test_nothing_gives_nothing() -> None:
    assert find_regions(maps_of(np.zeros((20, 20), np.int32)), SPLITTING) == []
