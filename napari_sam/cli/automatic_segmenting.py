"""The work of ``napari-sam segment --auto``."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rich.console import Console

from napari_sam.cli.images import read_image
from napari_sam.cli.options import Format
from napari_sam.cli.outputs import write_object_table, write_objects
from napari_sam.cli.progress import progress_bar
from napari_sam.cli.reports import print_json
from napari_sam.cli.segmenting import load_predictor, picture_of
from napari_sam.export.objects import ExportedObject
from napari_sam.export.overlay import write_overlay

if TYPE_CHECKING:
    from napari_sam.inference.automatic import AutomaticResult


@dataclass(frozen=True, eq=False)
class AutomaticJob:
    """What a user asked for; see ``napari-sam segment --help``."""

    image: Path
    out: Path
    method: Literal["dense", "grid"] = "dense"
    min_size: float = 15.0
    max_size: float = float("inf")
    keep_border: bool = True
    fill_holes: bool = True
    decoder: Path | None = None
    kind: Format = Format.labels
    table: Path | None = None
    overlay: Path | None = None
    model: str = "pocket"
    device: str = "auto"
    dtype: str = "auto"
    channel_axis: int | None = None


@dataclass(frozen=True, eq=False)
class AutomaticOutcome:
    """All objects of a file, and how long it took after the model was loaded."""

    result: AutomaticResult
    seconds: float


def run_automatic_job(job: AutomaticJob) -> AutomaticOutcome:
    """Find all objects of an image file and write them.

    Parameters
    ----------
    job : AutomaticJob

    Returns
    -------
    AutomaticOutcome

    Raises
    ------
    NapariSamError
        A file, the model or an output cannot be used.
    """
    from napari_sam.inference.automatic import segment_everything
    from napari_sam.inference.instances import InstanceSettings

    image = read_image(job.image)
    predictor = load_predictor(job.model, job.device, job.dtype)
    settings = InstanceSettings(
        job.min_size, job.max_size, job.keep_border, job.fill_holes
    )
    finder = None if job.decoder is None else _finder(predictor, job.decoder)
    started = time.perf_counter()
    with progress_bar("Encoding the image"):
        predictor.set_image(image, channel_axis=job.channel_axis)
    with progress_bar("Finding objects") as advance:
        result = segment_everything(
            predictor,
            method=job.method,
            settings=settings,
            finder=finder,
            progress=advance,
        )
    seconds = time.perf_counter() - started
    _write(job, image, result)
    return AutomaticOutcome(result, seconds)


def _finder(predictor: Any, path: Path) -> Any:
    """Use a micro-sam decoder file in place of the model's own dense head."""
    from napari_sam.inference.unetr import UnetrFinder
    from napari_sam.nn.unetr_decoder import load_unetr_decoder

    return UnetrFinder(predictor, load_unetr_decoder(path))


def _write(job: AutomaticJob, image: Any, result: AutomaticResult) -> None:
    objects = [
        ExportedObject(number, record)
        for number, record in enumerate(result.records, start=1)
    ]
    shape = (result.labels.shape[0], result.labels.shape[1])
    write_objects(job.out, job.kind, objects, shape, job.image)
    if job.table is not None:
        write_object_table(job.table, objects, job.image)
    if job.overlay is not None:
        picture = picture_of(image, job.channel_axis)
        write_overlay(job.overlay, picture, result.labels)


def print_automatic(
    job: AutomaticJob, outcome: AutomaticOutcome, as_json: bool
) -> None:
    """Print how many objects were found, and where they were written."""
    count = len(outcome.result.records)
    if as_json:
        print_json(
            {
                "image": str(job.image),
                "out": str(job.out),
                "model": job.model,
                "method": job.method,
                "objects": count,
                "seconds": round(outcome.seconds, 3),
            }
        )
        return
    console = Console()
    what = "1 object" if count == 1 else f"{count} objects"
    console.print(f"Found {what} in {outcome.seconds:.1f} s.", highlight=False)
    for path in (job.out, job.table, job.overlay):
        if path is not None:
            console.print(f"Wrote {path}", highlight=False, soft_wrap=True)
