"""The work of ``napari-sam evaluate --protocol volume``."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import typer

from napari_sam import __version__
from napari_sam.cli.evaluating import EvaluationJob, load_predictor, write_document
from napari_sam.cli.progress import progress_bar
from napari_sam.errors import DataError
from napari_sam.evaluation.datasets import open_datasets
from napari_sam.evaluation.labelled import ImageSet
from napari_sam.evaluation.volume import measure_volumes, read_volumes

COLUMNS = (
    ("objects", "objects"),
    ("IoU", "propagated.mean_iou"),
    ("+1 slice", "corrected.mean_iou"),
    ("alone", "propagated.keep_to_themselves"),
    ("alone +1", "corrected.keep_to_themselves"),
    ("spill", "propagated.mean_spill"),
    ("column", "column"),
    ("walker", "walker"),
)


def run_volume_evaluation(job: EvaluationJob) -> dict[str, Any]:
    """Measure propagation on labelled stacks and movies and write the figures.

    Parameters
    ----------
    job : EvaluationJob

    Returns
    -------
    dict
        What is written as JSON.

    Raises
    ------
    DataError
        A data set cannot be read, or holds no volume.
    ModelError, CheckpointError
        There is no such model.
    ExportError
        The file cannot be written.
    """
    from napari_sam.inference.volume import VolumeSegmenter

    sets = list(_open(job))
    segmenter = VolumeSegmenter(load_predictor(job))
    summaries: dict[str, Any] = {}
    for name, images, is_movie in sets:
        with progress_bar(name) as advance:
            result = measure_volumes(
                segmenter,
                name,
                read_volumes(images.limited(job.limit), is_movie),
                job.max_objects,
                job.baseline,
                advance,
            )
        summaries[name] = {"movie": is_movie, **result.summary()}
        typer.echo(_line(name, summaries[name]), err=True)
    document = {
        "model": segmenter.predictor.model.name,
        "checkpoint": segmenter.predictor.model.checkpoint_sha256,
        "version": __version__,
        "protocol": "volume",
        "max_objects": job.max_objects,
        "sets": summaries,
        "mean_over_sets": _mean(list(summaries.values())),
    }
    if job.json is not None:
        write_document(job.json, document)
    return document


def _open(job: EvaluationJob) -> Iterator[tuple[str, ImageSet, bool]]:
    """Yield the volumes' sets, named after their folders, and if they are movies."""
    for path in job.datasets:
        for images in open_datasets(path):
            folder = path if (path / "images").is_dir() else path / images.name
            name = f"{folder.resolve().parent.name}/{images.name}"
            yield name, images, _is_movie(folder)


def _is_movie(folder: Path) -> bool:
    """Whether the ``sets.json`` beside a set, or above it, calls it a time series."""
    for place in (folder.resolve(), *folder.resolve().parents[:2]):
        facts = place / "sets.json"
        if facts.is_file():
            known = _read_facts(facts).get(folder.resolve().name, {})
            return "time series" in str(known.get("modality", "")).lower()
    return False


def _read_facts(path: Path) -> Mapping[str, Any]:
    try:
        facts: Mapping[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read: {error}.") from error
    return facts


def _mean(summaries: list[dict[str, Any]]) -> dict[str, Any]:
    """Average the figures of all sets; objects are added up."""
    mean: dict[str, Any] = {"objects": sum(each["objects"] for each in summaries)}
    for _, path in COLUMNS[1:]:
        values = [
            look for each in summaries if (look := _look_up(each, path)) is not None
        ]
        part, _, leaf = path.rpartition(".")
        place = mean.setdefault(part, {}) if part else mean
        place[leaf] = float(np.mean(values)) if values else None
    return mean


def _look_up(summary: Mapping[str, Any], path: str) -> float | None:
    found: Any = summary
    for key in path.split("."):
        found = found[key]
    return None if found is None else float(found)


def print_volume_table(document: Mapping[str, Any]) -> None:
    """Print a line for each set and their mean."""
    heads = " ".join(f"{head:>9}" for head, _ in COLUMNS)
    typer.echo(f"{'set':<28} {heads}")
    for name, figures in document["sets"].items():
        typer.echo(_line(name, figures))
    typer.echo(_line("mean over sets", document["mean_over_sets"]))
    typer.echo(
        "IoU: 3D, from one click in the largest slice (a movie: the first frame's "
        "box); +1 slice: after one more click in the worst slice; alone: share of "
        "objects of which less than a tenth lies in others; spill: share of voxels in "
        "no object; column: the same click in every slice; walker: random walker"
    )


def _line(name: str, figures: Mapping[str, Any]) -> str:
    cells = []
    for _, path in COLUMNS:
        value = _look_up(figures, path)
        digits = 0 if path == "objects" else 3
        cells.append(f"{'-':>9}" if value is None else f"{value:>9.{digits}f}")
    return f"{name:<28} {' '.join(cells)}"
