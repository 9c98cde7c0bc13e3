"""``napari-sam segment``: from an image file and prompts to a label file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_sam.cli.options import (
    Box,
    DeviceOption,
    DtypeOption,
    JsonOption,
    ModelOption,
    Multimask,
    Point,
    parse_box,
    parse_point,
)

LABEL_SUFFIXES = (".tif", ".tiff")

ImageArgument = Annotated[
    Path, typer.Argument(metavar="IMAGE", help="TIFF, PNG, JPEG, ...")
]
OutOption = Annotated[
    Path, typer.Option("--out", metavar="FILE.tif", help="Label image to write.")
]
PointOption = Annotated[
    list[Point] | None,
    typer.Option(
        "--point",
        parser=parse_point,
        metavar="Y,X",
        help="A pixel of the object; may be repeated.",
    ),
]
NegativeOption = Annotated[
    list[Point] | None,
    typer.Option(
        "--negative",
        parser=parse_point,
        metavar="Y,X",
        help="A pixel that is not of the object; may be repeated.",
    ),
]
BoxOption = Annotated[
    list[Box] | None,
    typer.Option(
        "--box",
        parser=parse_box,
        metavar="Y0,X0,Y1,X1",
        help="A box around one object; each further one is another object.",
    ),
]
MaskOption = Annotated[
    Path | None,
    typer.Option(
        "--mask",
        metavar="FILE",
        help="A mask to refine, or labels: each id is an object and keeps its id.",
    ),
]
MultimaskOption = Annotated[
    Multimask,
    typer.Option(
        "--multimask", help="Write the best candidate, or all three as planes."
    ),
]
EachPointOption = Annotated[
    bool, typer.Option("--each-point", help="Every --point is an object of its own.")
]
ChannelAxisOption = Annotated[
    int | None,
    typer.Option("--channel-axis", metavar="N", help="Axis of the image's channels."),
]
OverlayOption = Annotated[
    Path | None,
    typer.Option(
        "--overlay", metavar="FILE.png", help="Picture of the objects to write."
    ),
]


def segment(
    image: ImageArgument,
    out: OutOption,
    point: PointOption = None,
    negative: NegativeOption = None,
    box: BoxOption = None,
    mask: MaskOption = None,
    each_point: EachPointOption = False,
    multimask: MultimaskOption = Multimask.best,
    model: ModelOption = "pocket",
    channel_axis: ChannelAxisOption = None,
    device: DeviceOption = "auto",
    dtype: DtypeOption = "auto",
    overlay: OverlayOption = None,
    json: JsonOption = False,
) -> None:
    """Segment the objects that points, boxes and a mask show.

    Positions are Y,X (row, column) in pixels. Each box is an object, and each id of a
    label mask. A point in a box or on a mask refines that object; the other points
    together show one more object, or one each with --each-point. A negative point in
    a box or on a mask counts for that object, elsewhere for all. Where objects overlap,
    the one with the higher predicted IoU wins.
    """
    if not (point or box or mask):
        raise typer.BadParameter("Give at least one --point, --box or --mask.")
    _check_outputs(image, mask, out, overlay)
    from napari_sam.cli.reports import print_segmentation
    from napari_sam.cli.segmenting import SegmentJob, run_job

    job = SegmentJob(
        image=image,
        out=out,
        overlay=overlay,
        points=tuple(point or ()),
        negatives=tuple(negative or ()),
        boxes=tuple(box or ()),
        mask=mask,
        each_point=each_point,
        all_candidates=multimask is Multimask.all,
        model=model,
        device=device,
        dtype=dtype,
        channel_axis=channel_axis,
    )
    print_segmentation(job, run_job(job), as_json=json)


def _check_outputs(
    image: Path, mask: Path | None, out: Path, overlay: Path | None
) -> None:
    """Refuse outputs of the wrong kind and those that would replace an input."""
    if out.suffix.lower() not in LABEL_SUFFIXES:
        raise typer.BadParameter(f"--out must end in .tif, and {out.name} does not.")
    if overlay is not None and overlay.suffix.lower() != ".png":
        raise typer.BadParameter(
            f"--overlay must end in .png, and {overlay.name} does not."
        )
    taken = {path.resolve() for path in (image, mask) if path is not None}
    for path in (out, overlay):
        if path is not None and path.resolve() in taken:
            raise typer.BadParameter(f"{path} is an input: write to another file.")
