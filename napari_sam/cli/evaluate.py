"""``napari-sam evaluate``: how good a model is on labelled images."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from napari_sam.cli.commands import as_command
from napari_sam.cli.options import (
    ClipOption,
    DeviceOption,
    DtypeOption,
    Method,
    MethodOption,
    ModelOption,
)

if TYPE_CHECKING:
    from napari_sam.cli.evaluating import EvaluationJob


class Protocol(StrEnum):
    """How a model is asked for objects."""

    points = "points"
    box = "box"
    text = "text"
    volume = "volume"
    automatic = "automatic"


USUAL_PROTOCOLS = (Protocol.points, Protocol.box)

DatasetArgument = Annotated[
    list[Path],
    typer.Argument(
        metavar="DATASET...",
        help="A folder with images/ and labels/, a folder of such folders, or a COCO "
        "or SA-1B JSON file.",
    ),
]
CheckpointOption = Annotated[
    Path | None,
    typer.Option(
        "--checkpoint", metavar="FILE", help="Weights other than the model's own."
    ),
]
ProtocolOption = Annotated[
    list[Protocol] | None,
    typer.Option(
        "--protocol",
        help="May be repeated; points and box by default. text (by words), volume "
        "(propagation from one click) and automatic (no prompt at all) stand alone.",
    ),
]
ClicksOption = Annotated[
    int,
    typer.Option(
        "--clicks",
        min=1,
        max=20,
        help="Clicks on each object; 20 also reports the clicks needed for IoU .85 "
        "and .90.",
    ),
]
LimitOption = Annotated[
    int | None,
    typer.Option(
        "--limit", metavar="N", min=1, help="Files of each set, evenly spread."
    ),
]
MaxObjectsOption = Annotated[
    int | None,
    typer.Option(
        "--max-objects",
        metavar="N",
        min=1,
        help="Objects of each image, evenly spread.",
    ),
]
WordsOption = Annotated[
    str | None,
    typer.Option(
        "--word",
        metavar="PHRASE",
        help="Of text: what the objects are; by default words.json or sets.json tells.",
    ),
]
ThresholdOption = Annotated[
    float | None,
    typer.Option("--text-threshold", min=0, max=1, help="Of text: least score."),
]
SeedOption = Annotated[int, typer.Option("--seed", min=0, help="Of noisy boxes.")]
BaselineOption = Annotated[
    bool,
    typer.Option("--baseline", help="Also measure Otsu and watershed, to compare."),
]
JsonFileOption = Annotated[
    Path | None,
    typer.Option("--json", metavar="FILE", help="Write all figures as JSON."),
]
ReportOption = Annotated[
    Path | None,
    typer.Option(
        "--report", metavar="DIR", help="Write an HTML page with plots and examples."
    ),
]


@dataclass(frozen=True, eq=False)
class EvaluateOptions:
    """All options, as typer reads them."""

    dataset: DatasetArgument
    model: ModelOption = "pocket"
    checkpoint: CheckpointOption = None
    protocol: ProtocolOption = None
    clicks: ClicksOption = 5
    limit: LimitOption = None
    max_objects: MaxObjectsOption = None
    seed: SeedOption = 0
    baseline: BaselineOption = False
    json: JsonFileOption = None
    report: ReportOption = None
    device: DeviceOption = "auto"
    dtype: DtypeOption = "auto"
    word: WordsOption = None
    clip: ClipOption = "clip_pocket"
    text_threshold: ThresholdOption = None
    method: MethodOption = Method.dense

    def job(self) -> EvaluationJob:
        """Return what every protocol is told."""
        from napari_sam.cli.evaluating import EvaluationJob

        return EvaluationJob(
            datasets=tuple(self.dataset),
            model=self.model,
            checkpoint=self.checkpoint,
            protocols=tuple(each.value for each in self.protocol or USUAL_PROTOCOLS),
            clicks=self.clicks,
            limit=self.limit,
            max_objects=self.max_objects,
            seed=self.seed,
            baseline=self.baseline,
            json=self.json,
            report=self.report,
            device=self.device,
            dtype=self.dtype,
        )


def run_evaluate(options: EvaluateOptions) -> None:
    """Measure a model on labelled images, with simulated clicks and boxes, or by words.

    Labels hold one number for each object, 0 for background. Of a stack or a time
    series eight slices are used, each as an image; with --protocol volume all are, and
    --baseline adds a click column and a random walker.
    """
    json, protocols = options.json, options.protocol or ()
    if json is not None and json.suffix.lower() != ".json":
        raise typer.BadParameter(f"--json must end in .json, and {json.name} does not.")
    alone = [each for each in protocols if each not in USUAL_PROTOCOLS]
    if alone and len(protocols) != 1:
        raise typer.BadParameter(
            "Measure text, volume or automatic by itself, without another protocol."
        )
    _MEASURES[alone[0] if alone else None](options)


evaluate = as_command(EvaluateOptions, run_evaluate)


def _measure_prompts(options: EvaluateOptions) -> None:
    from napari_sam.cli.evaluating import run_evaluation
    from napari_sam.cli.evaluation_table import print_table

    print_table(run_evaluation(options.job()))


def _measure_words(options: EvaluateOptions) -> None:
    from napari_sam.cli.text_evaluating import (
        TextEvaluationJob,
        print_text_table,
        run_text_evaluation,
    )

    asked = TextEvaluationJob(
        options.job(), options.word, options.clip, options.text_threshold
    )
    print_text_table(run_text_evaluation(asked))


def _measure_volumes(options: EvaluateOptions) -> None:
    from napari_sam.cli.volume_evaluating import (
        print_volume_table,
        run_volume_evaluation,
    )

    print_volume_table(run_volume_evaluation(options.job()))


def _measure_everything(options: EvaluateOptions) -> None:
    from napari_sam.cli.automatic_evaluating import (
        print_automatic_table,
        run_automatic_evaluation,
    )

    print_automatic_table(run_automatic_evaluation(options.job(), options.method.value))


# By the protocol that stands alone, None where none does.
_MEASURES: dict[Protocol | None, Callable[[EvaluateOptions], None]] = {
    None: _measure_prompts,
    Protocol.text: _measure_words,
    Protocol.volume: _measure_volumes,
    Protocol.automatic: _measure_everything,
}
