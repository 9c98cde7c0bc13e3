"""Everything a session can save and undo: drafts, objects and their labels."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_sam.errors import DataError, PromptError
from napari_sam.session.drafts import Draft
from napari_sam.session.history import DraftChange, Edit, History, ObjectChange
from napari_sam.session.labels import (
    LabelStore,
    OverlapRule,
    Patch,
    PlacedMask,
    paint,
    recolour,
)
from napari_sam.session.objects import DEFAULT_CLASS, ObjectTable, SegmentedObject
from napari_sam.session.plane import Plane, Region, union_box
from napari_sam.session.records import commit_record, patch_record, verb_record
from napari_sam.session.recounting import box_in, recounted
from napari_sam.structures import Provenance

EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=bool)


@dataclass(frozen=True, eq=False)
class Finding:
    """A mask that may become an object, and what is known of it.

    Attributes
    ----------
    placed : PlacedMask
    class_name : str
    predicted_iou, stability_score : float
    text_score : float or None
    phrase : str
    provenance : Provenance
    """

    placed: PlacedMask
    class_name: str = DEFAULT_CLASS
    predicted_iou: float = float("nan")
    stability_score: float = float("nan")
    text_score: float | None = None
    phrase: str = ""
    provenance: Provenance = field(default_factory=lambda: Provenance(""))


class Document:
    """What a session holds; every edit goes through `history`.

    Parameters
    ----------
    store : LabelStore
    changed : callable
        Called with each `Edit` after it was made, taken back or made again.
    """

    def __init__(self, store: LabelStore, changed: Callable[[Edit], None]) -> None:
        self.store = store
        self.objects = ObjectTable()
        self.history = History(self._apply, changed)
        self._drafts: dict[Plane, Draft] = {}

    def draft(self, plane: Plane) -> Draft:
        """Return the prompts of a plane."""
        return self._drafts.get(plane, Draft())

    def edit_draft(self, plane: Plane, draft: Draft, title: str) -> None:
        """Change the prompts of a plane."""
        change = DraftChange(plane, self.draft(plane), draft)
        self.history.push(Edit(title, drafts=(change,)))

    def choose(self, plane: Plane, candidate: int) -> None:
        """Choose among a draft's masks; no edit of its own, as nothing is lost."""
        self._drafts[plane] = replace(self.draft(plane), candidate=candidate)

    def commit(
        self,
        finding: Finding,
        rule: OverlapRule,
        *,
        object_id: int | None = None,
        end_draft: bool = True,
        details: dict[str, Any] | None = None,
    ) -> SegmentedObject:
        """Make a mask an object, or give an object a new shape.

        Parameters
        ----------
        finding : Finding
        rule : {"keep", "overwrite", "background"}
        object_id : int, optional
            An existing object to replace, or the id to give; a fresh one by default.
        end_draft : bool
            Whether the plane's prompts are used up.
        details : dict, optional
            Added to the record.

        Raises
        ------
        DataError
            If nothing may be painted.
        """
        new_id = self.objects.next_id() if object_id is None else object_id
        edit, made = self._commit_edit(finding, rule, new_id)
        plane = finding.placed.plane
        drafts = (DraftChange(plane, self.draft(plane), Draft()),) * end_draft
        record = commit_record(finding, rule, new_id) | (details or {})
        self.history.push(replace(edit, drafts=drafts, record=record))
        return made

    def add(
        self,
        findings: Sequence[Finding],
        rule: OverlapRule,
        title: str,
        ids: Sequence[int] | None = None,
    ) -> int:
        """Make many masks objects, as one edit; return how many found room.

        What other objects cover already is left out, without an error.

        Parameters
        ----------
        findings : sequence of Finding
        rule : {"keep", "overwrite", "background"}
        title : str
        ids : sequence of int, optional
            Id of each finding; used only if they are different and none is taken.
        """
        objects: list[ObjectChange] = []
        patches: list[Patch] = []
        records: list[dict[str, Any]] = []
        first, wanted = self.objects.next_id(), self._free_ids(len(findings), ids)
        for number, finding in enumerate(findings):
            new_id = wanted[number] if wanted else first + len(records)
            try:
                edit, _ = self._commit_edit(finding, rule, new_id)
            except DataError:
                continue
            # Applied at once, so that the next one sees it; pushed as one edit below.
            self._apply_parts(edit)
            objects += edit.objects
            patches += edit.patches
            records.append(commit_record(finding, rule, new_id))
        edit = Edit(title, objects=tuple(objects), patches=tuple(patches))
        self._apply_parts(edit.inverse)
        if records:
            record = verb_record("add", title=title, rule=rule, objects=records)
            self.history.push(replace(edit, record=record))
        return len(records)

    def delete(self, ids: Iterable[int]) -> None:
        """Erase objects.

        Raises
        ------
        DataError
            If there is no such object.
        """
        objects = self._existing(ids)
        patches = self._recolour(objects, {each.id: 0 for each in objects})
        changes = tuple(ObjectChange(each, None) for each in objects)
        record = verb_record("delete", ids=[each.id for each in objects])
        title = f"delete {_names(objects)}"
        self.history.push(Edit(title, objects=changes, patches=patches, record=record))

    def merge(self, ids: Iterable[int]) -> SegmentedObject:
        """Make several objects one, with the id of the first.

        Raises
        ------
        DataError
            If there are fewer than two, or one does not exist.
        """
        objects = self._existing(ids)
        if len(objects) < 2:
            raise DataError("Select at least two objects to merge.")
        kept = objects[0]
        patches = self._recolour(objects[1:], {o.id: kept.id for o in objects[1:]})
        merged = replace(
            kept,
            regions=_union_regions(objects),
            area=sum(each.area for each in objects),
        )
        changes = (
            *(ObjectChange(each, None) for each in objects[1:]),
            ObjectChange(kept, merged),
        )
        record = verb_record("merge", ids=[each.id for each in objects])
        title = f"merge {_names(objects)}"
        self.history.push(Edit(title, objects=changes, patches=patches, record=record))
        return merged

    def split(
        self, object_id: int, first_id: int | None = None
    ) -> list[SegmentedObject]:
        """Make each connected part of an object an object; the largest keeps the id.

        Raises
        ------
        DataError
            If it does not exist, spans several planes, or is in one part.
        """
        (whole,) = self._existing([object_id])
        if len(whole.regions) > 1:
            raise DataError(f"Object {object_id} spans several slices: split it there.")
        before = self.store.read(whole.plane, whole.box)
        parts, count = ndimage.label(before == object_id, structure=EIGHT_NEIGHBOURS)
        if count < 2:
            raise DataError(f"Object {object_id} is in one part: nothing to split.")
        first = self.objects.next_id() if first_id is None else first_id
        after, made = _separate(before, parts, whole, first)
        changes = (
            ObjectChange(whole, made[0]),
            *(ObjectChange(None, each) for each in made[1:]),
        )
        patch = Patch(whole.plane, whole.box, before, after)
        record = verb_record("split", id=object_id, first_id=first)
        title = f"split object {object_id}"
        self.history.push(Edit(title, objects=changes, patches=(patch,), record=record))
        return made

    def set_class(self, ids: Iterable[int], class_name: str) -> None:
        """Give objects another class.

        Raises
        ------
        DataError
            If the name is empty or there is no such object.
        """
        name = class_name.strip()
        if not name:
            raise DataError("A class needs a name.")
        objects = self._existing(ids)
        changes = tuple(
            ObjectChange(each, replace(each, class_name=name)) for each in objects
        )
        record = verb_record("set_class", ids=[o.id for o in objects], class_name=name)
        title = f"class of {_names(objects)}"
        self.history.push(Edit(title, objects=changes, record=record))

    def painted(self, patches: Sequence[Patch], title: str = "brush stroke") -> None:
        """Take in labels that were written elsewhere, as with napari's brush.

        Parameters
        ----------
        patches : sequence of Patch
            Already written; ids unknown to the table become objects.
        title : str
        """
        changes = tuple(recounted(self.objects, patches).values())
        record = verb_record("paint", patches=[patch_record(each) for each in patches])
        self.history.push(
            Edit(title, objects=changes, patches=tuple(patches), record=record)
        )

    def object_at(
        self, plane: Plane, position: tuple[float, float]
    ) -> SegmentedObject | None:
        """Return the object at a (row, col) pixel of a plane."""
        return self.objects.get(self.store.value(plane, position))

    def object_mask(self, object_id: int, plane: Plane | None = None) -> PlacedMask:
        """Return an object's mask in a plane, by default the one it was made in.

        Raises
        ------
        DataError
            If there is no such object, or it is not in that plane.
        """
        (found,) = self._existing([object_id])
        region = found.regions[0] if plane is None else found.region_in(plane)
        if region is None:
            raise DataError(f"Object {object_id} is on another slice: go there first.")
        row0, col0, _, _ = region.box
        mask = self.store.mask(region.plane, region.box, object_id)
        return PlacedMask(region.plane, (row0, col0), mask)

    def _free_ids(self, count: int, ids: Sequence[int] | None) -> list[int]:
        """Return the wanted ids if all can be given, else none."""
        wanted = list(ids or ())
        taken = any(each in self.objects for each in wanted)
        return [] if taken or len(set(wanted)) != count else wanted

    def _existing(self, ids: Iterable[int]) -> list[SegmentedObject]:
        objects = [self.objects.get(each) for each in dict.fromkeys(ids)]
        found = [each for each in objects if each is not None]
        if not found or len(found) < len(objects):
            raise DataError("There is no such object: select one in the table.")
        return found

    def _commit_edit(
        self, finding: Finding, rule: OverlapRule, new_id: int
    ) -> tuple[Edit, SegmentedObject]:
        placed = finding.placed.tight()
        if placed is None:
            raise PromptError("The mask is empty: change the prompts first.")
        old = self.objects.get(new_id)
        for region in old.regions if old else ():
            if region.plane == placed.plane:
                placed = _enlarged(placed, union_box(placed.box, region.box))
        patch = paint(self.store, placed, new_id, rule)
        made = _committed(finding, patch, new_id, old)
        victims = self._shrunk(patch, new_id)
        changes = (*victims, ObjectChange(old, made))
        title = f"{'reshape' if old else 'commit'} object {new_id}"
        return Edit(title, objects=changes, patches=(patch,)), made

    def _shrunk(self, patch: Patch, new_id: int) -> tuple[ObjectChange, ...]:
        """Return what becomes of the objects that lose pixels to another one."""
        lost = patch.before[(patch.after == new_id) & (patch.before != new_id)]
        ids, counts = np.unique(lost[lost != 0], return_counts=True)
        changes = []
        for victim_id, count in zip(ids.tolist(), counts.tolist(), strict=True):
            victim = self.objects.get(victim_id)
            if victim is not None:
                left = victim.area - count
                after = replace(victim, area=left) if left > 0 else None
                changes.append(ObjectChange(victim, after))
        return tuple(changes)

    def _recolour(
        self, objects: Sequence[SegmentedObject], ids: dict[int, int]
    ) -> tuple[Patch, ...]:
        """Return patches a plane, as boxes of several objects may overlap."""
        boxes: dict[Plane, Any] = {}
        for region in (region for each in objects for region in each.regions):
            known = boxes.get(region.plane, region.box)
            boxes[region.plane] = union_box(known, region.box)
        patches = (recolour(self.store, p, box, ids) for p, box in boxes.items())
        return tuple(patch for patch in patches if patch is not None)

    def _apply(self, edit: Edit) -> None:
        for change in edit.drafts:
            self._drafts[change.plane] = change.after
        self._apply_parts(edit)

    def _apply_parts(self, edit: Edit) -> None:
        for patch in edit.patches:
            self.store.apply(patch)
        for change in edit.objects:
            self.objects.replace(change.before, change.after)


def _names(objects: Sequence[SegmentedObject]) -> str:
    if len(objects) == 1:
        return f"object {objects[0].id}"
    return f"{len(objects)} objects"


def _enlarged(placed: PlacedMask, box: tuple[int, int, int, int]) -> PlacedMask:
    """Return the same mask in a larger box."""
    mask = np.zeros((box[2] - box[0], box[3] - box[1]), bool)
    row, col = placed.origin[0] - box[0], placed.origin[1] - box[1]
    height, width = placed.mask.shape
    mask[row : row + height, col : col + width] = placed.mask
    return PlacedMask(placed.plane, (box[0], box[1]), mask)


def _committed(
    finding: Finding, patch: Patch, new_id: int, old: SegmentedObject | None
) -> SegmentedObject:
    inside = patch.after == new_id
    area = int(np.count_nonzero(inside))
    others: tuple[Region, ...] = ()
    class_name = finding.class_name
    if old is not None:
        others = tuple(r for r in old.regions if r.plane != patch.plane)
        area += old.area - int(np.count_nonzero(patch.before == new_id))
        class_name = old.class_name
    return SegmentedObject(
        id=new_id,
        class_name=class_name,
        regions=(Region(patch.plane, box_in(patch, inside)), *others),
        area=area,
        predicted_iou=finding.predicted_iou,
        stability_score=finding.stability_score,
        text_score=finding.text_score,
        phrase=finding.phrase,
        provenance=finding.provenance,
    )


def _union_regions(objects: Sequence[SegmentedObject]) -> tuple[Region, ...]:
    boxes: dict[Plane, tuple[int, int, int, int]] = {}
    for region in (region for each in objects for region in each.regions):
        known = boxes.get(region.plane, region.box)
        boxes[region.plane] = union_box(known, region.box)
    return tuple(Region(plane, box) for plane, box in boxes.items())


def _separate(
    before: NDArray[Any], parts: NDArray[Any], whole: SegmentedObject, first_id: int
) -> tuple[NDArray[Any], list[SegmentedObject]]:
    """Give the parts of an object ids, the largest its own."""
    areas = np.bincount(parts.ravel())[1:]
    after, made = before.copy(), []
    for rank, part in enumerate(np.argsort(-areas, kind="stable")):
        new_id = whole.id if rank == 0 else first_id + rank - 1
        inside = parts == part + 1
        after[inside] = new_id
        patch = Patch(whole.plane, whole.box, before, after)
        region = Region(whole.plane, box_in(patch, inside))
        made.append(replace(whole, id=new_id, regions=(region,), area=int(areas[part])))
    return after, made
