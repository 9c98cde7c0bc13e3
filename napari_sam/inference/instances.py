"""From many overlapping candidates to separate objects in one label image."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from napari_sam.geometry import Box, mask_to_box
from napari_sam.inference.postprocess import fill_holes, largest_part
from napari_sam.structures import MaskRecord

# A candidate that has lost more of its pixels to better ones is the same object.
LARGEST_LOSS = 0.4


@dataclass(frozen=True)
class InstanceSettings:
    """Which objects are kept, and in which shape.

    Attributes
    ----------
    min_size, max_size : float
        Area in pixels, both inclusive.
    keep_border : bool
        Keep objects that touch the image's border.
    fill_holes : bool
        Fill holes in objects, as far as no other object is there.
    """

    min_size: float = 15.0
    max_size: float = float("inf")
    keep_border: bool = True
    fill_holes: bool = True


@dataclass(frozen=True, eq=False)
class Candidate:
    """A possible object and how much it deserves to be one."""

    record: MaskRecord
    score: float

    @property
    def box(self) -> Box:
        """(row0, col0, row1, col1) in the full image."""
        row, col = self.record.origin
        height, width = self.record.mask.shape
        return row, col, row + height, col + width


def resolve(
    candidates: Sequence[Candidate],
    labels: NDArray[np.int32],
    settings: InstanceSettings,
) -> list[MaskRecord]:
    """Paint candidates into a label image, the best first.

    A candidate gets the pixels that no better one has, in one piece, if those are most
    of its own. Of equal scores the earlier wins.

    Parameters
    ----------
    candidates : sequence of Candidate
    labels : ndarray of int32, shape (H, W)
        Written to; pixels that are not 0 are taken. New ids go on from the largest.
    settings : InstanceSettings

    Returns
    -------
    list of MaskRecord
        The painted objects in the order of their ids.
    """
    order = np.argsort([-each.score for each in candidates], kind="stable")
    painted: list[MaskRecord] = []
    first = int(labels.max(initial=0)) + 1
    for index in order:
        candidate = candidates[index]
        row0, col0, row1, col1 = candidate.box
        view = labels[row0:row1, col0:col1]
        mask = _free_part(candidate.record.mask, view, settings)
        if mask is None or _is_refused(mask, candidate, labels.shape, settings):
            continue
        view[mask] = first + len(painted)
        painted.append(_cut(candidate.record, mask))
    return painted


def _free_part(
    mask: NDArray[np.bool_], taken: NDArray[np.int32], settings: InstanceSettings
) -> NDArray[np.bool_] | None:
    """What a candidate gets; None if too little is left of it."""
    free: NDArray[np.bool_] = mask & (taken == 0)
    area = np.count_nonzero(mask)
    if np.count_nonzero(free) < (1 - LARGEST_LOSS) * area:
        return None
    free = largest_part(free)
    if settings.fill_holes:
        free = fill_holes(free) & (taken == 0)
    if np.count_nonzero(free) < (1 - LARGEST_LOSS) * area:
        return None
    return free


def _is_refused(
    mask: NDArray[np.bool_],
    candidate: Candidate,
    shape: tuple[int, ...],
    settings: InstanceSettings,
) -> bool:
    area = np.count_nonzero(mask)
    if not settings.min_size <= area <= settings.max_size or area == 0:
        return True
    if settings.keep_border:
        return False
    return touches_border(mask, candidate.record.origin, shape)


def touches_border(
    mask: NDArray[np.bool_], origin: tuple[int, int], shape: tuple[int, ...]
) -> bool:
    """Whether a mask reaches the border of its image.

    Parameters
    ----------
    mask : ndarray of bool, shape (h, w)
    origin : tuple of int
        (row, col) of its first pixel in the image.
    shape : tuple of int
        (H, W) of the image.
    """
    row, col = origin
    height, width = mask.shape
    edges = (
        row == 0 and mask[0].any(),
        col == 0 and mask[:, 0].any(),
        row + height == shape[0] and mask[-1].any(),
        col + width == shape[1] and mask[:, -1].any(),
    )
    return any(edges)


def _cut(record: MaskRecord, mask: NDArray[np.bool_]) -> MaskRecord:
    box = mask_to_box(mask)
    assert box is not None
    row0, col0, row1, col1 = box
    row, col = record.origin
    inside = mask[row0:row1, col0:col1].copy()
    return replace(record, mask=inside, origin=(row + row0, col + col0))


def drop_similar(candidates: Sequence[Candidate], threshold: float) -> list[Candidate]:
    """Keep only the better of two candidates whose masks overlap by more than an IoU.

    Parameters
    ----------
    candidates : sequence of Candidate
    threshold : float

    Returns
    -------
    list of Candidate
        Best first.
    """
    order = np.argsort([-each.score for each in candidates], kind="stable")
    ranked = [candidates[index] for index in order]
    boxes = np.array([each.box for each in ranked]).reshape(-1, 4)
    kept: list[int] = []
    for index, each in enumerate(ranked):
        near = _touching(boxes[kept], boxes[index])
        if all(record_iou(each, ranked[kept[n]]) <= threshold for n in near):
            kept.append(index)
    return [ranked[index] for index in kept]


def _touching(boxes: NDArray[np.int64], box: NDArray[np.int64]) -> NDArray[np.int64]:
    low = np.maximum(boxes[:, :2], box[:2])
    high = np.minimum(boxes[:, 2:], box[2:])
    return np.flatnonzero((low < high).all(axis=1))


def record_iou(one: Candidate, other: Candidate) -> float:
    """IoU of two candidates' masks, in the full image."""
    a, b = one.box, other.box
    row0, col0 = max(a[0], b[0]), max(a[1], b[1])
    row1, col1 = min(a[2], b[2]), min(a[3], b[3])
    if row0 >= row1 or col0 >= col1:
        return 0.0
    parts = [
        each.record.mask[row0 - box[0] : row1 - box[0], col0 - box[1] : col1 - box[1]]
        for each, box in ((one, a), (other, b))
    ]
    both = np.count_nonzero(parts[0] & parts[1])
    areas = [np.count_nonzero(each.record.mask) for each in (one, other)]
    return both / (sum(areas) - both)
