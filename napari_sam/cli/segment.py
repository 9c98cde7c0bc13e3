"""``napari-sam segment``: from an image file and prompts to a label file."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from napari_sam.cli.commands import as_command
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
ThreeAxesOption = Annotated[
    bool,
    typer.Option(
        "--three-axes",
        help="With --axes ZYX and --auto or --text: look along all three axes, and "
        "keep what two agree on; for voxels that are about as deep as wide.",
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
        "--min-size",
        metavar="PIXELS",
        min=0,
        help="With --auto: smallest area; in a stack, fewest voxels.",
    ),
]
MaxSizeOption = Annotated[
    float | None,
    typer.Option(
        "--max-size",
        metavar="PIXELS",
        min=0,
        help="With --auto: largest area; in a stack, most voxels.",
    ),
]
BorderOption = Annotated[
    bool,
    typer.Option(
        "--border/--no-border",
        help="With --auto: keep objects that touch the image's border; in a stack, the "
        "border of a slice.",
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


@dataclass(frozen=True, eq=False)
class SegmentOptions:
    """All options, as typer reads them."""

    image: ImageArgument
    out: OutOption
    point: PointOption = None
    negative: NegativeOption = None
    box: BoxOption = None
    mask: MaskOption = None
    each_point: EachPointOption = False
    multimask: MultimaskOption = Multimask.best
    model: ModelOption = "pocket"
    channel_axis: ChannelAxisOption = None
    device: DeviceOption = "auto"
    dtype: DtypeOption = "auto"
    overlay: OverlayOption = None
    json: JsonOption = False
    text: TextOption = None
    text_threshold: ThresholdOption = None
    like: LikeOption = None
    unlike: UnlikeOption = None
    concept: ConceptOption = None
    save_concept: SaveConceptOption = None
    clip: ClipOption = "clip_pocket"
    words: WordsOption = None
    table: TableOption = None
    kind: FormatOption = Format.labels
    auto: AutoOption = False
    axes: AxesOption = None
    propagate: PropagateOption = False
    three_axes: ThreeAxesOption = False
    method: MethodOption = Method.dense
    min_size: MinSizeOption = 15
    max_size: MaxSizeOption = None
    border: BorderOption = True
    fill_holes: HolesOption = True
    decoder: DecoderOption = None

    @property
    def is_shown(self) -> bool:
        """Whether points, boxes or a mask show objects."""
        return bool(self.point or self.box or self.mask)

    @property
    def is_named(self) -> bool:
        """Whether words, examples or concepts name objects."""
        return bool(self.text or self.like or self.concept)

    @property
    def shown_name(self) -> str | None:
        """What the objects of points, boxes or a mask are called, if that is told."""
        others = self.like or self.unlike or self.concept or self.save_concept
        texts = self.text or []
        return texts[0] if len(texts) == 1 and not others else None

    def for_job(self) -> dict[str, Any]:
        """Return what every `Job` is told."""
        names = ("image", "out", "model", "device", "dtype", "table")
        return {name: getattr(self, name) for name in names}

    def for_everything(self) -> dict[str, Any]:
        """Return how all objects are found, and which are kept."""
        return {
            "method": self.method.value,
            "min_size": self.min_size,
            "max_size": math.inf if self.max_size is None else self.max_size,
            "keep_border": self.border,
            "decoder": self.decoder,
        }

    def for_picture(self) -> dict[str, Any]:
        """Return what every `PictureJob` is told."""
        names = ("channel_axis", "kind", "overlay")
        return self.for_job() | {name: getattr(self, name) for name in names}


def run_segment(options: SegmentOptions) -> None:
    """Segment what points, boxes and a mask show, what words name, or everything.

    Positions are Y,X (row, column) in pixels. Each box is an object, and each id of a
    label mask. A point in a box or on a mask refines that object; the other points
    together show one more object, or one each with --each-point. A negative point in
    a box or on a mask counts for that object, elsewhere for all. Where objects overlap,
    the one with the higher predicted IoU wins. With points or a box, --text says which
    thing there is meant: the nucleus, or the cell around it.
    """
    _check_prompts(options)
    _check_outputs(options)
    _check_stack(options)
    if options.axes is not None:
        _segment_stack(options)
    elif options.auto:
        _segment_everything(options)
    elif options.is_named and not options.is_shown:
        _segment_named(options)
    else:
        _segment_shown(options)


segment = as_command(SegmentOptions, run_segment)


def _check_prompts(options: SegmentOptions) -> None:
    """Refuse to be told nothing, or two ways to find objects."""
    if options.is_named and options.is_shown and options.shown_name is None:
        raise typer.BadParameter(
            "Give words and examples, or points and boxes, which take one --text: the "
            "name of what they show."
        )
    prompted = options.is_named or options.is_shown
    if options.auto and prompted:
        raise typer.BadParameter("--auto takes no prompts: leave one of them out.")
    if options.max_size is not None and options.max_size < options.min_size:
        raise typer.BadParameter("--max-size is smaller than --min-size.")
    if not (options.auto or prompted):
        raise typer.BadParameter(
            "Give at least one --point, --box, --mask, --text, --like or --concept, "
            "or --auto."
        )


def _check_outputs(options: SegmentOptions) -> None:
    """Refuse outputs of the wrong kind and those that would replace an input."""
    check_suffix(options.out, options.kind)
    for path, option, suffix in (
        (options.overlay, "--overlay", ".png"),
        (options.table, "--table", ".csv"),
    ):
        if path is not None and path.suffix.lower() != suffix:
            raise typer.BadParameter(
                f"{option} must end in {suffix}, and {path.name} does not."
            )
    examples = (*(options.like or ()), *(options.unlike or ()))
    inputs = (options.image, options.mask, options.decoder, options.words, *examples)
    taken = {path.resolve() for path in inputs if path is not None}
    for path in (options.out, options.overlay, options.table):
        if path is not None and path.resolve() in taken:
            raise typer.BadParameter(f"{path} is an input: write to another file.")


def _check_stack(options: SegmentOptions) -> None:
    """Refuse what only pictures take in a stack, and slices in a picture."""
    if options.axes is None:
        places = (*(options.point or ()), *(options.box or ()))
        for_stacks = options.propagate or options.three_axes
        if for_stacks or any(each.slice is not None for each in places):
            raise typer.BadParameter(
                "Slices, --propagate and --three-axes are for stacks: give --axes, "
                "such as ZYX."
            )
        return
    if options.three_axes and options.is_shown:
        raise typer.BadParameter("--three-axes goes with --auto or --text.")
    if options.is_named and options.is_shown:
        raise typer.BadParameter(
            "In a stack give --text, or --point and --box, but not both."
        )
    if options.channel_axis is not None:
        raise typer.BadParameter(
            "In a stack the letter C in --axes names the channels, not --channel-axis."
        )
    flat = (options.mask, options.like, options.unlike, options.concept)
    written = (options.overlay, options.save_concept)
    is_flat = options.kind is not Format.labels or not options.fill_holes
    if any((*flat, *written)) or is_flat or options.multimask is Multimask.all:
        raise typer.BadParameter(
            "A stack takes --point, --box, --text or --auto, and --out and --table."
        )


def _segment_stack(options: SegmentOptions) -> None:
    from napari_sam.cli.volume_segmenting import VolumeJob, print_volume, run_volume_job

    axes = options.axes or "auto"
    job = VolumeJob(
        **options.for_job(),
        **options.for_everything(),
        axes=None if axes.lower() == "auto" else axes,
        points=tuple(options.point or ()),
        negatives=tuple(options.negative or ()),
        boxes=tuple(options.box or ()),
        auto=options.auto,
        phrases=tuple(options.text or ()),
        text_threshold=options.text_threshold,
        each_point=options.each_point,
        propagate=options.propagate,
        three_axes=options.three_axes,
        clip=options.clip,
        words=options.words,
    )
    print_volume(job, run_volume_job(job), as_json=options.json)


def _segment_everything(options: SegmentOptions) -> None:
    from napari_sam.cli.automatic_segmenting import (
        AutomaticJob,
        print_automatic,
        run_automatic_job,
    )

    job = AutomaticJob(
        **options.for_picture(),
        **options.for_everything(),
        fill_holes=options.fill_holes,
    )
    print_automatic(job, run_automatic_job(job), as_json=options.json)


def _segment_named(options: SegmentOptions) -> None:
    from napari_sam.cli.reports import print_text_selection
    from napari_sam.cli.text_segmenting import TextJob, run_text_job

    job = TextJob(
        **options.for_picture(),
        phrases=tuple(options.text or ()),
        like=tuple(options.like or ()),
        unlike=tuple(options.unlike or ()),
        concepts=tuple(options.concept or ()),
        save_concept=options.save_concept,
        threshold=options.text_threshold,
        clip=options.clip,
        words=options.words,
    )
    print_text_selection(job, run_text_job(job), as_json=options.json)


def _segment_shown(options: SegmentOptions) -> None:
    from napari_sam.cli.reports import print_segmentation
    from napari_sam.cli.segmenting import SegmentJob, run_job
    from napari_sam.cli.text_clicking import Name

    phrase = options.shown_name
    job = SegmentJob(
        **options.for_picture(),
        points=tuple(options.point or ()),
        negatives=tuple(options.negative or ()),
        boxes=tuple(options.box or ()),
        mask=options.mask,
        each_point=options.each_point,
        all_candidates=options.multimask is Multimask.all,
        name=None if phrase is None else Name(phrase, options.clip, options.words),
    )
    print_segmentation(job, run_job(job), as_json=options.json)
