"""Measure propagation: one click in the largest slice, then one correction."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from napari_sam.errors import DataError
from napari_sam.evaluation.annotator import SimulatedAnnotator
from napari_sam.evaluation.datasets import FilePair
from napari_sam.evaluation.labelled import ImageSet, spread
from napari_sam.evaluation.volume_baseline import click_columns, random_walk
from napari_sam.inference.volume import VolumeSegmenter
from napari_sam.inference.volume_planes import VolumePlanes
from napari_sam.inference.volume_result import (
    SliceMask,
    VolumeObject,
    VolumeSegmentation,
)
from napari_sam.inference.volume_steps import PropagationSettings
from napari_sam.structures import MaskPrompt, PromptSet

# An object keeps to itself if less of its volume lies in other objects.
LEAK = 0.1
# Objects in fewer slices are no test of propagation.
LEAST_SLICES = 2


@dataclass(frozen=True, eq=False)
class LabelledVolume:
    """A stack or a movie, and the objects labelled in it.

    Attributes
    ----------
    name : str
    image : ndarray, shape (Z, H, W), or with one axis more for channels
    labels : ndarray of int, shape (Z, H, W)
        Instance ids, 0 is background.
    channel_axis : int or None
    is_movie : bool
        Whether the first axis is time.
    """

    name: str
    image: NDArray[Any]
    labels: NDArray[np.integer]
    channel_axis: int | None = None
    is_movie: bool = False


@dataclass(frozen=True)
class Fit:
    """How well an object's voxels are met.

    Attributes
    ----------
    iou : float
        3D IoU with the labelled object.
    leak : float
        Share of the found voxels that lie in other labelled objects.
    spill : float
        Share of the found voxels that lie in no labelled object.
    """

    iou: float
    leak: float
    spill: float


@dataclass(frozen=True)
class VolumeRecord:
    """What was measured of one object.

    Attributes
    ----------
    volume : str
    identifier : int
    slices : int
        In which it is labelled.
    propagated, corrected : Fit
        After one prompt, and after one more in the worst slice.
    column, walker : float or None
        3D IoU of a click in each slice at the same place, and of a random walker.
    """

    volume: str
    identifier: int
    slices: int
    propagated: Fit
    corrected: Fit
    column: float | None = None
    walker: float | None = None


@dataclass
class VolumeSetResult:
    """What was measured of one set."""

    name: str
    records: list[VolumeRecord] = field(default_factory=list)

    def summary(self) -> dict[str, Any]:
        """Return the figures as JSON values."""
        figures: dict[str, Any] = {"objects": len(self.records)}
        for name in ("propagated", "corrected"):
            fits = [getattr(each, name) for each in self.records]
            figures[name] = {
                "mean_iou": float(np.mean([fit.iou for fit in fits])),
                "median_iou": float(np.median([fit.iou for fit in fits])),
                "keep_to_themselves": float(np.mean([f.leak < LEAK for f in fits])),
                "mean_leak": float(np.mean([fit.leak for fit in fits])),
                "mean_spill": float(np.mean([fit.spill for fit in fits])),
            }
        for name in ("column", "walker"):
            values = [getattr(each, name) for each in self.records]
            known = [each for each in values if each is not None]
            figures[name] = float(np.mean(known)) if known else None
        return figures


def read_volumes(images: ImageSet, is_movie: bool = False) -> Iterator[LabelledVolume]:
    """Yield the stacks of a set, one in memory at a time; flat images are left out.

    Raises
    ------
    DataError
        If there is no stack, or a file cannot be read.
    """
    found = False
    for source in images.sources:
        if not isinstance(source, FilePair):
            continue
        image, labels, channel_axis = source.arrays()
        if labels.ndim == 3:
            found = True
            name = source.image_path.stem
            yield LabelledVolume(name, image, labels, channel_axis, is_movie)
    if not found:
        raise DataError(f"The set {images.name} has no volume: its labels are flat.")


def measure_volumes(
    segmenter: VolumeSegmenter,
    name: str,
    volumes: Iterable[LabelledVolume],
    max_objects: int | None = None,
    baselines: bool = False,
    progress: Callable[[int, int | None], object] | None = None,
) -> VolumeSetResult:
    """Measure propagation on labelled volumes.

    All objects of a volume are prompted and followed together, each by a click in the
    middle of its largest slice (in a movie by its box in its first frame). Then the
    annotator looks for the slice with most wrong pixels of each object and clicks the
    middle of the largest error there, or says that the object is not there.

    Parameters
    ----------
    segmenter : VolumeSegmenter
    name : str
        Of the set.
    volumes : iterable of LabelledVolume
    max_objects : int, optional
        Objects of each volume, evenly spread over their ids.
    baselines : bool
        Also measure a click column and a random walker.
    progress : callable, optional
        Called with the slices done and to do, of each walk.

    Returns
    -------
    VolumeSetResult

    Raises
    ------
    DataError
        If no object is in two slices or more.
    """
    result = VolumeSetResult(name)
    for volume in volumes:
        result.records += _measure(segmenter, volume, max_objects, baselines, progress)
    if not result.records:
        raise DataError(f"No object of {name} is in {LEAST_SLICES} slices or more.")
    return result


def _measure(
    segmenter: VolumeSegmenter,
    volume: LabelledVolume,
    max_objects: int | None,
    baselines: bool,
    progress: Callable[[int, int | None], object] | None,
) -> list[VolumeRecord]:
    extents = _extents(volume.labels)
    if not extents:
        return []
    chosen = spread(sorted(extents), max_objects)
    prompts = {n: _first_prompt(volume, n, extents[n]) for n in chosen}
    planes = segmenter.open(
        volume.image, channel_axis=volume.channel_axis, denoise=not volume.is_movie
    )
    settings = PropagationSettings.for_movie() if volume.is_movie else None
    found = segmenter.propagate(planes, prompts, settings=settings, progress=progress)
    fixes, absent = _corrections(volume.labels, found, prompts)
    corrected = found
    if fixes or absent:
        corrected = segmenter.correct(
            planes,
            found,
            fixes,
            confirmed=absent,
            settings=settings,
            progress=progress,
        )
    columns: Mapping[int, float] = {}
    walkers: Mapping[int, float] = {}
    if baselines:
        columns = _columns(segmenter, planes, volume, prompts, extents)
        walkers = _walkers(volume, prompts, extents)
    return [
        VolumeRecord(
            volume.name,
            n,
            _slice_count(volume.labels, n, extents[n]),
            measure_fit(volume.labels, n, found.objects[n], extents[n]),
            measure_fit(volume.labels, n, corrected.objects[n], extents[n]),
            columns.get(n),
            walkers.get(n),
        )
        for n in chosen
    ]


Extent = tuple[slice, slice, slice]


def _extents(labels: NDArray[np.integer]) -> dict[int, Extent]:
    """Boxes of all objects that are in enough slices, by id."""
    ids, index = np.unique(labels, return_inverse=True)
    boxes = find_objects(index.reshape(labels.shape) + 1)
    return {
        int(n): box
        for n, box in zip(ids, boxes, strict=True)
        if n != 0 and _slice_count(labels, int(n), box) >= LEAST_SLICES
    }


def _slice_count(labels: NDArray[np.integer], identifier: int, box: Extent) -> int:
    return int(np.count_nonzero((labels[box] == identifier).any(axis=(1, 2))))


def _first_prompt(
    volume: LabelledVolume, identifier: int, box: Extent
) -> dict[int, PromptSet]:
    annotator = SimulatedAnnotator()
    areas = (volume.labels[box] == identifier).sum(axis=(1, 2))
    if volume.is_movie:
        index = box[0].start + int(np.flatnonzero(areas)[0])
        truth = volume.labels[index] == identifier
        return {index: PromptSet(box=annotator.box(truth))}
    index = box[0].start + int(areas.argmax())
    truth = volume.labels[index] == identifier
    return {index: PromptSet(points=(annotator.first_click(truth),))}


def measure_fit(
    labels: NDArray[np.integer], identifier: int, found: VolumeObject, box: Extent
) -> Fit:
    """Compare an object with its label.

    Parameters
    ----------
    labels : ndarray of int, shape (Z, H, W)
    identifier : int
    found : VolumeObject
    box : tuple of slice
        Of the object in the labels.
    """
    voxels = own = other = 0
    for index, each in found.slices.items():
        under = labels[index][each.region][each.record.mask]
        voxels += under.size
        own += int(np.count_nonzero(under == identifier))
        other += int(np.count_nonzero((under != identifier) & (under != 0)))
    truth = int(np.count_nonzero(labels[box] == identifier))
    return Fit(
        own / (voxels + truth - own),
        other / max(voxels, 1),
        (voxels - own - other) / max(voxels, 1),
    )


def _corrections(
    labels: NDArray[np.integer],
    found: VolumeSegmentation,
    prompts: Mapping[int, Mapping[int, PromptSet]],
) -> tuple[dict[int, dict[int, PromptSet]], dict[int, dict[int, NDArray[np.bool_]]]]:
    """One more click on each object, or a word that it is not in a slice."""
    fixes: dict[int, dict[int, PromptSet]] = {}
    absent: dict[int, dict[int, NDArray[np.bool_]]] = {}
    for identifier, given in prompts.items():
        index = _worst_slice(labels, identifier, found.objects[identifier])
        if index is None:
            continue
        truth = labels[index] == identifier
        if not truth.any():
            absent[identifier] = {index: truth}
            continue
        seen = found.objects[identifier].slices.get(index)
        fixes[identifier] = {index: _fix(truth, seen, given.get(index, PromptSet()))}
    return fixes, absent


def _worst_slice(
    labels: NDArray[np.integer], identifier: int, found: VolumeObject
) -> int | None:
    """The slice with most wrong pixels; None if there is no wrong one."""
    wrong = (labels == identifier).sum(axis=(1, 2)).astype(int)
    for index, each in found.slices.items():
        own = labels[index][each.region][each.record.mask] == identifier
        hit = int(np.count_nonzero(own))
        wrong[index] += each.area - 2 * hit
    return int(wrong.argmax()) if wrong.any() else None


def _fix(
    truth: NDArray[np.bool_], seen: SliceMask | None, given: PromptSet
) -> PromptSet:
    prediction = np.zeros_like(truth) if seen is None else seen.full(truth.shape)
    click = SimulatedAnnotator().next_click(truth, prediction, given.points)
    points = given.points if click is None else (*given.points, click)
    mask = None if seen is None else MaskPrompt(prediction)
    return replace(given, points=points, mask=mask)


def _columns(
    segmenter: VolumeSegmenter,
    planes: VolumePlanes,
    volume: LabelledVolume,
    prompts: Mapping[int, Mapping[int, PromptSet]],
    extents: Mapping[int, Extent],
) -> dict[int, float]:
    clicks = {n: next(iter(each.values())) for n, each in prompts.items()}
    spans = {n: range(extents[n][0].start, extents[n][0].stop) for n in prompts}
    found = click_columns(segmenter.predictor, planes, clicks, spans)
    return {
        n: measure_fit(volume.labels, n, VolumeObject(found[n]), extents[n]).iou
        for n in prompts
    }


def _walkers(
    volume: LabelledVolume,
    prompts: Mapping[int, Mapping[int, PromptSet]],
    extents: Mapping[int, Extent],
) -> dict[int, float]:
    grey = volume.image
    if volume.channel_axis is not None:
        grey = grey.mean(axis=volume.channel_axis)
    ious = {}
    for n, given in prompts.items():
        index, each = next(iter(given.items()))
        if each.points:
            row, col = (int(side) for side in each.points[0].position)
            truth = volume.labels == n
            ious[n] = random_walk(grey, truth, (index, row, col), extents[n])
    return ious
