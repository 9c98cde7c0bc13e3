"""Objects in many planes at once, as propagation finds them, written as one edit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from napari_sam.geometry import Box
from napari_sam.session.document import Document
from napari_sam.session.drafts import Draft
from napari_sam.session.history import DraftChange, Edit, ObjectChange
from napari_sam.session.labels import (
    LabelStore,
    OverlapRule,
    Patch,
    PlacedMask,
)
from napari_sam.session.objects import DEFAULT_CLASS, ObjectTable, SegmentedObject
from napari_sam.session.plane import Plane, union_box
from napari_sam.session.records import (
    Record,
    nan_if_none,
    number_or_none,
    read_mask,
    read_plane,
    read_provenance,
    verb_record,
    write_mask,
    write_plane,
    write_provenance,
)
from napari_sam.session.recounting import recounted
from napari_sam.structures import Provenance


@dataclass(frozen=True, eq=False)
class SliceFill:
    """An object's new mask in one plane.

    Attributes
    ----------
    placed : PlacedMask
    confidence : float or None
        None where a person made or confirmed it.
    """

    placed: PlacedMask
    confidence: float | None = None


@dataclass(frozen=True, eq=False)
class ObjectFill:
    """What becomes of one object.

    Attributes
    ----------
    id : int
        Of an object that is there, or a new one.
    slices : tuple of SliceFill
        At most one a plane; they replace what the object had there.
    cleared : tuple of Plane
        Where the object ends to be.
    class_name : str
        Of a new object.
    predicted_iou, stability_score : float
        Of a new object.
    provenance : Provenance
    """

    id: int
    slices: tuple[SliceFill, ...]
    cleared: tuple[Plane, ...] = ()
    class_name: str = DEFAULT_CLASS
    predicted_iou: float = float("nan")
    stability_score: float = float("nan")
    provenance: Provenance = field(default_factory=lambda: Provenance(""))

    @property
    def planes(self) -> list[Plane]:
        """All planes that may change."""
        return [*(each.placed.plane for each in self.slices), *self.cleared]


def fill(
    document: Document,
    fills: Sequence[ObjectFill],
    rule: OverlapRule,
    title: str,
    ended: Sequence[Plane] = (),
) -> None:
    """Give objects new masks in many planes, as one edit.

    Parameters
    ----------
    document : Document
    fills : sequence of ObjectFill
    rule : {"keep", "overwrite", "background"}
        Towards objects that are not among the fills; see `paint`.
    title : str
    ended : sequence of Plane
        Whose prompts are used up.
    """
    patches = fill_patches(document.store, document.objects, fills, rule)
    changes = recounted(document.objects, patches)
    for each in fills:
        known = document.objects.get(each.id)
        change = changes.get(each.id, ObjectChange(known, known))
        if change.after is not None:
            described = _described(change.before, change.after, each)
            changes[each.id] = replace(change, after=described)
    drafts = tuple(
        DraftChange(plane, document.draft(plane), Draft()) for plane in ended
    )
    record = verb_record(
        "propagate", title=title, rule=rule, objects=[_write(each) for each in fills]
    )
    made = tuple(changes.values())
    document.history.push(Edit(title, drafts, made, tuple(patches), record))


def fill_again(document: Document, record: Record) -> None:
    """Make an edit of `fill` again from its record."""
    fills = [_read(each) for each in record["objects"]]
    fill(document, fills, record["rule"], record["title"])


def fill_patches(
    store: LabelStore,
    table: ObjectTable,
    fills: Sequence[ObjectFill],
    rule: OverlapRule,
) -> list[Patch]:
    """Return the patches, one a plane, that fills mean for the labels.

    Parameters
    ----------
    store : LabelStore
        Not changed.
    table : ObjectTable
        Says where the objects were.
    fills : sequence of ObjectFill
    rule : {"keep", "overwrite", "background"}
    """
    wanted: dict[Plane, dict[int, PlacedMask | None]] = {}
    for each in fills:
        for plane in each.cleared:
            wanted.setdefault(plane, {})[each.id] = None
        for one in each.slices:
            wanted.setdefault(one.placed.plane, {})[each.id] = one.placed
    made = [plane_patch(store, table, *item, rule) for item in wanted.items()]
    return [each for each in made if each is not None]


def plane_patch(
    store: LabelStore,
    table: ObjectTable,
    plane: Plane,
    masks: Mapping[int, PlacedMask | None],
    rule: OverlapRule,
) -> Patch | None:
    """Return the patch that gives objects new masks in a plane; None if none changes.

    Parameters
    ----------
    store : LabelStore
    table : ObjectTable
    plane : Plane
    masks : mapping of int to PlacedMask or None
        By object id; None for an object that is not there any more.
    rule : {"keep", "overwrite", "background"}
    """
    box = _box_of(table, plane, masks)
    if box is None:
        return None
    before = store.read(plane, box)
    after = before.copy()
    after[np.isin(after, list(masks))] = 0
    for number, placed in masks.items():
        if placed is not None:
            _paint(after, box, placed, number, rule)
    return None if np.array_equal(before, after) else Patch(plane, box, before, after)


def _paint(
    labels: Any, box: Box, placed: PlacedMask, number: int, rule: OverlapRule
) -> None:
    row, col = placed.origin[0] - box[0], placed.origin[1] - box[1]
    height, width = placed.mask.shape
    window = labels[row : row + height, col : col + width]
    free = placed.mask & (window == 0)
    left, whole = np.count_nonzero(free), np.count_nonzero(placed.mask)
    if rule == "overwrite":
        window[placed.mask] = number
    elif rule == "keep" or 2 * left >= whole:
        window[free] = number


def _box_of(
    table: ObjectTable, plane: Plane, masks: Mapping[int, PlacedMask | None]
) -> Box | None:
    """Return the box around the old and the new pixels of objects in a plane."""
    boxes = [each.box for each in masks.values() if each is not None]
    for number in masks:
        known = table.get(number)
        region = None if known is None else known.region_in(plane)
        boxes += [] if region is None else [region.box]
    box = None
    for each in boxes:
        box = each if box is None else union_box(box, each)
    return box


def _described(
    before: SegmentedObject | None, after: SegmentedObject, filled: ObjectFill
) -> SegmentedObject:
    """Say of an object how it was found, and how sure each plane is."""
    scores = {each.placed.plane: each.confidence for each in filled.slices}
    regions = [
        replace(region, confidence=scores.get(region.plane, region.confidence))
        for region in after.regions
    ]
    # Where a person had a hand in it comes first: there one goes to see the object.
    regions.sort(key=lambda region: region.confidence is not None)
    after = replace(after, regions=tuple(regions))
    if before is not None:
        return after
    return replace(
        after,
        class_name=filled.class_name,
        predicted_iou=filled.predicted_iou,
        stability_score=filled.stability_score,
        provenance=filled.provenance,
    )


def _write(filled: ObjectFill) -> Record:
    masks = [
        {"mask": write_mask(each.placed), "confidence": each.confidence}
        for each in filled.slices
    ]
    return {
        "id": filled.id,
        "class_name": filled.class_name,
        "predicted_iou": number_or_none(filled.predicted_iou),
        "stability_score": number_or_none(filled.stability_score),
        "provenance": write_provenance(filled.provenance),
        "slices": masks,
        "cleared": [write_plane(each) for each in filled.cleared],
    }


def _read(record: Record) -> ObjectFill:
    slices = [
        SliceFill(read_mask(each["mask"]), each["confidence"])
        for each in record["slices"]
    ]
    return ObjectFill(
        record["id"],
        tuple(slices),
        tuple(read_plane(each) for each in record["cleared"]),
        record["class_name"],
        nan_if_none(record["predicted_iou"]),
        nan_if_none(record["stability_score"]),
        read_provenance(record["provenance"]),
    )
