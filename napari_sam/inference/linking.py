"""Join objects found slice by slice into objects of a volume."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from napari_sam.errors import PromptError
from napari_sam.inference.volume_overlap import between
from napari_sam.inference.volume_result import (
    SliceMask,
    VolumeObject,
    VolumeSegmentation,
    slice_iou,
)
from napari_sam.structures import MaskRecord

# The background lies at one of these quantiles of a slice: dark under bright objects.
BACKGROUND = (0.2, 0.8)
LEAST_CONTRAST = 1e-3


@dataclass(frozen=True)
class LinkSettings:
    """Which masks of neighbouring slices are one object, and which objects are kept.

    Attributes
    ----------
    min_iou : float
        Least IoU of two masks of one object in neighbouring slices.
    gap : int
        Most slices in a row in which an object may be missing; they are filled.
    min_slices : int
        Objects in fewer slices are dropped.
    min_voxels : int
        Smaller objects are dropped.
    neck : float
        An object is cut in two at a slice where it has less bulk than this share of its
        bulkiest slices on both sides: objects that lie on each other are linked
        otherwise. Its bulk is its diameter times how much it differs from the slice's
        background, if the brightness is known; else its area. 0 cuts nothing, as suits
        time.
    anisotropy : float
        How much thicker a slice is than a pixel is wide; with thicker ones less
        overlap is asked for.

    Raises
    ------
    PromptError
        If a number is out of range.
    """

    min_iou: float = 0.3
    gap: int = 1
    min_slices: int = 2
    min_voxels: int = 20
    neck: float = 0.85
    anisotropy: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.min_iou <= 1 or self.gap < 0 or self.anisotropy <= 0:
            raise PromptError(
                "min_iou lies in 0 to 1, gap is at least 0 and anisotropy above 0."
            )

    @property
    def iou(self) -> float:
        """`min_iou` for slices of this thickness."""
        return self.min_iou / math.sqrt(min(max(self.anisotropy, 1.0), 4.0))


@dataclass(eq=False)
class _Chain:
    """An object that may go on in the next slice."""

    slices: dict[int, SliceMask] = field(default_factory=dict)
    contrasts: dict[int, tuple[float, float]] = field(default_factory=dict)

    @property
    def last(self) -> int:
        return max(self.slices)

    def bulk(self) -> NDArray[np.float64]:
        """How much of the object there is in each slice, in order."""
        indices = sorted(self.slices)
        areas = np.array([self.slices[n].area for n in indices], dtype=float)
        if not self.contrasts:
            return areas
        known = sorted(self.contrasts)
        seen = np.array([self.contrasts[n] for n in known])
        # A bright object on dark ground, or the other way round.
        kind = int(np.median(seen, axis=0).argmax())
        # Slices that were bridged have none of their own.
        contrasts = np.interp(indices, known, seen[:, kind])
        bulk: NDArray[np.float64] = np.sqrt(areas) * contrasts.clip(LEAST_CONTRAST)
        return bulk

    def part(self, indices: Sequence[int]) -> _Chain:
        """The object in some of its slices."""
        return _Chain(
            {n: self.slices[n] for n in indices},
            {n: self.contrasts[n] for n in indices if n in self.contrasts},
        )


def link_slices(
    planes: Iterable[Sequence[MaskRecord]],
    shape: tuple[int, ...],
    *,
    axis: int = 0,
    settings: LinkSettings | None = None,
    brightness: Callable[[int], NDArray[np.float32]] | None = None,
) -> VolumeSegmentation:
    """Link the objects of slices into objects of the volume.

    Each slice's masks are matched one to one with the objects that were there in the
    slice before, so that the summed IoU is highest. An object may be missing for some
    slices; its outline there is interpolated.

    Parameters
    ----------
    planes : iterable of sequence of MaskRecord
        The objects of each slice, in order; they are taken one slice at a time.
    shape : tuple of int
        Of the volume.
    axis : int
        The axis that the slices lie along.
    settings : LinkSettings, optional
    brightness : callable, optional
        Gives a slice's brightness, float32 (rows, columns) of 0..1; it is asked for the
        slice whose objects were taken last.

    Returns
    -------
    VolumeSegmentation
        Ids count from 1 in the order in which objects begin.
    """
    chosen = settings or LinkSettings()
    result = VolumeSegmentation(shape, axis)
    finished: list[_Chain] = []
    open_chains: list[_Chain] = []
    for index, records in enumerate(planes):
        masks = [SliceMask(each, each.predicted_iou) for each in records]
        alive = [c for c in open_chains if index - c.last <= chosen.gap + 1]
        finished += [c for c in open_chains if index - c.last > chosen.gap + 1]
        seen = brightness(index) if brightness and masks else None
        open_chains = _extend(alive, masks, index, chosen, result.slice_shape)
        if seen is not None:
            _note_contrasts(open_chains, index, seen)
    parts = [p for c in finished + open_chains for p in _cut(c, chosen.neck)]
    kept = [each for each in parts if _is_kept(each, chosen)]
    kept.sort(key=lambda chain: min(chain.slices))
    for identifier, chain in enumerate(kept, start=1):
        result.objects[identifier] = VolumeObject(chain.slices)
    return result


def _extend(
    chains: list[_Chain],
    masks: Sequence[SliceMask],
    index: int,
    settings: LinkSettings,
    shape: tuple[int, int],
) -> list[_Chain]:
    """Add a slice's masks to the chains they go on; the others begin new ones."""
    ious = overlap_matrix([chain.slices[chain.last] for chain in chains], masks)
    ious[ious < settings.iou] = 0
    begun = set(range(len(masks)))
    if ious.any():
        rows, cols = linear_sum_assignment(ious, maximize=True)
        for row, col in zip(rows, cols, strict=True):
            if ious[row, col] > 0:
                _append(chains[row], masks[col], index, shape)
                begun.discard(int(col))
    return chains + [_Chain({index: masks[n]}) for n in sorted(begun)]


def _append(
    chain: _Chain, found: SliceMask, index: int, shape: tuple[int, int]
) -> None:
    last = chain.last
    before = chain.slices[last]
    for missing in range(last + 1, index):
        share = (missing - last) / (index - last)
        filled = between(before, found, share, shape)
        if filled is not None:
            chain.slices[missing] = filled
    chain.slices[index] = found


def _note_contrasts(
    chains: Iterable[_Chain], index: int, plane: NDArray[np.float32]
) -> None:
    """Note how much brighter, and darker, objects are than a slice's background."""
    dark, bright = np.quantile(plane, BACKGROUND)
    for chain in chains:
        found = chain.slices.get(index)
        if found is not None:
            mean = float(plane[found.region][found.record.mask].mean())
            chain.contrasts[index] = (mean - float(dark), float(bright) - mean)


def _cut(chain: _Chain, neck: float) -> list[_Chain]:
    """Cut a chain where it has little bulk between two bulkier parts."""
    indices, bulk = sorted(chain.slices), chain.bulk()
    if len(bulk) < 3 or neck <= 0:
        return [chain]
    bulkiest = np.minimum(
        np.maximum.accumulate(bulk)[:-2],
        np.maximum.accumulate(bulk[::-1])[::-1][2:],
    )
    shares = bulk[1:-1] / bulkiest
    place = int(shares.argmin()) + 1
    if shares[place - 1] >= neck:
        return [chain]
    halves = indices[:place], indices[place:]
    return [part for half in halves for part in _cut(chain.part(half), neck)]


def overlap_matrix(
    masks: Sequence[SliceMask], others: Sequence[SliceMask]
) -> NDArray[np.float64]:
    """IoU of each mask with each other one, all in the same pixels.

    Parameters
    ----------
    masks, others : sequence of SliceMask

    Returns
    -------
    ndarray of float64, shape (N, M)
    """
    ious = np.zeros((len(masks), len(others)))
    for row, col in near_pairs(masks, others):
        ious[row, col] = slice_iou(masks[row], others[col])
    return ious


def near_pairs(
    masks: Sequence[SliceMask], others: Sequence[SliceMask]
) -> NDArray[np.intp]:
    """Which masks may share pixels with which other ones: their boxes overlap.

    Parameters
    ----------
    masks, others : sequence of SliceMask

    Returns
    -------
    ndarray of int, shape (N, 2)
        Indices of a mask and of another one.
    """
    if not masks or not others:
        return np.zeros((0, 2), np.intp)
    boxes, further = (np.array([_box(m) for m in part]) for part in (masks, others))
    low = np.maximum(boxes[:, None, :2], further[None, :, :2])
    high = np.minimum(boxes[:, None, 2:], further[None, :, 2:])
    return np.argwhere((low < high).all(axis=-1))


def _box(found: SliceMask) -> tuple[int, int, int, int]:
    rows, cols = found.region
    return rows.start, cols.start, rows.stop, cols.stop


def _is_kept(chain: _Chain, settings: LinkSettings) -> bool:
    voxels = sum(each.area for each in chain.slices.values())
    return len(chain.slices) >= settings.min_slices and voxels >= settings.min_voxels
