"""Every object of a volume: found in each slice, linked, and looked at once more."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol

import numpy as np

from napari_sam.inference.automatic import Method, RegionFinder, segment_everything
from napari_sam.inference.instances import InstanceSettings, touches_border
from napari_sam.inference.linking import LinkSettings, link_slices
from napari_sam.inference.predictor import SamPredictor
from napari_sam.inference.volume import VolumeSegmenter
from napari_sam.inference.volume_planes import VolumePlanes
from napari_sam.inference.volume_result import (
    VolumeObject,
    VolumeSegmentation,
)
from napari_sam.inference.volume_source import VolumeLike
from napari_sam.inference.volume_words import NamedFinder
from napari_sam.structures import MaskRecord

Progress = Callable[[int, int | None], object]


class PlaneFinder(Protocol):
    """Finds the objects of one slice."""

    def __call__(
        self, predictor: SamPredictor, planes: VolumePlanes, index: int
    ) -> Sequence[MaskRecord]:
        """Return masks, none of which overlap."""
        ...


class EverythingFinder:
    """Finds all objects of one slice with the model's own automatic segmentation.

    A `PlaneFinder`.

    Parameters
    ----------
    method, settings, finder
        As for `napari_sam.inference.automatic.segment_everything`.
    """

    def __init__(
        self,
        method: Method = "dense",
        settings: InstanceSettings | None = None,
        finder: RegionFinder | None = None,
    ) -> None:
        self._method: Method = method
        self._settings = settings
        self._finder = finder

    def __call__(
        self, predictor: SamPredictor, planes: VolumePlanes, index: int
    ) -> Sequence[MaskRecord]:
        """Return the masks of one slice."""
        predictor.set_embedding(planes.get(index).embedding)
        return segment_everything(
            predictor,
            method=self._method,
            settings=self._settings,
            finder=self._finder,
        ).records


find_everything = EverythingFinder()


def segment_volume(
    segmenter: VolumeSegmenter,
    volume: VolumeLike | VolumePlanes,
    *,
    axis: int = 0,
    channel_axis: int | None = None,
    find: PlaneFinder = find_everything,
    links: LinkSettings | None = None,
    refine: bool = True,
    progress: Progress | None = None,
    should_cancel: Callable[[], bool] | None = None,
) -> VolumeSegmentation:
    """Find all objects of a volume without a prompt.

    Parameters
    ----------
    segmenter : VolumeSegmenter
    volume, axis, channel_axis
        As for `VolumeSegmenter.propagate`.
    find : callable, optional
        Finds the objects of one slice; everything by default. A `NamedFinder` gives
        the objects their classes.
    links : LinkSettings, optional
        How masks of neighbouring slices become one object.
    refine : bool
        Follow each object from its best slice; see `refine_objects`.
    progress, should_cancel : callable, optional
        As in `WalkOptions`.

    Returns
    -------
    VolumeSegmentation

    Raises
    ------
    ImageError
        If the axes do not fit the volume.
    ModelError
        If the model cannot find objects by itself.
    """
    planes = segmenter.open(volume, axis=axis, channel_axis=channel_axis)
    source = planes.source
    looking, following = _told(progress, source.length, refine)
    walk = PlaneWalk(segmenter.predictor, planes, find, looking, should_cancel)
    found = link_slices(
        walk.slices(),
        source.shape,
        axis=source.axis,
        settings=links,
        brightness=lambda index: planes.get(index).brightness,
    )
    found.complete = not walk.cancelled
    if refine and found.complete and found.objects:
        refined = refine_objects(
            segmenter, planes, found, progress=following, should_cancel=should_cancel
        )
        found.complete = refined.complete
        found = refined if refined.complete else found
    if isinstance(find, NamedFinder):
        find.give_names(found)
    return found


def _told(
    progress: Progress | None, length: int, refine: bool
) -> tuple[Progress | None, Progress | None]:
    """What to tell of looking at each slice, and of following objects both ways."""
    if progress is None or not refine:
        return progress, None

    def looking(done: int, _: int | None) -> None:
        progress(done, 3 * length)

    def following(done: int, total: int | None) -> None:
        progress(length + round(2 * length * done / max(total or 0, 1)), 3 * length)

    return looking, following


class PlaneWalk:
    """Finds objects slice by slice, until it is cancelled.

    Parameters
    ----------
    predictor : SamPredictor
    planes : VolumePlanes
    find : callable
    progress, should_cancel : callable, optional
        As in `WalkOptions`.

    Attributes
    ----------
    cancelled : bool
    """

    def __init__(
        self,
        predictor: SamPredictor,
        planes: VolumePlanes,
        find: PlaneFinder,
        progress: Progress | None,
        should_cancel: Callable[[], bool] | None,
    ) -> None:
        self._predictor = predictor
        self._planes = planes
        self._find = find
        self._progress = progress
        self._should_cancel = should_cancel
        self.cancelled = False

    def slices(self) -> Iterator[Sequence[MaskRecord]]:
        """Yield the masks of each slice, in order."""
        length = self._planes.source.length
        for index in range(length):
            if self._should_cancel and self._should_cancel():
                self.cancelled = True
                return
            yield self._find(self._predictor, self._planes, index)
            if self._progress:
                self._progress(index + 1, length)


def refine_objects(
    segmenter: VolumeSegmenter,
    planes: VolumePlanes,
    found: VolumeSegmentation,
    *,
    progress: Progress | None = None,
    should_cancel: Callable[[], bool] | None = None,
) -> VolumeSegmentation:
    """Follow each object from its best slice, as if that had been confirmed.

    So it is found in the slices in which it was missed, and ends where it ends.

    Parameters
    ----------
    segmenter : VolumeSegmenter
    planes : VolumePlanes
        Of the volume that ``found`` is of.
    found : VolumeSegmentation
        Not changed.
    progress, should_cancel : callable, optional
        As in `WalkOptions`.

    Returns
    -------
    VolumeSegmentation
        The same ids.
    """
    confirmed = {
        identifier: {best: each.slices[best].full(found.slice_shape)}
        for identifier, each in found.objects.items()
        if (best := _best_slice(each)) is not None
    }
    return segmenter.propagate(
        planes, confirmed=confirmed, progress=progress, should_cancel=should_cancel
    )


def _best_slice(each: VolumeObject) -> int | None:
    """The slice with the most certain and largest mask; None if there is none."""

    def worth(index: int) -> float:
        mask = each.slices[index]
        return mask.confidence * math.sqrt(mask.area)

    return max(each.slices, key=worth, default=None)


def keep_objects(
    found: VolumeSegmentation,
    min_voxels: float = 0,
    max_voxels: float = math.inf,
    keep_border: bool = True,
) -> None:
    """Leave out objects of the wrong size or at the border, and number the others anew.

    Parameters
    ----------
    found : VolumeSegmentation
        Changed.
    min_voxels, max_voxels : float
        Both inclusive.
    keep_border : bool
        Keep objects that touch the border of a slice; the first and the last slice cut
        most stacks' objects, and do not count.
    """

    def is_at_border(each: VolumeObject) -> bool:
        records = (mask.record for mask in each.slices.values())
        return any(
            touches_border(record.mask, record.origin, found.slice_shape)
            for record in records
        )

    kept = [
        each
        for _, each in sorted(found.objects.items())
        if min_voxels <= each.voxels <= max_voxels
        and (keep_border or not is_at_border(each))
    ]
    found.objects = dict(enumerate(kept, start=1))


def mean_confidence(found: VolumeSegmentation) -> dict[int, float]:
    """Mean confidence of each object over its slices, by id."""
    return {
        n: float(np.mean(list(each.confidence.values())))
        for n, each in found.objects.items()
        if each.slices
    }
