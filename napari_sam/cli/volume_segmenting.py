"""The work of ``napari-sam segment --axes`` and ``napari-sam track``."""

from __future__ import annotations

import csv
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import typer

from napari_sam.cli.automatic_segmenting import decoder_finder
from napari_sam.cli.jobs import Job
from napari_sam.cli.options import Box, Point
from napari_sam.cli.progress import progress_bar
from napari_sam.cli.reports import print_json, print_written
from napari_sam.cli.segmenting import load_predictor
from napari_sam.cli.stacks import Stack, read_stack, write_stack
from napari_sam.errors import ImageError, PromptError
from napari_sam.export.files import replacing

if TYPE_CHECKING:
    from napari_sam.inference.predictor import SamPredictor
    from napari_sam.inference.volume import VolumeSegmenter
    from napari_sam.inference.volume_automatic import PlaneFinder
    from napari_sam.inference.volume_result import VolumeSegmentation
    from napari_sam.structures import PromptSet


@dataclass(frozen=True, eq=False)
class VolumeJob(Job):
    """Objects of a stack or movie."""

    axes: str | None = None
    points: tuple[Point, ...] = ()
    negatives: tuple[Point, ...] = ()
    boxes: tuple[Box, ...] = ()
    auto: bool = False
    phrases: tuple[str, ...] = ()
    text_threshold: float | None = None
    each_point: bool = False
    propagate: bool = True
    refine: bool = True
    three_axes: bool = False
    clip: str = "clip_pocket"
    words: Path | None = None
    method: Literal["dense", "grid"] = "dense"
    min_size: float = 15.0
    max_size: float = math.inf
    keep_border: bool = True
    decoder: Path | None = None


def run_volume_job(job: VolumeJob) -> VolumeSegmentation:
    """Segment a stack and write the results.

    Parameters
    ----------
    job : VolumeJob

    Returns
    -------
    VolumeSegmentation

    Raises
    ------
    NapariSamError
        The file, its axes, a prompt, the model or an output cannot be used.
    """
    stack = read_stack(job.image, job.axes)
    if len(stack.spatial_axes) != 3:
        raise ImageError(
            f"{job.image.name} has the axes {stack.axes}: segment takes three, such "
            "as ZYX or TYX, besides channels; use 'napari-sam track' for TZYX."
        )
    predictor = load_predictor(job.model, job.device, job.dtype)
    found = segment_stack(job, stack, predictor)
    write_stack(job.out, found.labels(), stack.spatial_axes, stack.spacing)
    if job.table is not None:
        write_volume_table(job.table, found, stack, has_classes=bool(job.phrases))
    return found


def segment_stack(
    job: VolumeJob, stack: Stack, predictor: SamPredictor
) -> VolumeSegmentation:
    """Segment one stack as a job asks; see `run_volume_job`."""
    from napari_sam.inference.volume import VolumeSegmenter
    from napari_sam.inference.volume_automatic import keep_objects
    from napari_sam.inference.volume_steps import PropagationSettings

    walked = stack.spatial_axes[0]
    settings = PropagationSettings(spacing=_three(stack.voxel(stack.spatial_axes)))
    if walked == "T":
        settings = PropagationSettings.for_movie()
    segmenter = VolumeSegmenter(predictor, settings)
    axis = stack.axes.index(walked)
    with progress_bar(f"Segmenting {job.image.name}") as advance:
        if not (job.auto or job.phrases):
            return _propagate(job, stack, segmenter, axis, advance)
        found = _find_all(job, stack, segmenter, axis, advance)
    if job.auto:
        keep_objects(found, job.min_size, job.max_size, job.keep_border)
    return found


def _find_all(
    job: VolumeJob,
    stack: Stack,
    segmenter: VolumeSegmenter,
    axis: int,
    advance: Callable[[int, int | None], None],
) -> VolumeSegmentation:
    """Find everything, or what words name, along one axis or all three."""
    from napari_sam.inference.instances import InstanceSettings
    from napari_sam.inference.linking import LinkSettings
    from napari_sam.inference.volume_automatic import segment_volume
    from napari_sam.inference.volume_vote import segment_by_vote

    find = plane_finder(job, segmenter.predictor)
    links = LinkSettings(anisotropy=segmenter.settings.anisotropy)
    in_time = stack.spatial_axes[0] == "T"
    if in_time:
        # What shrinks and grows in time is still the same.
        links = LinkSettings(neck=0)
    if job.min_size < InstanceSettings.min_size:
        links = replace(links, min_voxels=int(job.min_size))
    if job.three_axes:
        if stack.spatial_axes != "ZYX":
            raise ImageError(
                f"{job.image.name} has the axes {stack.axes}: three axes are looked "
                "along in ZYX only."
            )
        return segment_by_vote(
            segmenter,
            stack.image,
            channel_axis=stack.channel_axis,
            find=find,
            links=links,
            progress=advance,
        )
    return segment_volume(
        segmenter,
        stack.image,
        axis=axis,
        channel_axis=stack.channel_axis,
        find=find,
        links=links,
        refine=job.refine and not in_time,
        progress=advance,
    )


def _three(spacing: tuple[float, ...] | None) -> tuple[float, float, float] | None:
    if spacing is None:
        return None
    step, rows, cols = spacing
    return step, rows, cols


def plane_finder(job: VolumeJob, predictor: SamPredictor) -> PlaneFinder:
    """Return what finds the objects of one slice: everything, or what words name."""
    from napari_sam.inference.instances import InstanceSettings
    from napari_sam.inference.volume_automatic import EverythingFinder
    from napari_sam.inference.volume_words import NamedFinder

    if job.phrases:
        return NamedFinder(
            predictor, job.phrases, job.clip, job.text_threshold, job.words
        )
    # What is too small for a slice may be large enough in the end.
    settings = InstanceSettings(min_size=min(InstanceSettings.min_size, job.min_size))
    finder = None if job.decoder is None else decoder_finder(predictor, job.decoder)
    return EverythingFinder(job.method, settings, finder)


def _propagate(
    job: VolumeJob,
    stack: Stack,
    segmenter: VolumeSegmenter,
    axis: int,
    advance: Callable[[int, int | None], None],
) -> VolumeSegmentation:
    prompts = stack_prompts(job)
    limits = None
    if not job.propagate:
        places = [index for each in prompts.values() for index in each]
        limits = (max(min(places, default=0), 0), max(places, default=0) + 1)
    return segmenter.propagate(
        stack.image,
        prompts,
        axis=axis,
        channel_axis=stack.channel_axis,
        limits=limits,
        progress=advance,
    )


def stack_prompts(job: VolumeJob) -> dict[int, dict[int, PromptSet]]:
    """Make prompts by object id and slice of a job's points and boxes.

    All points together show one object, or each one of its own; each box shows one
    more. A negative point counts for all objects prompted in its slice.

    Raises
    ------
    PromptError
        A point or box names no slice.
    """
    from napari_sam.structures import BoxPrompt, PointPrompt, PromptSet

    found: dict[int, dict[int, PromptSet]] = {}
    for point in job.points:
        owner = len(found) + 1 if job.each_point else 1
        slices = found.setdefault(owner, {})
        before = slices.get(_slice(point), PromptSet())
        click = PointPrompt((point.row, point.col))
        slices[_slice(point)] = replace(before, points=(*before.points, click))
    for box in job.boxes:
        given = BoxPrompt((box.row0, box.col0), (box.row1, box.col1))
        found[len(found) + 1] = {_slice(box): PromptSet(box=given)}
    for point in job.negatives:
        click = PointPrompt((point.row, point.col), positive=False)
        for slices in found.values():
            if _slice(point) in slices:
                here = slices[_slice(point)]
                slices[_slice(point)] = replace(here, points=(*here.points, click))
    return found


def _slice(place: Point | Box) -> int:
    if place.slice is None:
        raise PromptError(
            "In a stack a prompt begins with its slice: --point Z,Y,X or --box "
            "Z,Y0,X0,Y1,X1."
        )
    return round(place.slice)


def write_volume_table(
    path: Path, found: VolumeSegmentation, stack: Stack, *, has_classes: bool = False
) -> None:
    """Write one row for each object: class and text score, size, place and confidence.

    Raises
    ------
    ExportError
        The file cannot be written.
    """
    voxel = stack.voxel(stack.spatial_axes)
    physical = [] if voxel is None or "T" in stack.spatial_axes else ["volume_um3"]
    classes = ["class", "text_score"] if has_classes else []
    names = ["id", *classes, "voxels", *physical, "first_slice", "last_slice"]
    names += ["confidence", "worst_slice", "worst_confidence"]
    with (
        replacing(path) as partial,
        partial.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.writer(file)
        writer.writerow(names)
        for identifier, each in sorted(found.objects.items()):
            if not each.slices:
                continue
            rated = each.confidence
            worst = min(rated, key=lambda n: rated[n])
            size = [f"{each.voxels * np.prod(voxel):.6g}"] if physical and voxel else []
            score = f"{each.text_score:.4f}" if each.class_name else ""
            called = [each.class_name, score] if classes else []
            row = [identifier, *called, each.voxels, *size, min(rated), max(rated)]
            row += [f"{np.mean(list(rated.values())):.4f}", worst]
            writer.writerow([*row, f"{rated[worst]:.4f}"])


def print_volume(job: VolumeJob, found: VolumeSegmentation, as_json: bool) -> None:
    """Print what was found and where it was written."""
    if as_json:
        print_json(describe_volume(job, found))
        return
    for identifier, each in sorted(found.objects.items()):
        if each.slices:
            rated = each.confidence
            typer.echo(
                f"{identifier:>5}  {each.voxels:>9} voxels  slices {min(rated)}-"
                f"{max(rated)}  confidence {np.mean(list(rated.values())):.3f}"
                + (f"  {each.class_name}" if each.class_name else "")
            )
    if found.message:
        typer.echo(found.message)
    print_written((job.out, job.table))


def describe_volume(job: VolumeJob, found: VolumeSegmentation) -> dict[str, Any]:
    """Return the JSON object of ``napari-sam segment --axes --json``."""
    objects = [
        {
            "id": identifier,
            "class": each.class_name or None,
            "text_score": round(each.text_score, 4) if each.class_name else None,
            "voxels": each.voxels,
            "slices": [min(each.slices), max(each.slices)],
            "confidence": round(float(np.mean(list(each.confidence.values()))), 4),
            "worst_slice": each.worst_slice(),
            "ended": {way: list(why) for way, why in each.ended.items()},
        }
        for identifier, each in sorted(found.objects.items())
        if each.slices
    ]
    return {
        "image": str(job.image),
        "shape": list(found.shape),
        "out": str(job.out),
        "table": None if job.table is None else str(job.table),
        "message": found.message or None,
        "objects": objects,
    }
