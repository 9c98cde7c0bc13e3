"""``napari-sam train-text``: teach a model the words for what it sees."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_sam.cli.options import ClipOption, DeviceOption, ModelOption

WEIGHTS_SUFFIX = ".safetensors"

DatasetArgument = Annotated[
    list[Path],
    typer.Argument(
        metavar="DATASET...",
        help="Folders with images/, labels/ and words.json, which is like "
        '{"word": "nuclei"}; or folders of such folders.',
    ),
]
OutOption = Annotated[
    Path, typer.Option("--out", metavar="FILE.safetensors", help="File to write.")
]
RecipeOption = Annotated[
    bool,
    typer.Option("--bundled", help="The recipe of the words that are shipped."),
]
SyntheticOption = Annotated[
    int | None,
    typer.Option("--synthetic", metavar="N", min=0, help="Synthetic scenes."),
]
StepsOption = Annotated[
    int | None, typer.Option("--steps", metavar="N", min=1, help="Of the fit.")
]
SeedOption = Annotated[int | None, typer.Option("--seed", min=0)]
TokensOption = Annotated[
    bool,
    typer.Option(
        "--tokens",
        help="Fit phrases as prompt tokens of a SAM, from CLIP embeddings of crops.",
    ),
]


def train_text(
    dataset: DatasetArgument,
    out: OutOption,
    model: ModelOption = "pocket",
    clip: ClipOption = "clip_pocket",
    bundled: RecipeOption = False,
    synthetic: SyntheticOption = None,
    steps: StepsOption = None,
    seed: SeedOption = None,
    tokens: TokensOption = False,
    device: DeviceOption = "auto",
) -> None:
    """Teach a model words, from images whose objects all have one name.

    For pocket and a CLIP with a vocabulary, a small head learns where the words of a
    mask's features are: minutes on a laptop. With --tokens, a projection learns to turn
    a CLIP's vectors into prompt tokens of any SAM, whose own weights stay as they are.
    """
    if out.suffix.lower() != WEIGHTS_SUFFIX:
        raise typer.BadParameter(
            f"--out must end in {WEIGHTS_SUFFIX}, and {out.name} does not."
        )
    from napari_sam.cli.text_training import TextTrainJob, run_text_training

    job = TextTrainJob(
        datasets=tuple(dataset),
        out=out,
        model=model,
        clip=clip,
        bundled=bundled,
        synthetic=synthetic,
        steps=steps,
        seed=seed,
        tokens=tokens,
        device=device,
    )
    for line in run_text_training(job):
        typer.echo(line)
