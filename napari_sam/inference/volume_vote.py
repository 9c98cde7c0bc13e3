"""All objects of a volume found along its three axes, and what the axes agree on.

For data whose voxels are about as long along every axis: an object that is cut badly in
one direction is often cut well in the two others.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects
from scipy.optimize import linear_sum_assignment

from napari_sam.geometry import mask_to_box
from napari_sam.inference.linking import LinkSettings
from napari_sam.inference.volume import VolumeSegmenter
from napari_sam.inference.volume_automatic import (
    PlaneFinder,
    find_everything,
    mean_confidence,
    segment_volume,
)
from napari_sam.inference.volume_result import (
    SliceMask,
    VolumeObject,
    VolumeSegmentation,
)
from napari_sam.inference.volume_source import VolumeLike
from napari_sam.inference.volume_words import NamedFinder
from napari_sam.structures import MaskRecord

Progress = Callable[[int, int | None], object]

# Objects of two axes are one if they overlap by so much.
LEAST_IOU = 0.3


def segment_by_vote(
    segmenter: VolumeSegmenter,
    volume: VolumeLike,
    *,
    channel_axis: int | None = None,
    find: PlaneFinder = find_everything,
    links: LinkSettings | None = None,
    progress: Progress | None = None,
    should_cancel: Callable[[], bool] | None = None,
) -> VolumeSegmentation:
    """Find all objects of a volume along each axis, and keep what two agree on.

    Parameters
    ----------
    segmenter : VolumeSegmenter
    volume : array-like
        Three axes, or four with ``channel_axis``. Ids of all voxels are in memory
        three times.
    channel_axis, find, links, should_cancel
        As for `segment_volume`.
    progress : callable, optional
        Called with the number of slices done and to do, of all axes together.

    Returns
    -------
    VolumeSegmentation
        Of the first axis. If it was cancelled, what was found along that axis alone.

    Raises
    ------
    ImageError, ModelError
        As `segment_volume`.
    """
    axes = [n for n in range(len(volume.shape)) if n != _positive(channel_axis, volume)]
    total, done = sum(int(volume.shape[n]) for n in axes), 0
    found: list[VolumeSegmentation] = []
    for axis in axes:
        offset = done

        def tell(count: int, _: int | None, offset: int = offset) -> None:
            if progress:
                progress(offset + count, total)

        each = segment_volume(
            segmenter,
            volume,
            axis=axis,
            channel_axis=channel_axis,
            find=find,
            links=links,
            # The axes make good for each other.
            refine=False,
            progress=tell,
            should_cancel=should_cancel,
        )
        found.append(each)
        if not each.complete:
            found[0].complete = False
            return found[0]
        done += int(volume.shape[axis])
    labels = [each.labels() for each in found]
    voted, members = vote(labels)
    result = _as_result(voted, members, [mean_confidence(each) for each in found])
    if isinstance(find, NamedFinder):
        find.give_names(result)
    return result


def _positive(channel_axis: int | None, volume: VolumeLike) -> int | None:
    return None if channel_axis is None else channel_axis % len(volume.shape)


def vote(
    labels: Sequence[NDArray[np.int32]],
) -> tuple[NDArray[np.int32], dict[int, list[tuple[int, int]]]]:
    """Keep the voxels that two of three label volumes give to the same object.

    Parameters
    ----------
    labels : sequence of ndarray of int32
        Three of one shape; which id is which is found out by overlap.

    Returns
    -------
    voted : ndarray of int32
    members : dict of int to list of (int, int)
        For each id, where it comes from: the number of the volume, and the id there.
    """
    named: list[NDArray[np.int32]] = []
    members: dict[int, list[tuple[int, int]]] = {}
    for number, volume in enumerate(labels):
        names = _names(volume, named, len(members))
        for identifier, name in names.items():
            members.setdefault(name, []).append((number, identifier))
        table = np.zeros(int(volume.max(initial=0)) + 1, np.int32)
        table[list(names)] = list(names.values())
        named.append(table[volume])
    first, second, third = named
    voted = np.where((first == second) | (first == third), first, 0)
    voted = np.where((voted == 0) & (second == third), second, voted)
    kept = set(np.unique(voted).tolist()) - {0}
    return voted.astype(np.int32), {n: members[n] for n in sorted(kept)}


def _names(
    volume: NDArray[np.int32], named: Sequence[NDArray[np.int32]], count: int
) -> dict[int, int]:
    """Name objects after those that overlap them most, the others by new numbers."""
    names: dict[int, int] = {}
    free = {int(n) for n in np.unique(volume) if n}
    for other in named:
        taken = set(names.values())
        for identifier, name in _matches(volume, other):
            if identifier in free and name not in taken:
                names[identifier] = name
                free.discard(identifier)
    new = range(count + 1, count + 1 + len(free))
    return names | dict(zip(sorted(free), new, strict=True))


def _matches(
    volume: NDArray[np.int32], other: NDArray[np.int32]
) -> list[tuple[int, int]]:
    """Pairs of ids that overlap by `LEAST_IOU`, one to one, of the largest sum."""
    ids, index = np.unique(volume, return_inverse=True)
    names, place = np.unique(other, return_inverse=True)
    pair = index.ravel().astype(np.int64) * len(names) + place.ravel()
    shared = np.bincount(pair, minlength=len(ids) * len(names))
    shared = shared.reshape(len(ids), len(names))
    union = shared.sum(1, keepdims=True) + shared.sum(0, keepdims=True) - shared
    ious = shared / union
    ious[ids == 0], ious[:, names == 0] = 0, 0
    ious[ious < LEAST_IOU] = 0
    rows, cols = linear_sum_assignment(ious, maximize=True)
    return [
        (int(ids[row]), int(names[col]))
        for row, col in zip(rows, cols, strict=True)
        if ious[row, col] > 0
    ]


def _as_result(
    voted: NDArray[np.int32],
    members: dict[int, list[tuple[int, int]]],
    confidences: Sequence[dict[int, float]],
) -> VolumeSegmentation:
    """Cut labels into masks of slices, as sure as the objects they came from."""
    result = VolumeSegmentation(voted.shape)
    boxes = find_objects(voted)
    for number, (name, origins) in enumerate(members.items(), start=1):
        sure = float(np.mean([confidences[n].get(i, 0.0) for n, i in origins]))
        each = result.objects[number] = VolumeObject()
        box = boxes[name - 1]
        for index in range(box[0].start, box[0].stop):
            mask = voted[index][box[1:]] == name
            inner = mask_to_box(mask)
            if inner is None:
                continue
            row0, col0, row1, col1 = inner
            origin = (box[1].start + row0, box[2].start + col0)
            record = MaskRecord(mask[row0:row1, col0:col1].copy(), origin, sure, sure)
            each.slices[index] = SliceMask(record, sure)
    return result
