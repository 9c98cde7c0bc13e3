"""``napari-sam segment``: from an image file and prompts to a label file."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_sam.cli.options import (
    Box,
    ClipOption,
    DeviceOption,
    DtypeOption,
    Format,
    JsonOption,
    Method,
    MethodOption,
    ModelOption,
    Multimask,
    Point,
    check_suffix,
    parse_box,
    parse_point,
)

ImageArgument = Annotated[
    Path, typer.Argument(metavar="IMAGE", help="TIFF, PNG, JPEG, ...")
]
OutOption = Annotated[
    Path,
    typer.Option("--out", metavar="FILE", help="Label image or JSON to write."),
]
FormatOption = Annotated[
    Format, typer.Option("--format", help="What --out holds: labels is a TIFF.")
]
TableOption = Annotated[
    Path | None,
    typer.Option("--table", metavar="FILE.csv", help="Table of the objects to write."),
]
TextOption = Annotated[
    list[str] | None,
    typer.Option(
        "--text",
        metavar="PHRASE",
        help="Find all objects of this name; repeat it for more classes. 'a | b' are "
        "synonyms, 'not c' is what is not meant, 'name: phrase' names the class.",
    ),
]
ThresholdOption = Annotated[
    float | None,
    typer.Option("--text-threshold", min=0, max=1, help="Least text score."),
]
LikeOption = Annotated[
    list[Path] | None,
    typer.Option(
        "--like", metavar="FILE", help="Mask or labels of objects: find the rest."
    ),
]
UnlikeOption = Annotated[
    list[Path] | None,
    typer.Option("--unlike", metavar="FILE", help="Objects that are not meant."),
]
ConceptOption = Annotated[
    list[str] | None,
    typer.Option("--concept", metavar="NAME", help="Find a concept that was saved."),
]
WordsOption = Annotated[
    Path | None,
    typer.Option(
        "--words", metavar="FILE", help="Words of train-text, not the CLIP's own."
    ),
]
SaveConceptOption = Annotated[
    str | None,
    typer.Option(
        "--save-concept",
        metavar="NAME",
        help="Keep --text and --like with their threshold under this name.",
    ),
]
PointOption = Annotated[
    list[Point] | None,
    typer.Option(
        "--point",
        parser=parse_point,
        metavar="Y,X",
        help="A pixel of the object, Z,Y,X in a stack; may be repeated.",
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
        help="A box around one object, Z,Y0,X0,Y1,X1 in a stack; each further one is "
        "another object.",
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
AxesOption = Annotated[
    str | None,
    typer.Option(
        "--axes",
        metavar="LETTERS",
        help="The image is a stack or movie: a letter of TZCYXS for each axis, such as "
        "ZYX; 'auto' reads them from the file.",
    ),
]
PropagateOption = Annotated[
    bool,
    typer.Option(
        "--propagate",
        help="With --axes: follow the objects of points and boxes through all slices.",
    ),
]
OverlayOption = Annotated[
    Path | None,
    typer.Option(
        "--overlay", metavar="FILE.png", help="Picture of the objects to write."
    ),
]
AutoOption = Annotated[
    bool, typer.Option("--auto", help="Segment every object, without a prompt.")
]
MinSizeOption = Annotated[
    float,
    typer.Option(
        "--min-size", metavar="PIXELS", min=0, help="With --auto: smallest area."
    ),
]
MaxSizeOption = Annotated[
    float | None,
    typer.Option(
        "--max-size", metavar="PIXELS", min=0, help="With --auto: largest area."
    ),
]
BorderOption = Annotated[
    bool,
    typer.Option(
        "--border/--no-border",
        help="With --auto: keep objects that touch the image's border.",
    ),
]
HolesOption = Annotated[
    bool,
    typer.Option(
        "--fill-holes/--keep-holes", help="With --auto: fill holes in objects."
    ),
]
DecoderOption = Annotated[
    Path | None,
    typer.Option(
        "--decoder",
        metavar="FILE",
        help="With --auto: a micro-sam decoder file for the model.",
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
    text: TextOption = None,
    text_threshold: ThresholdOption = None,
    like: LikeOption = None,
    unlike: UnlikeOption = None,
    concept: ConceptOption = None,
    save_concept: SaveConceptOption = None,
    clip: ClipOption = "clip_pocket",
    words: WordsOption = None,
    table: TableOption = None,
    kind: FormatOption = Format.labels,
    auto: AutoOption = False,
    axes: AxesOption = None,
    propagate: PropagateOption = False,
    method: MethodOption = Method.dense,
    min_size: MinSizeOption = 15,
    max_size: MaxSizeOption = None,
    border: BorderOption = True,
    fill_holes: HolesOption = True,
    decoder: DecoderOption = None,
) -> None:
    """Segment what points, boxes and a mask show, what words name, or everything.

    Positions are Y,X (row, column) in pixels. Each box is an object, and each id of a
    label mask. A point in a box or on a mask refines that object; the other points
    together show one more object, or one each with --each-point. A negative point in
    a box or on a mask counts for that object, elsewhere for all. Where objects overlap,
    the one with the higher predicted IoU wins.
    """
    asked = bool(text or like or concept)
    if asked and (point or box or mask):
        raise typer.BadParameter("Give words and examples, or points and boxes.")
    if auto and (asked or point or box or mask):
        raise typer.BadParameter("--auto takes no prompts: leave one of them out.")
    if not (auto or asked or point or box or mask):
        raise typer.BadParameter(
            "Give at least one --point, --box, --mask, --text, --like or --concept, "
            "or --auto."
        )
    inputs = [image, *([mask] if mask else []), *(like or ()), *(unlike or ())]
    _check_outputs(inputs, out, kind, overlay, table)
    if axes is not None:
        if mask or like or unlike or concept or overlay or kind is not Format.labels:
            raise typer.BadParameter(
                "A stack takes --point, --box, --text or --auto, and --out and --table."
            )
        from napari_sam.cli.volume_segmenting import (
            VolumeJob,
            print_volume,
            run_volume_job,
        )

        stack_job = VolumeJob(
            image=image,
            out=out,
            axes=None if axes.lower() == "auto" else axes,
            points=tuple(point or ()),
            negatives=tuple(negative or ()),
            boxes=tuple(box or ()),
            auto=auto,
            phrases=tuple(text or ()),
            text_threshold=text_threshold,
            each_point=each_point,
            propagate=propagate,
            clip=clip,
            model=model,
            device=device,
            dtype=dtype,
            table=table,
        )
        print_volume(stack_job, run_volume_job(stack_job), as_json=json)
        return
    if propagate or any(
        each.slice is not None for each in (*(point or ()), *(box or ()))
    ):
        raise typer.BadParameter(
            "Slices and --propagate are for stacks: give --axes, such as ZYX."
        )
    if auto:
        from napari_sam.cli.automatic_segmenting import (
            AutomaticJob,
            print_automatic,
            run_automatic_job,
        )

        everything = AutomaticJob(
            image=image,
            out=out,
            method=method.value,
            min_size=min_size,
            max_size=float("inf") if max_size is None else max_size,
            keep_border=border,
            fill_holes=fill_holes,
            decoder=decoder,
            kind=kind,
            table=table,
            overlay=overlay,
            model=model,
            device=device,
            dtype=dtype,
            channel_axis=channel_axis,
        )
        print_automatic(everything, run_automatic_job(everything), as_json=json)
        return
    if asked:
        from napari_sam.cli.reports import print_text_selection
        from napari_sam.cli.text_segmenting import TextJob, run_text_job

        text_job = TextJob(
            image=image,
            out=out,
            phrases=tuple(text or ()),
            like=tuple(like or ()),
            unlike=tuple(unlike or ()),
            concepts=tuple(concept or ()),
            save_concept=save_concept,
            threshold=text_threshold,
            clip=clip,
            words=words,
            kind=kind,
            table=table,
            overlay=overlay,
            model=model,
            device=device,
            dtype=dtype,
            channel_axis=channel_axis,
        )
        print_text_selection(text_job, run_text_job(text_job), as_json=json)
        return
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
        kind=kind,
        table=table,
    )
    print_segmentation(job, run_job(job), as_json=json)


def _check_outputs(
    inputs: list[Path],
    out: Path,
    kind: Format,
    overlay: Path | None,
    table: Path | None,
) -> None:
    """Refuse outputs of the wrong kind and those that would replace an input."""
    check_suffix(out, kind)
    for path, option, suffix in (
        (overlay, "--overlay", ".png"),
        (table, "--table", ".csv"),
    ):
        if path is not None and path.suffix.lower() != suffix:
            raise typer.BadParameter(
                f"{option} must end in {suffix}, and {path.name} does not."
            )
    taken = {path.resolve() for path in inputs}
    for path in (out, overlay, table):
        if path is not None and path.resolve() in taken:
            raise typer.BadParameter(f"{path} is an input: write to another file.")
