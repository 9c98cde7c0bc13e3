"""The work of ``napari-sam evaluate --protocol text``."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from napari_sam.cli.evaluating import EvaluationJob, load_predictor, write_document
from napari_sam.cli.progress import progress_bar
from napari_sam.evaluation.datasets import open_datasets
from napari_sam.evaluation.words import WordResult, mean_summary, measure_words
from napari_sam.evaluation.words import word_of_set as find_word

COLUMNS = (
    ("mean SA", "mean_sa"),
    ("AP50", "ap50"),
    ("recall50", "recall50"),
    ("synonyms", "synonym_ratio"),
    ("absent", "lowest_nothing_for_absent"),
)


@dataclass(frozen=True)
class TextEvaluationJob:
    """What a user asked for; see ``napari-sam evaluate --help``."""

    job: EvaluationJob
    words: str | None
    clip: str
    threshold: float | None


def run_text_evaluation(asked: TextEvaluationJob) -> dict[str, Any]:
    """Measure words on labelled images and write the figures.

    Parameters
    ----------
    asked : TextEvaluationJob

    Returns
    -------
    dict
        What is written as JSON.

    Raises
    ------
    DataError
        A data set cannot be read, or nothing tells its word.
    ModelError, CheckpointError
        There is no such model or CLIP.
    ExportError
        The file cannot be written.
    """
    from napari_sam.inference.text_prompt import TextSegmenter
    from napari_sam.inference.text_selection import DEFAULT_THRESHOLD

    job = asked.job
    sets = [(path, each) for path in job.datasets for each in open_datasets(path)]
    named = [
        (each, asked.words or find_word(_folder(p, each.name))) for p, each in sets
    ]
    segmenter = TextSegmenter(load_predictor(job), asked.clip)
    threshold = DEFAULT_THRESHOLD if asked.threshold is None else asked.threshold
    summaries = {}
    for images, word in named:
        with progress_bar(f"{images.name}: {word}") as advance:

            def show(result: WordResult) -> None:
                advance(result.images, None)

            limited = images.limited(job.limit)
            result = measure_words(segmenter, limited, word, threshold, show)
        summaries[images.name] = result.summary()
        typer.echo(_line(images.name, summaries[images.name]), err=True)
    document = {
        "model": segmenter.predictor.model.name,
        "checkpoint": segmenter.predictor.model.checkpoint_sha256,
        "clip": segmenter.clip.identity,
        "threshold": threshold,
        "sets": summaries,
        "mean_over_sets": mean_summary(list(summaries.values())),
    }
    if job.json is not None:
        write_document(job.json, document)
    return document


def _folder(path: Path, name: str) -> Path:
    return path / name if (path / name).is_dir() else path


def print_text_table(document: Mapping[str, Any]) -> None:
    """Print a line for each set and their mean."""
    heads = " ".join(f"{head:>9}" for head, _ in COLUMNS)
    typer.echo(f"{'set':<26} {'word':<14} {heads}")
    for name, figures in document["sets"].items():
        typer.echo(_line(name, figures))
    typer.echo(_line("mean over sets", document["mean_over_sets"]))
    typer.echo(
        "synonyms: mean SA by words never trained on, relative to the word's own; "
        "absent: share of images in which the worst of eight absent words finds nothing"
    )


def _line(name: str, figures: Mapping[str, Any]) -> str:
    values = [figures.get(key) for _, key in COLUMNS]
    cells = [f"{'-':>9}" if each is None else f"{each:>9.3f}" for each in values]
    return f"{name:<26} {figures.get('word', ''):<14} {' '.join(cells)}"
