"""The work of ``napari-sam evaluate``."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import typer

from napari_sam import __version__
from napari_sam.cli.progress import progress_bar
from napari_sam.errors import DataError, ExportError
from napari_sam.evaluation.baseline import ClassicalPredictor
from napari_sam.evaluation.benchmark import BenchmarkSettings, SetResult, run_benchmark
from napari_sam.evaluation.datasets import open_datasets
from napari_sam.evaluation.labelled import ImageSet
from napari_sam.evaluation.plots import new_figure
from napari_sam.evaluation.report import write_report
from napari_sam.evaluation.summary import summarise_all
from napari_sam.evaluation.trials import Predictor

if TYPE_CHECKING:
    from napari_sam.inference.predictor import SamPredictor


@dataclass(frozen=True)
class EvaluationJob:
    """What a user asked for; see ``napari-sam evaluate --help``."""

    datasets: tuple[Path, ...]
    model: str = "pocket"
    checkpoint: Path | None = None
    protocols: tuple[str, ...] = ("points", "box")
    clicks: int = 5
    limit: int | None = None
    max_objects: int | None = None
    seed: int = 0
    baseline: bool = False
    json: Path | None = None
    report: Path | None = None
    device: str = "auto"
    dtype: str = "auto"

    def settings(self) -> BenchmarkSettings:
        """Return what the benchmark needs to know of it."""
        return BenchmarkSettings(
            protocols=self.protocols,
            clicks=self.clicks,
            limit=self.limit,
            max_objects=self.max_objects,
            seed=self.seed,
            examples=3 if self.report else 0,
        )


def run_evaluation(job: EvaluationJob) -> dict[str, Any]:
    """Measure a model and write what was asked for.

    Parameters
    ----------
    job : EvaluationJob

    Returns
    -------
    dict
        What is written as JSON: the facts of the run and the figures of
        `summarise_all`.

    Raises
    ------
    DataError
        If a data set cannot be read.
    ModelError, CheckpointError
        If there is no such model.
    ExportError
        If a result cannot be written.
    """
    sets = open_all(job.datasets)
    if job.report:
        new_figure(1, 1)  # refuse before the measuring, not after it
    settings = job.settings()
    predictor = load_predictor(job)
    results = _measure(predictor, sets, settings, job.model)
    document = {**_facts(predictor.model, settings), **summarise_all(results)}
    if job.baseline:
        classical = _measure(ClassicalPredictor(), sets, settings, "baseline")
        document["baseline"] = summarise_all(classical)
    _write(job, document, results)
    return document


def load_predictor(job: EvaluationJob) -> SamPredictor:
    """Create the model that a job names, and its predictor.

    Raises
    ------
    ModelError, CheckpointError
        As `napari_sam.create_model`.
    """
    from napari_sam.inference.predictor import SamPredictor
    from napari_sam.nn.registry import create_model

    return SamPredictor(
        create_model(
            job.model, checkpoint=job.checkpoint, device=job.device, dtype=job.dtype
        )
    )


def open_all(paths: Iterable[Path]) -> list[ImageSet]:
    """Open data sets; names that occur twice are told apart by their parent folder.

    Raises
    ------
    DataError
        If one cannot be read, or is given twice.
    """
    found = [(path, each) for path in paths for each in open_datasets(path)]
    names = [each.name for _, each in found]
    sets = [
        each
        if names.count(each.name) == 1
        else ImageSet(
            f"{_parent(path, each)}/{each.name}", each.sources, each.unlabelled
        )
        for path, each in found
    ]
    if len({each.name for each in sets}) < len(sets):
        raise DataError("A data set is given twice; name each only once.")
    for each in sets:
        if each.unlabelled:
            words = (
                f"{each.name}: {each.unlabelled} images without labels are left out."
            )
            typer.echo(words, err=True)
    return sets


def _parent(path: Path, images: ImageSet) -> str:
    """Return the folder that holds a set: the path, or its parent if it is the set."""
    place = path.resolve()
    return place.parent.name if place.name == images.name else place.name


def _measure(
    predictor: Predictor,
    sets: Sequence[ImageSet],
    settings: BenchmarkSettings,
    words: str,
) -> list[SetResult]:
    results = []
    for each in sets:
        with progress_bar(f"{words}: {each.name}") as advance:

            def show(result: SetResult) -> None:
                advance(result.images, None)

            results += run_benchmark(predictor, [each], settings, show)
    return results


def _facts(model: Any, settings: BenchmarkSettings) -> dict[str, Any]:
    asked = {key: value for key, value in asdict(settings).items() if value is not None}
    del asked["examples"]
    return {
        "model": model.name,
        "checkpoint": model.checkpoint_sha256,
        "device": str(model.device),
        "dtype": str(model.compute_dtype).removeprefix("torch."),
        "version": __version__,
        "date": datetime.now(UTC).isoformat(timespec="minutes"),
        "settings": {**asked, "protocols": ", ".join(settings.protocols)},
    }


def _write(
    job: EvaluationJob, document: dict[str, Any], results: Sequence[SetResult]
) -> None:
    if job.json:
        write_document(job.json, document)
    if job.report:
        with _write_errors():
            page = write_report(job.report, document, results)
        typer.echo(f"Report: {page}", err=True)


def write_document(path: Path, document: Mapping[str, Any]) -> None:
    """Write the figures of an evaluation as JSON, making its folder.

    Raises
    ------
    ExportError
        The file cannot be written.
    """
    with _write_errors():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(document, indent=2), encoding="utf-8")


@contextmanager
def _write_errors() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise ExportError(f"The results cannot be written: {error}.") from error
