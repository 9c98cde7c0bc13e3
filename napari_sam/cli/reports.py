"""What subcommands print on stdout."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

if TYPE_CHECKING:
    from napari_sam.cli.segmenting import FoundObject, Segmentation, SegmentJob
    from napari_sam.cli.text_segmenting import TextJob
    from napari_sam.inference.text_selection import TextSelection
    from napari_sam.structures import MaskRecord, PromptSet


def print_json(result: Any) -> None:
    """Print a result as JSON, in pure ASCII so that any pipe carries it."""
    import typer

    typer.echo(json.dumps(result, indent=2))


def print_segmentation(job: SegmentJob, result: Segmentation, as_json: bool) -> None:
    """Print what was found and where it was written."""
    if as_json:
        print_json(describe_segmentation(job, result))
        return
    table = Table("id", "area (px)", "predicted IoU", "stability")
    for each in result.objects:
        for record in each.candidates:
            table.add_row(
                str(each.id),
                str(int(record.mask.sum())),
                f"{record.predicted_iou:.3f}",
                f"{record.stability_score:.3f}",
            )
    Console().print(table)
    print_written(job.outputs)


def print_written(paths: Iterable[Path | None]) -> None:
    """Print which files were written; None stands for one that was not asked for."""
    console = Console()
    for path in paths:
        if path is not None:
            console.print(f"Wrote {path}", highlight=False, soft_wrap=True)


def print_text_selection(job: TextJob, result: TextSelection, as_json: bool) -> None:
    """Print what words found, what they did not, and where it was written."""
    from napari_sam.cli.text_segmenting import describe_text_job

    if as_json:
        print_json(describe_text_job(job, result))
        return
    console = Console()
    for note in filter(None, result.notes):
        console.print(note, highlight=False, soft_wrap=True)
    console.print(result.message, highlight=False, soft_wrap=True)
    print_written(job.outputs)


def describe_segmentation(job: SegmentJob, result: Segmentation) -> dict[str, Any]:
    """Return the JSON object of ``napari-sam segment --json``."""
    return {
        "image": str(job.image),
        "shape": list(result.shape),
        "model": job.model,
        "checkpoint_sha256": result.checkpoint,
        "device": result.device,
        "dtype": result.dtype,
        "out": str(job.out),
        "overlay": None if job.overlay is None else str(job.overlay),
        "seconds": {step: round(value, 4) for step, value in result.seconds.items()},
        "objects": [_describe_object(each) for each in result.objects],
    }


def _describe_object(found: FoundObject) -> dict[str, Any]:
    return {
        "id": found.id,
        "prompts": _describe_prompts(found.prompts),
        "candidates": [_describe_record(record) for record in found.candidates],
    }


def _describe_prompts(prompts: PromptSet) -> dict[str, Any]:
    box = prompts.box
    return {
        "points": [list(p.position) for p in prompts.points if p.positive],
        "negatives": [list(p.position) for p in prompts.points if not p.positive],
        "box": None if box is None else [*box.start, *box.stop],
        "mask": prompts.mask is not None,
    }


def _describe_record(record: MaskRecord) -> dict[str, Any]:
    (row, col), (height, width) = record.origin, record.mask.shape
    return {
        "area": int(record.mask.sum()),
        "box": [row, col, row + height, col + width],
        "predicted_iou": round(record.predicted_iou, 5),
        "stability_score": round(record.stability_score, 5),
    }
