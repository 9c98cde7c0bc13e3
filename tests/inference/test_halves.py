"""Regions that may be two touching objects are suggested in halves too."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

from napari_sam.geometry import mask_to_box
from napari_sam.inference.halves import find_halves, solidity
from napari_sam.inference.regions import Region
from napari_sam.structures import Frame

FRAME = Frame((0.0, 0.0), (0.5, 0.5), (100, 200))
ROWS, COLS = np.indices(FRAME.shape)


def disc(row: float, col: float, radius: float) -> NDArray[np.bool_]:
    mask: NDArray[np.bool_] = np.hypot(ROWS - row, COLS - col) <= radius
    return mask


def region(mask: NDArray[np.bool_]) -> Region:
    box = mask_to_box(mask)
    assert box is not None
    row0, col0, row1, col1 = box
    return Region(mask[row0:row1, col0:col1], box, (row0, col0), FRAME, 0.8, 4.0)


def whole(part: Region) -> NDArray[np.bool_]:
    mask = np.zeros(FRAME.shape, bool)
    row0, col0, row1, col1 = part.box
    mask[row0:row1, col0:col1] = part.mask
    return mask


def iou(one: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    return np.count_nonzero(one & other) / np.count_nonzero(one | other)


def test_two_touching_discs_come_apart() -> None:
    left, right = disc(30, 30, 12), disc(40, 51, 12)
    singles = [region(disc(70, col, 12)) for col in (20, 60, 100, 140)]
    halves = find_halves([region(left | right), *singles])
    assert len(halves) == 2
    for half, true in zip(
        sorted(halves, key=lambda each: each.box[1]), (left, right), strict=True
    ):
        assert iou(whole(half), true) > 0.9
        assert true[half.seed]
        assert ndimage.distance_transform_edt(whole(half))[half.seed] > 10
        assert (half.certainty, half.log_size, half.frame) == (0.8, 4.0, FRAME)


def test_whole_and_usual_objects_have_no_halves() -> None:
    pair = region(disc(30, 30, 12) | disc(40, 51, 12))
    large = region(disc(40, 50, 24))
    singles = [region(disc(70, col, 12)) for col in (20, 60, 100, 140)]
    assert find_halves([large, *singles]) == []
    # Where all are like it, nothing tells that it is two.
    assert find_halves([pair] * 3) == []
    assert find_halves([]) == []


def test_solidity() -> None:
    assert solidity(np.ones((1, 1), bool)) == 1
    assert solidity(np.ones((3, 7), bool)) == 1
    corner = np.ones((10, 10), bool)
    corner[5:, 5:] = False
    # Of the square's hull the triangle between the notch's ends is missing.
    assert solidity(corner) == pytest.approx(75 / 87.5)
    assert solidity(disc(40, 50, 24)) > 0.96
