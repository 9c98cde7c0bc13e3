"""All objects of a movie's frames, linked into tracks with divisions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from napari_sam.export.label_image import paint_records
from napari_sam.inference.predictor import SamPredictor
from napari_sam.inference.tracking import TrackResult, TrackSettings, track_labels
from napari_sam.inference.volume_automatic import PlaneFinder, PlaneWalk
from napari_sam.inference.volume_planes import VolumePlanes
from napari_sam.inference.volume_result import (
    SliceMask,
    VolumeObject,
    VolumeSegmentation,
)
from napari_sam.inference.volume_words import NamedFinder
from napari_sam.structures import MaskRecord

Progress = Callable[[int, int | None], object]


def segment_movie(
    predictor: SamPredictor,
    planes: VolumePlanes,
    find: PlaneFinder,
    settings: TrackSettings | None = None,
    *,
    progress: Progress | None = None,
    should_cancel: Callable[[], bool] | None = None,
) -> tuple[VolumeSegmentation, TrackResult | None]:
    """Find the objects of each frame by itself, and link them.

    Parameters
    ----------
    predictor : SamPredictor
    planes : VolumePlanes
        The frames. Ids of all their pixels are in memory twice.
    find : callable
        Finds the objects of one frame. A `NamedFinder` gives them their classes.
    settings : TrackSettings, optional
    progress, should_cancel : callable, optional
        As in `WalkOptions`.

    Returns
    -------
    found : VolumeSegmentation
        Its ids are those of the tracks. If it was cancelled, of the frames so far.
    tracks : TrackResult or None
        None if there is no object.

    Raises
    ------
    ModelError
        If laptrack is not installed, or the model cannot find objects by itself.
    """
    source = planes.source
    found = VolumeSegmentation(source.shape, source.axis)
    walk = PlaneWalk(predictor, planes, find, progress, should_cancel)
    frames = list(walk.slices())
    found.complete = not walk.cancelled
    tracks = None
    if any(frames):
        labels = np.stack([_numbered(each, found.slice_shape) for each in frames])
        tracks = track_labels(labels, settings)
        for index, records in enumerate(frames):
            _take(found, index, records, labels[index], tracks.labels[index])
    if isinstance(find, NamedFinder):
        find.give_names(found)
    return found, tracks


def _numbered(
    records: Sequence[MaskRecord], shape: tuple[int, int]
) -> NDArray[np.int32]:
    """Ids of one frame, from 1 in the order of the records."""
    ids = list(range(1, len(records) + 1))
    return paint_records(records, ids, shape)


def _take(
    found: VolumeSegmentation,
    index: int,
    records: Sequence[MaskRecord],
    before: NDArray[np.int32],
    after: NDArray[np.int32],
) -> None:
    """Add the masks of a frame to the objects that they were linked to."""
    numbers, places = np.unique(before, return_index=True)
    for number, track in zip(numbers, after.ravel()[places], strict=True):
        if number and track:
            each = found.objects.setdefault(int(track), VolumeObject())
            record = records[number - 1]
            each.slices[index] = SliceMask(record, record.predicted_iou)
