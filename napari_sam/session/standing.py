"""Which proposals are objects already, so that they are not offered once more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_sam.geometry import Box
from napari_sam.session.document import Document
from napari_sam.session.labels import PlacedMask
from napari_sam.session.view import ImageView
from napari_sam.structures import Frame, MaskRecord

if TYPE_CHECKING:
    from napari_sam.session.findings import Proposal
    from napari_sam.session.session import Session

Ids = NDArray[np.int64]
# Two masks that share so much of both are the same one.
SAME = 0.9


def split_standing(
    session: Session, view: ImageView, proposals: Sequence[Proposal]
) -> tuple[list[Proposal], int]:
    """Return the proposals that are no objects yet, and how many are.

    Parameters
    ----------
    session : Session
        Where its overlap rule protects objects, a proposal that mostly lies on some
        counts as one of them; where a commit overwrites, only the same mask of the
        same class does.
    view : ImageView
        Whose samples the proposals are in.
    proposals : sequence of Proposal
    """
    document = session.document
    if not len(document.objects):
        return list(proposals), 0
    # Once for all: a slider waits for it.
    ids = _ids_of(document, view)
    if session.overlap == "overwrite":
        left = [each for each in proposals if not _is_same(each, ids, document, view)]
    else:
        left = [each for each in proposals if not _is_covered(each.record, ids)]
    return left, len(proposals) - len(left)


def _is_covered(record: MaskRecord, ids: Ids) -> bool:
    return _is_mostly_taken(_window(ids, record)[record.mask])


def are_covered(masks: Sequence[PlacedMask], document: Document) -> bool:
    """Whether an object's masks, all together, mostly lie on objects.

    Parameters
    ----------
    masks : sequence of PlacedMask
    document : Document
    """
    under = [document.store.read(each.plane, each.box)[each.mask] for each in masks]
    return bool(under) and _is_mostly_taken(np.concatenate(under))


def _is_mostly_taken(ids: NDArray[Any]) -> bool:
    return 2 * int(np.count_nonzero(ids)) > ids.size


def _is_same(proposal: Proposal, ids: Ids, document: Document, view: ImageView) -> bool:
    """Whether one object of its class is the very same mask."""
    under = _window(ids, proposal.record)[proposal.record.mask]
    if not under.any():
        return False
    numbers, counts = np.unique(under, return_counts=True)
    found = document.objects.get(int(numbers[counts.argmax()]))
    region = None if found is None else found.region_in(view.plane)
    if found is None or region is None or found.class_name != proposal.class_name:
        return False
    row0, col0, row1, col1 = _samples_of(region.box, view.frame)
    there = int(np.count_nonzero(ids[row0:row1, col0:col1] == found.id))
    return int(counts.max()) >= SAME * max(len(under), there)


def _window(ids: Ids, record: MaskRecord) -> Ids:
    (row, col), (height, width) = record.origin, record.mask.shape
    return ids[row : row + height, col : col + width]


def _ids_of(document: Document, view: ImageView) -> Ids:
    """Return the id of the object at each sample of a view."""
    frame, size = view.frame, view.plane.size
    rows, cols = (_pixels(frame, axis, size[axis]) for axis in (0, 1))
    ids: Ids = document.store.sample(view.plane, rows, cols)
    return ids


def _pixels(frame: Frame, axis: int, side: int) -> NDArray[np.intp]:
    """Return the pixels in which the middles of the samples lie."""
    steps = np.arange(frame.shape[axis]) + 0.5
    middles = frame.origin[axis] + steps * frame.step[axis]
    inside: NDArray[np.intp] = np.clip(np.floor(middles), 0, side - 1).astype(np.intp)
    return inside


def _samples_of(box: Box, frame: Frame) -> Box:
    """Return the samples that a box of pixels covers, those of the frame."""
    row0, col0, row1, col1 = (
        min(
            max(round((edge - frame.origin[n % 2]) / frame.step[n % 2]), 0),
            frame.shape[n % 2],
        )
        for n, edge in enumerate(box)
    )
    return row0, col0, row1, col1


def say_standing(standing: int, left: int) -> str:
    """Say how many of what was found are objects already; "" if none is.

    Parameters
    ----------
    standing, left : int
        How many are, and how many are not.
    """
    if not standing:
        return ""
    if not left:
        return " All are objects already."
    return f" {standing} {'is an object' if standing == 1 else 'are objects'} already."
