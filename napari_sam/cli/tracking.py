"""The work of ``napari-sam track``."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
import typer

from napari_sam.cli.progress import progress_bar
from napari_sam.cli.reports import print_json
from napari_sam.cli.segmenting import load_predictor
from napari_sam.cli.stacks import Stack, read_stack
from napari_sam.cli.volume_segmenting import VolumeJob, plane_finder, segment_stack
from napari_sam.errors import ImageError
from napari_sam.export.tracks import write_tracks

if TYPE_CHECKING:
    from napari_sam.inference.predictor import SamPredictor
    from napari_sam.inference.tracking import TrackResult, TrackSettings


@dataclass(frozen=True, eq=False)
class TrackJob:
    """What a user asked for; see ``napari-sam track --help``."""

    movie: Path
    out: Path
    axes: str | None = None
    phrases: tuple[str, ...] = ()
    text_threshold: float | None = None
    max_distance: float | None = None
    divisions: bool = True
    gap: int = 1
    clip: str = "clip_pocket"
    model: str = "pocket"
    device: str = "auto"
    dtype: str = "auto"

    def frames(self) -> VolumeJob:
        """Return how each frame is segmented."""
        return VolumeJob(
            image=self.movie,
            out=self.out,
            auto=not self.phrases,
            phrases=self.phrases,
            text_threshold=self.text_threshold,
            clip=self.clip,
        )


def run_track_job(job: TrackJob) -> TrackResult:
    """Segment a movie, link its objects and write the tracks.

    Parameters
    ----------
    job : TrackJob

    Returns
    -------
    TrackResult

    Raises
    ------
    NapariSamError
        The movie, its axes, the model or the folder cannot be used, nothing was found,
        or laptrack is not installed.
    """
    from napari_sam.inference.tracking import TrackSettings

    stack = read_stack(job.movie, job.axes)
    if stack.spatial_axes not in ("TYX", "TZYX"):
        raise ImageError(
            f"{job.movie.name} has the axes {stack.axes}: tracking takes TYX or TZYX, "
            "and channels; give --axes if the file tells them wrongly."
        )
    predictor = load_predictor(job.model, job.device, job.dtype)
    settings = TrackSettings(
        max_distance=job.max_distance,
        divisions=job.divisions,
        gap=job.gap,
        spacing=stack.voxel(stack.spatial_axes[1:]),
    )
    follow = _follow_planes if stack.spatial_axes == "TYX" else _follow_volumes
    found = follow(job, stack, predictor, settings)
    rows = [(t.identifier, t.start, t.stop - 1, t.parent) for t in found.tracks]
    write_tracks(job.out, found.labels, rows)
    return found


def _follow_planes(
    job: TrackJob, stack: Stack, predictor: SamPredictor, settings: TrackSettings
) -> TrackResult:
    """Segment the image of each time point, and link the objects."""
    from napari_sam.inference.volume_movie import segment_movie
    from napari_sam.inference.volume_planes import VolumePlanes

    planes = VolumePlanes(
        predictor,
        stack.image,
        axis=stack.axes.index("T"),
        channel_axis=stack.channel_axis,
        denoise=False,
    )
    find = plane_finder(job.frames(), predictor)
    with progress_bar(f"Segmenting {job.movie.name}") as advance:
        found, tracks = segment_movie(
            predictor, planes, find, settings, progress=advance
        )
    return tracks or _refuse(job, found.message)


def _follow_volumes(
    job: TrackJob, stack: Stack, predictor: SamPredictor, settings: TrackSettings
) -> TrackResult:
    """Segment the volume of each time point, and link the objects."""
    from napari_sam.inference.tracking import track_labels

    time = stack.axes.index("T")
    axes = stack.axes.replace("T", "")
    frames, said = [], list[str]()
    for index in range(stack.image.shape[time]):
        part = stack.image[(slice(None),) * time + (index,)]
        volume = replace(stack, image=part, axes=axes)
        found = segment_stack(job.frames(), volume, predictor)
        frames.append(found.labels())
        said.append(found.message)
    labels = np.stack(frames)
    if not labels.any():
        _refuse(job, Counter(said).most_common(1)[0][0])
    return track_labels(labels, settings)


def _refuse(job: TrackJob, said: str) -> NoReturn:
    """Say that there is nothing to track."""
    if not job.phrases:
        raise ImageError(
            f"{job.movie.name} shows no object: there is nothing to track."
        )
    raise ImageError(
        f"{job.movie.name}: {said} Use another word, a lower --text-threshold, or "
        "--auto."
    )


def print_tracks(job: TrackJob, found: TrackResult, as_json: bool) -> None:
    """Print how many tracks there are and where they were written."""
    divided = len({each.parent for each in found.tracks if each.parent})
    facts: dict[str, Any] = {
        "movie": str(job.movie),
        "out": str(job.out),
        "frames": len(found.labels),
        "tracks": len(found.tracks),
        "divisions": divided,
    }
    if as_json:
        print_json(facts)
        return
    typer.echo(
        f"{facts['tracks']} tracks in {facts['frames']} frames, {divided} divisions"
    )
    typer.echo(f"Wrote {job.out}")
