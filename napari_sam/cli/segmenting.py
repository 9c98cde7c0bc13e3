"""The work of ``napari-sam segment``."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_sam.cli.images import read_image, read_mask_labels
from napari_sam.cli.jobs import PictureJob
from napari_sam.cli.objects import PromptedObject, group_prompts
from napari_sam.cli.options import Box, Format, Point
from napari_sam.cli.outputs import write_object_table, write_objects
from napari_sam.cli.progress import progress_bar
from napari_sam.cli.text_clicking import Name, NamedPredictor
from napari_sam.export import get_exporter
from napari_sam.export.label_image import paint_records
from napari_sam.export.objects import ExportedObject
from napari_sam.export.overlay import write_overlay
from napari_sam.geometry import mask_to_box
from napari_sam.structures import MaskPrediction, MaskRecord, PromptSet, Provenance

if TYPE_CHECKING:
    from napari_sam.inference.predictor import SamPredictor
    from napari_sam.nn.pocket import Pocket
    from napari_sam.nn.sam import Sam

# Objects decoded at a time: their full-size candidates are in memory together.
CHUNK = 16


@dataclass(frozen=True, eq=False)
class SegmentJob(PictureJob):
    """Objects that points, boxes and a mask show."""

    points: tuple[Point, ...] = ()
    negatives: tuple[Point, ...] = ()
    boxes: tuple[Box, ...] = ()
    mask: Path | None = None
    each_point: bool = False
    all_candidates: bool = False
    name: Name | None = None


class Asked(Protocol):
    """What is asked for objects: `SamPredictor`, or one that knows their name."""

    @property
    def model(self) -> Sam | Pocket:
        """The model that predicts."""

    def set_image(self, image: ArrayLike, *, channel_axis: int | None = None) -> None:
        """Embed an image."""

    def predict_batch(
        self, prompts: Sequence[PromptSet], multimask_output: bool = True
    ) -> list[MaskPrediction]:
        """Predict the masks of several objects."""


@dataclass(frozen=True, eq=False)
class FoundObject:
    """An object's candidates, best first."""

    id: int
    prompts: PromptSet
    candidates: tuple[MaskRecord, ...]


@dataclass(frozen=True, eq=False)
class Segmentation:
    """What came of a job.

    Attributes
    ----------
    objects : list of FoundObject
    shape : tuple of int
        (H, W) of the image.
    device, dtype, checkpoint : str
        What ran; ``checkpoint`` is a SHA256.
    seconds : dict of str to float
        By step.
    """

    objects: list[FoundObject]
    shape: tuple[int, int]
    device: str
    dtype: str
    checkpoint: str
    seconds: dict[str, float]


def run_job(job: SegmentJob) -> Segmentation:
    """Segment an image file and write the results.

    Parameters
    ----------
    job : SegmentJob

    Returns
    -------
    Segmentation

    Raises
    ------
    NapariSamError
        A file, a prompt, the model or an output cannot be used.
    """
    seconds: dict[str, float] = {}
    label = "object" if job.name is None else job.name.label
    image = read_image(job.image)
    with _timed(seconds, "load"):
        predictor = load_predictor(job.model, job.device, job.dtype)
        asked: Asked = predictor
        if job.name is not None:
            asked = NamedPredictor(predictor, job.name)
    with _timed(seconds, "encode"), progress_bar("Encoding the image"):
        asked.set_image(image, channel_axis=job.channel_axis)
    prompted = _prompted_objects(job, predictor.embedding.image_shape)
    with _timed(seconds, "decode"):
        objects = predict_objects(asked, prompted, job.all_candidates)
    shape = predictor.embedding.image_shape
    _write(job, image, objects, shape, label)
    model = predictor.model
    return Segmentation(
        objects,
        shape,
        device=str(model.device),
        dtype=str(model.compute_dtype).removeprefix("torch."),
        checkpoint=model.checkpoint_sha256 or "",
        seconds=seconds,
    )


@contextmanager
def _timed(seconds: dict[str, float], step: str) -> Iterator[None]:
    started = time.perf_counter()
    yield
    seconds[step] = time.perf_counter() - started


def _prompted_objects(job: SegmentJob, shape: tuple[int, int]) -> list[PromptedObject]:
    labels = None if job.mask is None else read_mask_labels(job.mask, shape)
    return group_prompts(job.points, job.negatives, job.boxes, labels, job.each_point)


def load_predictor(model: str, device: str, dtype: str) -> SamPredictor:
    """Create a model, downloading it first if need be, and its predictor.

    Parameters
    ----------
    model, device, dtype : str
        As for `napari_sam.create_model`.

    Raises
    ------
    ModelError, CheckpointError
        As `napari_sam.create_model`.
    """
    with progress_bar(f"Fetching {model}", in_bytes=True) as advance:
        from napari_sam.nn.checkpoint import ensure_checkpoint

        ensure_checkpoint(model, progress=advance)
    with progress_bar(f"Loading {model}"):
        from napari_sam.inference.predictor import SamPredictor
        from napari_sam.nn.registry import create_model

        return SamPredictor(create_model(model, device=device, dtype=dtype))


def predict_objects(
    predictor: Asked,
    prompted: list[PromptedObject],
    all_candidates: bool = False,
) -> list[FoundObject]:
    """Predict the masks of objects of the predictor's image.

    One click leaves open what is meant, so the model is asked for three candidates and
    the best is kept; other prompts are clear, and it is asked for one.

    Parameters
    ----------
    predictor : SamPredictor
        With its image set.
    prompted : list of PromptedObject
    all_candidates : bool
        Ask for three candidates everywhere, and keep them.

    Returns
    -------
    list of FoundObject
        In the order of ``prompted``.
    """
    found: dict[int, FoundObject] = {}
    with progress_bar("Segmenting objects") as advance:
        for multimask in (True, False):
            group = [
                each
                for each in prompted
                if (all_candidates or _is_ambiguous(each.prompts)) is multimask
            ]
            for chunk in _chunks(group):
                for each in _predict(predictor, chunk, multimask, all_candidates):
                    found[each.id] = each
                advance(len(found), len(prompted))
    return [found[each.id] for each in prompted]


def _predict(
    predictor: Asked,
    chunk: list[PromptedObject],
    multimask: bool,
    all_candidates: bool,
) -> list[FoundObject]:
    predictions = predictor.predict_batch(
        [each.prompts for each in chunk], multimask_output=multimask
    )
    found = []
    for each, prediction in zip(chunk, predictions, strict=True):
        provenance = Provenance(
            predictor.model.name,
            predictor.model.checkpoint_sha256 or "",
            each.prompts,
        )
        order = np.argsort(-prediction.predicted_iou, kind="stable")
        kept = order if all_candidates else order[:1]
        records = tuple(_record(prediction, int(k), provenance) for k in kept)
        found.append(FoundObject(each.id, each.prompts, records))
    return found


def _is_ambiguous(prompts: PromptSet) -> bool:
    return len(prompts.points) == 1 and prompts.box is None and prompts.mask is None


def _chunks(items: list[PromptedObject]) -> list[list[PromptedObject]]:
    return [items[start : start + CHUNK] for start in range(0, len(items), CHUNK)]


def _record(
    prediction: MaskPrediction, index: int, provenance: Provenance
) -> MaskRecord:
    """Cut a candidate out of the full image."""
    mask = prediction.masks[index]
    row0, col0, row1, col1 = mask_to_box(mask) or (0, 0, 0, 0)
    return MaskRecord(
        mask[row0:row1, col0:col1].copy(),
        (row0, col0),
        float(prediction.predicted_iou[index]),
        float(prediction.stability_score[index]),
        provenance,
    )


def _write(
    job: SegmentJob,
    image: NDArray[Any],
    objects: list[FoundObject],
    shape: tuple[int, int],
    label: str,
) -> None:
    best = [ExportedObject(each.id, each.candidates[0], label) for each in objects]
    if not (job.all_candidates and job.kind is Format.labels):
        write_results(job, image, best, shape)
        return
    ids = [each.id for each in objects]
    planes = [
        paint_records(records, ids, shape)
        for records in zip(*(each.candidates for each in objects), strict=True)
    ]
    get_exporter("labels-tiff").write(job.out, np.stack(planes))
    write_extras(job, image, best, shape)


def write_results(
    job: PictureJob,
    image: NDArray[Any],
    objects: Sequence[ExportedObject],
    shape: tuple[int, int],
) -> None:
    """Write the objects of a picture, and the table and overlay if asked for.

    Parameters
    ----------
    job : PictureJob
    image : ndarray
        As for `SamPredictor.set_image`.
    objects : sequence of ExportedObject
    shape : tuple of int
        (H, W) of the image.

    Raises
    ------
    ExportError
        A file cannot be written.
    """
    write_objects(job.out, job.kind, objects, shape, job.image)
    write_extras(job, image, objects, shape)


def write_extras(
    job: PictureJob,
    image: NDArray[Any],
    objects: Sequence[ExportedObject],
    shape: tuple[int, int],
) -> None:
    """Write the table and the overlay, if asked for; see `write_results`."""
    if job.table is not None:
        write_object_table(job.table, objects, job.image)
    if job.overlay is not None:
        labels = paint_records(
            [each.record for each in objects], [each.id for each in objects], shape
        )
        write_overlay(job.overlay, picture_of(image, job.channel_axis), labels)


def picture_of(
    image: NDArray[Any], channel_axis: int | None = None
) -> NDArray[np.uint8]:
    """Stretch an image to what a person sees, uint8 (H, W, 3).

    Parameters
    ----------
    image : ndarray
        As for `SamPredictor.set_image`.
    channel_axis : int, optional
        Axis of the channels.
    """
    from napari_sam.inference.preprocess import to_model_image

    bright = to_model_image(image, normalisation="pocket", channel_axis=channel_axis)
    picture: NDArray[np.uint8] = np.round(bright * 255).astype(np.uint8)
    return np.moveaxis(picture, 0, -1)
