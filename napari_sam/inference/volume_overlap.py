"""Masks of one slice among themselves: overlaps, merging, and filling of gaps."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from napari_sam.geometry import mask_to_box
from napari_sam.inference.postprocess import largest_part
from napari_sam.inference.volume_result import SliceMask, shared_pixels, slice_iou
from napari_sam.structures import MaskRecord

# A mask that loses more of its pixels to better ones is no object of its own.
LARGEST_LOSS = 0.5
# Masks of two objects that overlap so much are one claim.
SAME_CLAIM = 0.7
# Between objects a mask counts less the farther it is from its anchor: by half of
# FAR_LOSS in so many slices. Tried on train volumes of crowded objects.
FAR_LOSS, HALF_LOST = 0.5, 3
# How much confidence a mask loses on its way from one anchor to the next.
WAY_PENALTY = 0.3


def resolve_overlaps(
    masks: Mapping[int, SliceMask],
    shape: tuple[int, int],
    fixed: Collection[int] = (),
    ways: Mapping[int, int] | None = None,
) -> dict[int, SliceMask]:
    """Give each pixel to one object.

    To the best-ranked one; then to a mask that lies within another, which has leaked;
    then to the one most to be trusted: by its confidence, and by how near to a slice
    that a person prompted.

    Parameters
    ----------
    masks : mapping of int to SliceMask
        By object id.
    shape : tuple of int
        (rows, columns) of the slice.
    fixed : collection of int
        Objects that only give way to masks of a higher rank.
    ways : mapping of int to int, optional
        Slices from each object's nearest anchor.

    Returns
    -------
    dict of int to SliceMask
        Untouched masks are the same objects as before; those that lost most of their
        pixels are missing.
    """
    taken = np.zeros(shape, dtype=bool)
    kept: dict[int, SliceMask] = {}
    for identifier in _order(masks, fixed, ways or {}):
        each = masks[identifier]
        view = taken[each.region]
        left = each if not (view & each.record.mask).any() else _without(each, view)
        if left is not None:
            taken[left.region] |= left.record.mask
            kept[identifier] = left
    return kept


def _order(
    masks: Mapping[int, SliceMask], fixed: Collection[int], ways: Mapping[int, int]
) -> list[int]:
    """The objects of a slice, those first that keep all their pixels."""
    ranks = {n: each.rank + 0.5 * (n in fixed) for n, each in masks.items()}
    trust = {
        n: each.confidence * _nearness(ways.get(n, 0)) for n, each in masks.items()
    }
    areas = {n: each.area for n, each in masks.items()}
    # A mask within another counts as much as that does, and the smaller comes first.
    by_area = sorted(masks, key=lambda n: areas[n], reverse=True)
    for large, small in combinations(by_area, 2):
        if ranks[large] == ranks[small] and trust[large] > trust[small]:
            shared = shared_pixels(masks[large], masks[small])
            if areas[small] < 2 * shared <= areas[large]:
                trust[small] = trust[large]
    return sorted(masks, key=lambda n: (-ranks[n], -trust[n], areas[n], n))


def _nearness(way: int) -> float:
    """How far a mask is believed, so many slices from an anchor."""
    return 1 - FAR_LOSS * way / (way + HALF_LOST)


def share_out(
    found: Mapping[int, SliceMask], before: Mapping[int, SliceMask]
) -> dict[int, SliceMask]:
    """Divide masks that several objects claim alike among these objects.

    Where two objects touch, the model may see both as one. Neither may swallow the
    other or take its id: each pixel goes to the object that was nearer before.

    Parameters
    ----------
    found : mapping of int to SliceMask
        By object id, in one slice.
    before : mapping of int to SliceMask
        The same objects where they were expected.

    Returns
    -------
    dict of int to SliceMask
        Only the masks that changed.
    """
    shared: dict[int, SliceMask] = {}
    for one, other in combinations(sorted(found), 2):
        alike = slice_iou(found[one], found[other])
        if alike < SAME_CLAIM or slice_iou(before[one], before[other]) >= SAME_CLAIM:
            continue
        for mine, yours in ((one, other), (other, one)):
            part = _nearer_part(found[mine], before[mine], before[yours])
            if part is not None:
                shared[mine] = part
    return shared


def _nearer_part(
    found: SliceMask, mine: SliceMask, yours: SliceMask
) -> SliceMask | None:
    """Keep of a mask what is nearer to one mask than to another; None if nothing is."""
    near, far = (_distances(found, each) for each in (mine, yours))
    part = found.record.mask & (near < far)
    if not part.any():
        return None
    return replace(found, record=_shrunk(found.record, largest_part(part)))


def _distances(found: SliceMask, other: SliceMask) -> NDArray[np.float64]:
    """Distance of each pixel in a mask's box to another mask."""
    rows, cols = found.region
    own_rows, own_cols = other.region
    top, left = min(rows.start, own_rows.start), min(cols.start, own_cols.start)
    bottom, right = max(rows.stop, own_rows.stop), max(cols.stop, own_cols.stop)
    outside = np.ones((bottom - top, right - left), dtype=bool)
    height, width = other.record.mask.shape
    place = outside[own_rows.start - top :, own_cols.start - left :]
    place[:height, :width] = ~other.record.mask
    far: NDArray[np.float64] = distance_transform_edt(outside)
    return far[rows.start - top :, cols.start - left :][
        : rows.stop - rows.start, : cols.stop - cols.start
    ]


def _without(found: SliceMask, taken: NDArray[np.bool_]) -> SliceMask | None:
    """Cut pixels out of a mask; None if too few are left."""
    free = largest_part(found.record.mask & ~taken)
    if np.count_nonzero(free) < (1 - LARGEST_LOSS) * found.area:
        return None
    return replace(found, record=_shrunk(found.record, free))


def _shrunk(record: MaskRecord, mask: NDArray[np.bool_]) -> MaskRecord:
    box = mask_to_box(mask)
    assert box is not None
    row0, col0, row1, col1 = box
    origin = (record.origin[0] + row0, record.origin[1] + col0)
    return replace(record, mask=mask[row0:row1, col0:col1].copy(), origin=origin)


def better_of(
    first: SliceMask, second: SliceMask, first_way: int, second_way: int
) -> SliceMask:
    """Choose between two masks of an object that came from two anchors.

    Parameters
    ----------
    first, second : SliceMask
    first_way, second_way : int
        Slices that each is away from its anchor.
    """
    share = first_way / max(first_way + second_way, 1)
    one = first.confidence - WAY_PENALTY * share
    other = second.confidence - WAY_PENALTY * (1 - share)
    return first if one >= other else second


def between(
    before: SliceMask, after: SliceMask, share: float, shape: tuple[int, int]
) -> SliceMask | None:
    """Interpolate the shape of an object in a slice where it was not found.

    The signed distances to both outlines are averaged (Raya and Udupa, "Shape-based
    interpolation of multidimensional objects", 1990), after moving both masks to the
    centre expected there.

    Parameters
    ----------
    before, after : SliceMask
        The nearest masks on both sides.
    share : float
        How far the slice is from ``before`` to ``after``, 0 to 1.
    shape : tuple of int
        (rows, columns) of the slice.

    Returns
    -------
    SliceMask or None
        None if nothing is left; its confidence is half that of the worse neighbour.
    """
    start, stop = _corners(before), _corners(after)
    size = np.maximum(stop[1] - stop[0], start[1] - start[0]) + 4
    middles = [corners.mean(axis=0) for corners in (start, stop)]
    middle = (1 - share) * middles[0] + share * middles[1]
    distance = (1 - share) * _signed_distance(before, size)
    distance += share * _signed_distance(after, size)
    row, col = (int(edge) for edge in np.round(middle - size / 2))
    mask = distance > 0
    mask[: max(-row, 0)] = mask[max(shape[0] - row, 0) :] = False
    mask[:, : max(-col, 0)] = mask[:, max(shape[1] - col, 0) :] = False
    if not mask.any():
        return None
    one, other = before.record, after.record
    record = MaskRecord(
        mask,
        (row, col),
        min(one.predicted_iou, other.predicted_iou),
        min(one.stability_score, other.stability_score),
        one.provenance,
    )
    confidence = min(before.confidence, after.confidence) / 2
    return SliceMask(_shrunk(record, mask), confidence)


def _corners(found: SliceMask) -> NDArray[np.float64]:
    start = np.array(found.record.origin, dtype=float)
    return np.stack([start, start + found.record.mask.shape])


def _signed_distance(found: SliceMask, size: NDArray[np.float64]) -> NDArray:
    """Distance to the outline, positive inside, with the mask's box in the middle."""
    canvas = np.zeros(size.astype(int), dtype=bool)
    height, width = found.record.mask.shape
    top, left = ((size - (height, width)) // 2).astype(int)
    canvas[top : top + height, left : left + width] = found.record.mask
    inside = distance_transform_edt(canvas)
    outside = distance_transform_edt(~canvas)
    signed: NDArray = inside - outside
    return signed
