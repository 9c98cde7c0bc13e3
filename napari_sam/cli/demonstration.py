"""The work of ``napari-sam demo``."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from napari_sam.cli.contact_sheet import contact_sheet, half_and_half
from napari_sam.cli.demo_prompts import KINDS, chosen_ids
from napari_sam.cli.objects import PromptedObject
from napari_sam.cli.progress import progress_bar
from napari_sam.cli.segmenting import load_predictor, picture_of, predict_objects
from napari_sam.export import get_exporter
from napari_sam.export.label_image import paint_records
from napari_sam.export.overlay import draw_overlay, write_picture
from napari_sam.geometry import mask_iou
from napari_sam.samples import Sample, list_samples, load_sample
from napari_sam.structures import MaskRecord, PromptSet

if TYPE_CHECKING:
    from napari_sam.inference.predictor import SamPredictor

Mask = NDArray[np.bool_]
Picture = NDArray[np.uint8]


@dataclass(frozen=True)
class DemoRow:
    """Figures of one sample.

    Attributes
    ----------
    sample : str
    objects : int
        How many were prompted.
    iou : dict of str to float
        Mean IoU with the truth by kind of prompt: "point", "box", "mask".
    given_iou : float
        Mean IoU of the rough masks given as prompts.
    seconds : float
        For encoding and all prompts.
    """

    sample: str
    objects: int
    iou: dict[str, float]
    given_iou: float
    seconds: float


@dataclass(frozen=True, eq=False)
class Plane:
    """The plane of a sample that is segmented: image and its truth."""

    image: NDArray
    labels: NDArray[np.int32]


def run_demo(out: Path, model: str, device: str, dtype: str) -> list[DemoRow]:
    """Segment each sample that has a truth, by point, box and mask.

    Parameters
    ----------
    out : Path
        Folder to write to: ``SAMPLE.tif`` images, ``SAMPLE_KIND.tif`` labels,
        ``SAMPLE_KIND.png`` pictures and ``overview.png``.
    model, device, dtype : str
        As for `napari_sam.create_model`.

    Returns
    -------
    list of DemoRow

    Raises
    ------
    NapariSamError
        The model cannot be used, or the folder not written to.
    """
    predictor = load_predictor(model, device, dtype)
    names = samples_with_truth()
    rows, panels = [], []
    with progress_bar("Segmenting samples") as advance:
        for number, name in enumerate(names):
            advance(number, len(names))
            row, panel = _run_sample(predictor, name, out)
            rows.append(row)
            panels.append(panel)
    write_picture(out / "overview.png", contact_sheet(panels))
    return rows


def samples_with_truth() -> list[str]:
    """Names of the samples that have labels."""
    return [name for name in list_samples() if load_sample(name).labels is not None]


def demo_plane(sample: Sample) -> Plane:
    """Take the middle plane of a volume or series; a plane is taken as it is.

    Parameters
    ----------
    sample : Sample
        With labels.
    """
    image, labels = sample.image, sample.labels
    assert labels is not None  # asked of samples with truth alone
    while labels.ndim > 2:
        middle = labels.shape[0] // 2
        image, labels = image[middle], labels[middle]
    return Plane(image, labels)


def _run_sample(
    predictor: SamPredictor, name: str, out: Path
) -> tuple[DemoRow, Picture]:
    plane = demo_plane(load_sample(name))
    ids = chosen_ids(plane.labels)
    truths = [plane.labels == each for each in ids]
    prompts = {kind: [make(truth) for truth in truths] for kind, make in KINDS.items()}
    started = time.perf_counter()
    predictor.set_image(plane.image)
    found = {kind: _predict(predictor, ids, each) for kind, each in prompts.items()}
    seconds = time.perf_counter() - started
    row = DemoRow(
        name,
        len(ids),
        {kind: _mean_iou(records, truths) for kind, records in found.items()},
        _given_iou(prompts["mask"], truths),
        seconds,
    )
    return row, _write(plane, name, ids, found, out)


def _predict(
    predictor: SamPredictor, ids: list[int], prompts: list[PromptSet]
) -> list[MaskRecord]:
    prompted = [PromptedObject(*pair) for pair in zip(ids, prompts, strict=True)]
    return [each.candidates[0] for each in predict_objects(predictor, prompted)]


def _write(
    plane: Plane,
    name: str,
    ids: list[int],
    found: dict[str, list[MaskRecord]],
    out: Path,
) -> Picture:
    """Write a sample's files; return its panel of the overview."""
    shape = (plane.labels.shape[0], plane.labels.shape[1])
    picture = picture_of(plane.image)
    write_picture(out / f"{name}.tif", plane.image)
    overlays = {}
    for kind, records in found.items():
        labels = paint_records(records, ids, shape)
        overlays[kind] = draw_overlay(picture, labels)
        get_exporter("labels-tiff").write(out / f"{name}_{kind}.tif", labels)
        write_picture(out / f"{name}_{kind}.png", overlays[kind])
    return half_and_half(picture, overlays["box"])


def _mean_iou(records: list[MaskRecord], truths: list[Mask]) -> float:
    scores = []
    for record, truth in zip(records, truths, strict=True):
        full = np.zeros(truth.shape, bool)
        (row, col), (height, width) = record.origin, record.mask.shape
        full[row : row + height, col : col + width] = record.mask
        scores.append(mask_iou(full, truth))
    return float(np.mean(scores))


def _given_iou(prompts: list[PromptSet], truths: list[Mask]) -> float:
    pairs = zip((each.mask for each in prompts), truths, strict=True)
    scores = [mask_iou(mask.values, truth) for mask, truth in pairs if mask is not None]
    return float(np.mean(scores))
