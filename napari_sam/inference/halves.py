"""Suggested regions that may be two objects which touch: their halves.

The dense head sees no valley between some objects that touch side by side. What gives
them away is their shape: larger than most, with a notch.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_sam.geometry import mask_to_box
from napari_sam.inference.regions import Region

# A region has halves from so many times the usual area on, if it fills no more of its
# convex hull. On `train` images three quarters of what other limits, or none, would let
# be found come at a third of the suggestions.
LARGE = 1.2
SOLID = 0.94


def find_halves(regions: Sequence[Region]) -> list[Region]:
    """Cut regions that may be two objects across their longest extent.

    Parameters
    ----------
    regions : sequence of Region
        All of an image: they tell the usual size.

    Returns
    -------
    list of Region
        Two for each such region, with its certainty and size.
    """
    if not regions:
        return []
    usual = float(np.median([each.area for each in regions]))
    return [
        half
        for region in regions
        if region.area > LARGE * usual and solidity(region.mask) < SOLID
        for half in _cut(region)
    ]


def solidity(mask: NDArray[np.bool_]) -> float:
    """Share of its convex hull that a mask fills.

    Parameters
    ----------
    mask : ndarray of bool, shape (h, w)
        Not empty.
    """
    from scipy.spatial import ConvexHull

    rows = np.flatnonzero(mask.any(1))
    first = mask[rows].argmax(1)
    last = mask.shape[1] - mask[rows, ::-1].argmax(1)
    # The corners of each row's outermost samples.
    corners = [(rows + down, cols) for down in (0, 1) for cols in (first, last)]
    hull = ConvexHull(np.concatenate([np.stack(each, 1) for each in corners]))
    return float(np.count_nonzero(mask) / hull.volume)


def _cut(region: Region) -> Iterator[Region]:
    samples = np.argwhere(region.mask)
    from_centre = samples - samples.mean(0)
    _, axes = np.linalg.eigh(from_centre.T @ from_centre)
    along = from_centre @ axes[:, -1]
    for side in (along < 0, along >= 0):
        mask = np.zeros_like(region.mask)
        mask[tuple(samples[side].T)] = True
        yield _part(region, mask)


def _part(region: Region, mask: NDArray[np.bool_]) -> Region:
    """Part of a region; its seed is its innermost sample."""
    box = mask_to_box(mask)
    assert box is not None
    row0, col0, row1, col1 = box
    inside = mask[row0:row1, col0:col1]
    depth = ndimage.distance_transform_edt(np.pad(inside, 1))[1:-1, 1:-1]
    row, col = np.unravel_index(int(depth.argmax()), depth.shape)
    down, right = region.box[0] + row0, region.box[1] + col0
    return replace(
        region,
        mask=inside,
        box=(down, right, region.box[0] + row1, region.box[1] + col1),
        seed=(int(down + row), int(right + col)),
    )
