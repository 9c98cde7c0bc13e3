"""The work of ``napari-sam segment --auto``."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from rich.console import Console

from napari_sam.cli.images import read_image
from napari_sam.cli.jobs import PictureJob
from napari_sam.cli.progress import progress_bar
from napari_sam.cli.reports import print_json, print_written
from napari_sam.cli.segmenting import load_predictor, write_results
from napari_sam.export.objects import ExportedObject

if TYPE_CHECKING:
    from napari_sam.inference.automatic import AutomaticResult, RegionFinder
    from napari_sam.inference.predictor import SamPredictor


@dataclass(frozen=True, eq=False)
class AutomaticJob(PictureJob):
    """Every object, without a prompt."""

    method: Literal["dense", "grid"] = "dense"
    min_size: float = 15.0
    max_size: float = float("inf")
    keep_border: bool = True
    fill_holes: bool = True
    decoder: Path | None = None


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
    finder = None if job.decoder is None else decoder_finder(predictor, job.decoder)
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
    objects = [
        ExportedObject(number, record)
        for number, record in enumerate(result.records, start=1)
    ]
    shape = (result.labels.shape[0], result.labels.shape[1])
    write_results(job, image, objects, shape)
    return AutomaticOutcome(result, seconds)


def decoder_finder(predictor: SamPredictor, path: Path) -> RegionFinder:
    """Use a micro-sam decoder file in place of the model's own dense head."""
    from napari_sam.inference.unetr import UnetrFinder
    from napari_sam.nn.unetr_decoder import load_unetr_decoder

    return UnetrFinder(predictor, load_unetr_decoder(path))


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
    print_written(job.outputs)
