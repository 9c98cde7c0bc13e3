"""What written labels mean for the table of objects: areas, boxes, who is gone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam.geometry import Box, mask_to_box
from napari_sam.session.history import ObjectChange
from napari_sam.session.labels import Patch
from napari_sam.session.objects import DEFAULT_CLASS, ObjectTable, SegmentedObject
from napari_sam.session.plane import Region, union_box
from napari_sam.structures import Provenance


def recounted(table: ObjectTable, patches: Sequence[Patch]) -> dict[int, ObjectChange]:
    """Return the change of each object that patches give pixels to or take them from.

    Parameters
    ----------
    table : ObjectTable
        As it is before the patches; not changed.
    patches : sequence of Patch
    """
    states: dict[int, SegmentedObject | None] = {}
    for patch in patches:
        for each in np.union1d(patch.before, patch.after).tolist():
            if each:
                known = states.get(each, table.get(each))
                states[each] = _recount(known, patch, each)
    return {
        each: ObjectChange(table.get(each), after)
        for each, after in states.items()
        if after is not table.get(each)
    }


def box_in(patch: Patch, inside: NDArray[np.bool_]) -> Box:
    """Return the box of some pixels of a patch, in its plane."""
    box = mask_to_box(inside)
    assert box is not None
    row, col = patch.box[:2]
    return box[0] + row, box[1] + col, box[2] + row, box[3] + col


def _recount(
    known: SegmentedObject | None, patch: Patch, object_id: int
) -> SegmentedObject | None:
    """Return an object after a patch gave it pixels or took some."""
    inside, was_inside = patch.after == object_id, patch.before == object_id
    if known is not None and np.array_equal(inside, was_inside):
        return known
    gained, lost = int(np.count_nonzero(inside)), int(np.count_nonzero(was_inside))
    area = gained - lost + (known.area if known else 0)
    if area <= 0:
        return None
    new = Region(patch.plane, box_in(patch, inside)) if gained else None
    if known is not None:
        regions = _with_region(known.regions, new, patch)
        return replace(known, regions=regions, area=area)
    made = () if new is None else (new,)
    provenance = Provenance("", method="brush")
    return SegmentedObject(object_id, DEFAULT_CLASS, made, area, provenance=provenance)


def _with_region(
    regions: tuple[Region, ...], new: Region | None, patch: Patch
) -> tuple[Region, ...]:
    """Put a plane's new region in the place of the old one, or take that away."""
    made: list[Region] = []
    is_placed = new is None
    for each in regions:
        if each.plane != patch.plane:
            made.append(each)
        elif _holds(patch.box, each.box):
            made += [] if new is None else [new]
            is_placed = True
        else:
            box = each.box if new is None else union_box(each.box, new.box)
            made.append(Region(each.plane, box))
            is_placed = True
    if new is not None and not is_placed:
        made.append(new)
    return tuple(made)


def _holds(outer: Any, inner: Any) -> bool:
    return bool(
        outer[0] <= inner[0]
        and outer[1] <= inner[1]
        and outer[2] >= inner[2]
        and outer[3] >= inner[3]
    )
