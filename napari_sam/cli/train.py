"""``napari-sam train``: fit a model to one's own images."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from napari_sam.cli.options import ModelOption

WEIGHTS_SUFFIX = ".safetensors"


class Parts(StrEnum):
    """What of a model is fitted."""

    decoder = "decoder"
    lora = "lora"
    all = "all"


DatasetArgument = Annotated[
    list[Path],
    typer.Argument(
        metavar="DATASET...",
        help="A folder with images/ and labels/ of the same names, or a folder of "
        "such folders.",
    ),
]
OutOption = Annotated[
    Path,
    typer.Option("--out", metavar="FILE.safetensors", help="Weights to write."),
]
InitOption = Annotated[
    Path | None,
    typer.Option(
        "--init", metavar="FILE", help="Weights to start from; the model's by default."
    ),
]
ScratchOption = Annotated[
    bool, typer.Option("--from-scratch", help="Start from random weights.")
]
RecipeOption = Annotated[
    str | None,
    typer.Option(
        "--recipe",
        metavar="NAME|FILE",
        help="finetune (default for pocket), sam_decoder or sam_encoder (for others), "
        "pocket (makes the bundled weights from scratch), or a JSON file of settings.",
    ),
]
PartsOption = Annotated[
    Parts | None,
    typer.Option(
        "--parts",
        help="What to fit: the decoder alone (fastest; default but for pocket), it and "
        "low-rank adapters of a ViT image encoder (lora), or all.",
    ),
]
StepsOption = Annotated[
    int | None, typer.Option("--steps", metavar="N", min=1, help="At most so many.")
]
HoursOption = Annotated[
    float | None,
    typer.Option("--hours", metavar="H", min=0.0, help="At most so long."),
]
ResumeOption = Annotated[
    bool, typer.Option("--resume", help="Go on with an interrupted run.")
]
ValidationOption = Annotated[
    float | None,
    typer.Option(
        "--validation",
        metavar="SHARE",
        min=0.0,
        max=0.9,
        help="Share of the images held back to choose the best weights, 0 for none.",
    ),
]
SeedOption = Annotated[
    int | None, typer.Option("--seed", min=0, help="Of all that is random.")
]

AxisOption = Annotated[
    list[int] | None,
    typer.Option(
        "--axis",
        metavar="N",
        min=0,
        max=2,
        help="Slice stacks and series along this axis, 0 (the first) by default; give "
        "it several times to take slices along each.",
    ),
]
MemoryOption = Annotated[
    float,
    typer.Option(
        "--memory",
        metavar="GB",
        min=0.0,
        help="Images that take more are read anew when they are needed.",
    ),
]


def train(
    dataset: DatasetArgument,
    out: OutOption,
    model: ModelOption = "pocket",
    init: InitOption = None,
    from_scratch: ScratchOption = False,
    recipe: RecipeOption = None,
    parts: PartsOption = None,
    steps: StepsOption = None,
    hours: HoursOption = None,
    resume: ResumeOption = False,
    validation: ValidationOption = None,
    seed: SeedOption = None,
    axis: AxisOption = None,
    memory: MemoryOption = 2.0,
) -> None:
    """Fit a model to labelled images.

    Labels hold one number for each object, 0 for background. Some images are held back
    to measure on; training ends once they are segmented no better, and the best weights
    are written. What is needed to go on after an interruption is kept beside them.
    """
    if out.suffix.lower() != WEIGHTS_SUFFIX:
        raise typer.BadParameter(
            f"--out must end in {WEIGHTS_SUFFIX}, and {out.name} does not."
        )
    if init is not None and from_scratch:
        raise typer.BadParameter("Give --init or --from-scratch, not both.")
    from napari_sam.cli.training import TrainJob, run_training

    job = TrainJob(
        datasets=tuple(dataset),
        out=out,
        model=model,
        init=init,
        from_scratch=from_scratch,
        recipe=recipe,
        parts=None if parts is None else parts.value,
        steps=steps,
        hours=hours,
        resume=resume,
        validation=validation,
        seed=seed,
        axes=tuple(sorted(set(axis or [0]))),
        memory=memory,
    )
    for line in run_training(job):
        typer.echo(line)
