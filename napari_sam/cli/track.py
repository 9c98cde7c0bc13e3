"""``napari-sam track``: from a movie to tracks."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_sam.cli.options import (
    ClipOption,
    DeviceOption,
    DtypeOption,
    JsonOption,
    ModelOption,
)

MovieArgument = Annotated[
    Path, typer.Argument(metavar="MOVIE", help="A TIFF with a time axis.")
]
FolderOption = Annotated[
    Path,
    typer.Option(
        "--out",
        metavar="DIR",
        help="Folder for mask000.tif ... and res_track.txt, the layout of the Cell "
        "Tracking Challenge.",
    ),
]
AxesOption = Annotated[
    str | None,
    typer.Option("--axes", help="A letter for each axis, such as TYX or TZYX."),
]
AutoOption = Annotated[bool, typer.Option("--auto", help="Track every object.")]
TextOption = Annotated[
    list[str] | None,
    typer.Option("--text", metavar="PHRASE", help="Track the objects of this name."),
]
ThresholdOption = Annotated[
    float | None,
    typer.Option("--text-threshold", min=0, max=1, help="Least text score."),
]
DistanceOption = Annotated[
    float | None,
    typer.Option(
        "--max-distance",
        metavar="LENGTH",
        min=0,
        help="Longest way between frames, in micrometres if the file tells the pixel "
        "size, else in pixels; the objects' median diameter by default.",
    ),
]
DivisionsOption = Annotated[
    bool, typer.Option("--divisions/--no-divisions", help="Whether objects divide.")
]
GapOption = Annotated[
    int, typer.Option("--gap", min=0, help="Frames that an object may be missing.")
]


def track(
    movie: MovieArgument,
    out: FolderOption,
    axes: AxesOption = None,
    auto: AutoOption = False,
    text: TextOption = None,
    text_threshold: ThresholdOption = None,
    max_distance: DistanceOption = None,
    divisions: DivisionsOption = True,
    gap: GapOption = 1,
    clip: ClipOption = "clip_pocket",
    model: ModelOption = "pocket",
    device: DeviceOption = "auto",
    dtype: DtypeOption = "auto",
    json: JsonOption = False,
) -> None:
    """Segment every frame of a movie, by words or everything, and link the objects.

    Needs the package laptrack: pip install 'napari-sam-clip[tracking]'.
    """
    if auto == bool(text):
        raise typer.BadParameter("Give either --auto or --text.")
    from napari_sam.cli.tracking import TrackJob, print_tracks, run_track_job

    job = TrackJob(
        movie=movie,
        out=out,
        axes=axes,
        phrases=tuple(text or ()),
        text_threshold=text_threshold,
        max_distance=max_distance,
        divisions=divisions,
        gap=gap,
        clip=clip,
        model=model,
        device=device,
        dtype=dtype,
    )
    print_tracks(job, run_track_job(job), as_json=json)
