"""The work of ``napari-sam evaluate --protocol automatic``."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import typer

from napari_sam import __version__
from napari_sam.cli.evaluating import (
    EvaluationJob,
    load_predictor,
    open_all,
    write_document,
)
from napari_sam.cli.progress import progress_bar
from napari_sam.evaluation.automatic import SegmentationResult, score_segmentation
from napari_sam.evaluation.labelled import ImageSet, LabelledImage

if TYPE_CHECKING:
    from napari_sam.inference.predictor import SamPredictor

COLUMNS = (
    ("mSA", "mean_sa"),
    ("AP50", "ap50"),
    ("AP75", "ap75"),
    ("PQ", "panoptic_quality"),
    ("F1", "f1"),
    ("count", "count_error"),
    ("seconds", "seconds"),
)


def run_automatic_evaluation(
    job: EvaluationJob, method: Literal["dense", "grid"]
) -> dict[str, Any]:
    """Segment labelled images without a prompt and write the scores.

    Parameters
    ----------
    job : EvaluationJob
    method : {"dense", "grid"}
        As for `napari_sam.inference.automatic.segment_everything`.

    Returns
    -------
    dict
        What is written as JSON.

    Raises
    ------
    DataError
        If a data set cannot be read.
    ModelError, CheckpointError
        If there is no such model, or it has no dense head.
    ExportError
        If the file cannot be written.
    """
    sets = open_all(job.datasets)
    predictor = load_predictor(job)
    summaries = {
        each.name: _measure(predictor, each.limited(job.limit), method) for each in sets
    }
    means = {
        key: float(np.mean([each[key] for each in summaries.values()]))
        for key in next(iter(summaries.values()))
    }
    document = {
        "model": predictor.model.name,
        "checkpoint": predictor.model.checkpoint_sha256,
        "version": __version__,
        "protocol": "automatic",
        "method": method,
        "sets": summaries,
        "mean_over_sets": means,
    }
    if job.json is not None:
        write_document(job.json, document)
    return document


def _measure(
    predictor: SamPredictor, images: ImageSet, method: Literal["dense", "grid"]
) -> dict[str, float]:
    """Score one set; seconds are those of an image, with its encoding."""
    from napari_sam.inference.automatic import segment_everything

    seconds: list[float] = []
    with progress_bar(images.name) as advance:

        def segment(image: LabelledImage) -> Any:
            advance(len(seconds), None)
            started = time.perf_counter()
            predictor.set_image(image.image, channel_axis=image.channel_axis)
            labels = segment_everything(predictor, method=method).labels
            seconds.append(time.perf_counter() - started)
            return labels

        result: SegmentationResult = score_segmentation(segment, images)
    return {
        "images": float(len(seconds)),
        **result.summary(),
        "seconds": float(np.mean(seconds)),
    }


def print_automatic_table(document: Mapping[str, Any]) -> None:
    """Print a line for each set and their mean."""
    heads = " ".join(f"{head:>8}" for head, _ in COLUMNS)
    typer.echo(f"{'set':<28} {'images':>6} {heads}")
    rows = [*document["sets"].items(), ("mean over sets", document["mean_over_sets"])]
    for name, figures in rows:
        values = " ".join(f"{figures[key]:>8.3f}" for _, key in COLUMNS)
        typer.echo(f"{name:<28} {figures['images']:>6.0f} {values}")
    typer.echo(
        "mSA: mean over IoU .5 to .95 of TP / (TP + FP + FN); count: objects found "
        "minus labelled; means over images."
    )
