"""Which proposals are objects already, so that they are not offered once more."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_sam.geometry import Box
from napari_sam.session.document import Document
from napari_sam.session.view import ImageView
from napari_sam.structures import Frame, MaskRecord

if TYPE_CHECKING:
    from napari_sam.session.findings import Proposal
    from napari_sam.session.session import Session

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
    if not len(session.document.objects):
        return list(proposals), 0
    is_standing = _stands_anew if session.overlap == "overwrite" else _is_covered
    left = [each for each in proposals if not is_standing(each, session.document, view)]
    return left, len(proposals) - len(left)


def _is_covered(proposal: Proposal, document: Document, view: ImageView) -> bool:
    under = _ids_under(proposal.record, document, view)
    return 2 * int(np.count_nonzero(under)) > len(under)


def _stands_anew(proposal: Proposal, document: Document, view: ImageView) -> bool:
    """Whether one object of its class is the very same mask."""
    under = _ids_under(proposal.record, document, view)
    if not len(under):
        return False
    ids, counts = np.unique(under, return_counts=True)
    found = document.objects.get(int(ids[counts.argmax()]))
    region = None if found is None else found.region_in(view.plane)
    if found is None or region is None or found.class_name != proposal.class_name:
        return False
    there = _read(document, view, _samples_of(region.box, view.frame)) == found.id
    larger = max(len(under), int(np.count_nonzero(there)))
    return int(counts.max()) >= SAME * larger


def _ids_under(
    record: MaskRecord, document: Document, view: ImageView
) -> NDArray[np.int64]:
    """Return the id at each sample of a mask."""
    (row, col), (height, width) = record.origin, record.mask.shape
    ids = _read(document, view, (row, col, row + height, col + width))
    return ids[record.mask]


def _read(document: Document, view: ImageView, box: Box) -> NDArray[np.int64]:
    """Return the ids at samples of a view; what lies outside its plane is 0."""
    rows, cols = (
        _pixels(view.frame, axis, box[axis], box[axis + 2], view.plane.size[axis])
        for axis in (0, 1)
    )
    ids: NDArray[np.int64] = document.store.sample(view.plane, rows, cols)
    return ids


def _pixels(
    frame: Frame, axis: int, start: int, stop: int, side: int
) -> NDArray[np.intp]:
    """Return the pixels in which the middles of some samples lie."""
    middles = frame.origin[axis] + (np.arange(start, stop) + 0.5) * frame.step[axis]
    inside: NDArray[np.intp] = np.clip(np.floor(middles), 0, side - 1).astype(np.intp)
    return inside


def _samples_of(box: Box, frame: Frame) -> Box:
    """Return the samples that a box of pixels covers, those of the frame."""
    edges = [
        np.clip(
            round((box[n] - frame.origin[n % 2]) / frame.step[n % 2]),
            0,
            frame.shape[n % 2],
        )
        for n in range(4)
    ]
    return int(edges[0]), int(edges[1]), int(edges[2]), int(edges[3])
