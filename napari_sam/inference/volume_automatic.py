"""Every object of a volume: found in each slice, linked, and looked at once more."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Protocol

import numpy as np

from napari_sam.inference.linking import LinkSettings, link_slices
from napari_sam.inference.predictor import SamPredictor
from napari_sam.inference.volume import VolumeSegmenter
from napari_sam.inference.volume_overlap import resolve_overlaps
from napari_sam.inference.volume_planes import VolumePlanes
from napari_sam.inference.volume_result import SliceMask, VolumeSegmentation
from napari_sam.inference.volume_source import VolumeLike
from napari_sam.structures import MaskRecord

Progress = Callable[[int, int | None], object]


class PlaneFinder(Protocol):
    """Finds the objects of one slice."""

    def __call__(
        self, predictor: SamPredictor, planes: VolumePlanes, index: int
    ) -> Sequence[MaskRecord]:
        """Return masks, none of which overlap."""
        ...


def find_everything(
    predictor: SamPredictor, planes: VolumePlanes, index: int
) -> Sequence[MaskRecord]:
    """Find all objects of one slice with the model's own automatic segmentation."""
    from napari_sam.inference.automatic import segment_everything

    predictor.set_embedding(planes.get(index).embedding)
    return segment_everything(predictor).records


def find_named(
    predictor: SamPredictor,
    phrases: Sequence[str],
    clip: str = "clip_pocket",
    threshold: float | None = None,
) -> PlaneFinder:
    """Return what finds the objects that words name in one slice.

    Parameters
    ----------
    predictor : SamPredictor
    phrases : sequence of str
        See `napari_sam.text.phrases`.
    clip : str
        See `napari_sam.text.clip`.
    threshold : float, optional
        Least text score.

    Raises
    ------
    PromptError, ModelError, CheckpointError
        As `TextSegmenter`.
    """
    from napari_sam.inference.text_prompt import TextSegmenter
    from napari_sam.inference.text_selection import DEFAULT_THRESHOLD

    text = TextSegmenter(predictor, clip)
    least = DEFAULT_THRESHOLD if threshold is None else threshold

    def find(
        predictor: SamPredictor, planes: VolumePlanes, index: int
    ) -> Sequence[MaskRecord]:
        image, settings = planes.raw(index)
        chosen = text.candidates(image, list(phrases), **settings).select(least)
        return [each.record for each in chosen.instances]

    return find


def segment_volume(
    segmenter: VolumeSegmenter,
    volume: VolumeLike | VolumePlanes,
    *,
    axis: int = 0,
    channel_axis: int | None = None,
    find: PlaneFinder = find_everything,
    links: LinkSettings | None = None,
    refine: bool = False,
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
        Finds the objects of one slice; everything by default.
    links : LinkSettings, optional
        How masks of neighbouring slices become one object.
    refine : bool
        Follow each object from its most confident slice, as if that had been
        confirmed, and keep what is found where it agrees with what was linked.
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
    walk = _Walk(segmenter.predictor, planes, find, progress, should_cancel)
    source = planes.source
    found = link_slices(walk.slices(), source.shape, axis=source.axis, settings=links)
    found.complete = not walk.cancelled
    if refine and found.complete and found.objects:
        found = refine_objects(segmenter, planes, found, should_cancel=should_cancel)
    return found


class _Walk:
    """Finds objects slice by slice, until it is cancelled."""

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
        length = self._planes.source.length
        for index in range(length):
            if self._should_cancel and self._should_cancel():
                self.cancelled = True
                return
            yield self._find(self._predictor, self._planes, index)
            if self._progress:
                self._progress(index + 1, length)


# A propagated mask replaces a linked one that it agrees with so well.
AGREEMENT = 0.5


def refine_objects(
    segmenter: VolumeSegmenter,
    planes: VolumePlanes,
    found: VolumeSegmentation,
    *,
    should_cancel: Callable[[], bool] | None = None,
) -> VolumeSegmentation:
    """Follow each object from its best slice, and extend it where the model sees more.

    Slices in which the object was found stay as they are; those it is followed to
    beyond its ends are added unless another object is there.

    Parameters
    ----------
    segmenter : VolumeSegmenter
    planes : VolumePlanes
        Of the volume that ``found`` is of.
    found : VolumeSegmentation
        Not changed.
    should_cancel : callable, optional
        Asked before each slice.
    """
    shape = found.slice_shape
    confirmed = {}
    for identifier, each in found.objects.items():
        best = max(each.confidence, key=lambda n: each.confidence[n])
        confirmed[identifier] = {best: each.slices[best].full(shape)}
    followed = segmenter.propagate(
        planes, confirmed=confirmed, should_cancel=should_cancel
    )
    result = replace(found, objects={})
    for identifier, each in found.objects.items():
        extended = {**followed.objects[identifier].slices, **each.slices}
        result.objects[identifier] = replace(each, slices=extended)
    for index in result.indices:
        _settle(result, found, index, shape)
    result.complete = followed.complete
    return result


def _settle(
    result: VolumeSegmentation,
    found: VolumeSegmentation,
    index: int,
    shape: tuple[int, int],
) -> None:
    """Resolve overlaps in a slice; masks that were there before come first."""
    masks: dict[int, SliceMask] = result.at(index)
    old = set(found.at(index))
    ranked = {n: replace(each, rank=int(n in old)) for n, each in masks.items()}
    settled = resolve_overlaps(ranked, shape)
    for identifier in masks:
        slices = result.objects[identifier].slices
        if identifier in settled:
            slices[index] = settled[identifier]
        else:
            del slices[index]


def mean_confidence(found: VolumeSegmentation) -> dict[int, float]:
    """Mean confidence of each object over its slices, by id."""
    return {
        n: float(np.mean(list(each.confidence.values())))
        for n, each in found.objects.items()
        if each.slices
    }
