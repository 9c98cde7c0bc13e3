"""Which points, boxes and masks show the same object."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from napari_sam.cli.options import Box, Point
from napari_sam.structures import BoxPrompt, MaskPrompt, PointPrompt, PromptSet

Mask = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class PromptedObject:
    """The prompts of one object and the id it will have."""

    id: int
    prompts: PromptSet


@dataclass(eq=False)
class _Draft:
    """An object while its prompts are gathered."""

    box: Box | None = None
    mask: Mask | None = None
    id: int | None = None
    points: list[PointPrompt] = field(default_factory=list)

    def holds(self, point: Point) -> bool:
        if self.box is not None and self.box.holds(point):
            return True
        return self.mask is not None and _on_mask(self.mask, point)

    @property
    def area(self) -> float:
        if self.box is not None:
            return self.box.area
        return float("inf") if self.mask is None else float(self.mask.sum())

    def add(self, point: Point, positive: bool) -> None:
        self.points.append(PointPrompt((point.row, point.col), positive))


def group_prompts(
    points: Sequence[Point],
    negatives: Sequence[Point],
    boxes: Sequence[Box],
    mask_labels: NDArray[np.integer] | None,
    each_point: bool,
) -> list[PromptedObject]:
    """Gather the prompts of each object.

    A box is an object, and so is each id of the mask labels, except that a box takes
    in the ids which have at least half of their pixels in it. A point in a box or on a
    mask belongs to that object, the smallest if there are several; the others together
    are one more object. A negative point belongs to all objects whose box or mask it
    lies in, or to every object if there is none.

    Parameters
    ----------
    points, negatives : sequence of Point
        In pixels of the full image.
    boxes : sequence of Box
    mask_labels : ndarray of int, shape (H, W), or None
        Ids; objects without a box keep theirs.
    each_point : bool
        Every point is an object of its own.

    Returns
    -------
    list of PromptedObject
        Of boxes, of masks, of points.
    """
    drafts = [_Draft(box=box) for box in boxes]
    if mask_labels is not None:
        drafts += _place_masks(mask_labels, drafts)
    drafts += _place_points(points, drafts, each_point)
    for negative in negatives:
        holders = [draft for draft in drafts if draft.holds(negative)]
        for draft in holders or drafts:
            draft.add(negative, positive=False)
    return _finish(drafts)


def _place_masks(labels: NDArray[np.integer], boxed: Sequence[_Draft]) -> list[_Draft]:
    """Give each id's mask to the box around it; return those without a box."""
    unboxed = []
    for id_ in np.unique(labels[labels != 0]):
        mask = labels == id_
        around = [draft for draft in boxed if _share(mask, draft.box) >= 0.5]
        if around:
            owner = min(around, key=lambda draft: draft.area)
            owner.mask = mask if owner.mask is None else owner.mask | mask
        else:
            unboxed.append(_Draft(mask=mask, id=int(id_)))
    return unboxed


def _place_points(
    points: Sequence[Point], shown: Sequence[_Draft], each_point: bool
) -> list[_Draft]:
    """Give each point to its object; return the objects that only points show."""
    alone: list[_Draft] = []
    for point in points:
        holders = [draft for draft in shown if draft.holds(point)]
        if holders and not each_point:
            min(holders, key=lambda draft: draft.area).add(point, positive=True)
            continue
        if each_point or not alone:
            alone.append(_Draft())
        alone[-1].add(point, positive=True)
    return alone


def _share(mask: Mask, box: Box | None) -> float:
    """Return how much of a mask lies in a box, 0 to 1."""
    if box is None:
        return 0.0
    rows, cols = np.nonzero(mask)
    inside_rows = (rows >= box.row0) & (rows < box.row1)
    inside_cols = (cols >= box.col0) & (cols < box.col1)
    return float((inside_rows & inside_cols).mean())


def _on_mask(mask: Mask, point: Point) -> bool:
    row, col = int(np.floor(point.row)), int(np.floor(point.col))
    inside = 0 <= row < mask.shape[0] and 0 <= col < mask.shape[1]
    return inside and bool(mask[row, col])


def _finish(drafts: Sequence[_Draft]) -> list[PromptedObject]:
    """Number the objects that have no id yet with the lowest free ones."""
    taken = {draft.id for draft in drafts}
    free = (n for n in range(1, 2 * len(drafts) + 1) if n not in taken)
    return [
        PromptedObject(next(free) if draft.id is None else draft.id, _prompts(draft))
        for draft in drafts
    ]


def _prompts(draft: _Draft) -> PromptSet:
    box = draft.box
    return PromptSet(
        points=tuple(draft.points),
        box=None if box is None else BoxPrompt(box[:2], box[2:4]),
        mask=None if draft.mask is None else MaskPrompt(draft.mask),
    )
