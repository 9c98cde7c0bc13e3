"""Objects as COCO and SA-1B annotation files, masks as COCO's run lengths."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam.errors import ExportError
from napari_sam.export.files import replacing
from napari_sam.export.objects import ExportedObject, objects_of
from napari_sam.export.registry import Labels, Table, register_exporter

Json = dict[str, Any]


def coco_document(
    objects: Sequence[ExportedObject], shape: tuple[int, int], image: str
) -> Json:
    """Describe the objects of one image as COCO does (Lin et al., 2014).

    Parameters
    ----------
    objects : sequence of ExportedObject
    shape : tuple of int
        (H, W) of the image.
    image : str
        File name of the image.
    """
    categories = {each.class_id: each.name for each in objects}
    return {
        "images": [
            {"id": 1, "file_name": image, "height": shape[0], "width": shape[1]}
        ],
        "annotations": [
            {
                **_annotation(each, shape),
                "image_id": 1,
                "category_id": each.class_id,
                "iscrowd": 0,
            }
            for each in objects
        ],
        "categories": [
            {"id": number, "name": name} for number, name in sorted(categories.items())
        ],
    }


def sa1b_document(
    objects: Sequence[ExportedObject], shape: tuple[int, int], image: str
) -> Json:
    """Describe the objects of one image as the SA-1B data set does.

    Parameters
    ----------
    objects : sequence of ExportedObject
    shape : tuple of int
        (H, W) of the image.
    image : str
        File name of the image.
    """
    return {
        "image": {
            "image_id": 1,
            "file_name": image,
            "height": shape[0],
            "width": shape[1],
        },
        "annotations": [_annotation(each, shape) for each in objects],
    }


def _annotation(each: ExportedObject, shape: tuple[int, int]) -> Json:
    row0, col0, row1, col1 = each.box
    values = {
        "id": each.id,
        "segmentation": run_lengths(each, shape),
        "bbox": [col0, row0, col1 - col0, row1 - row0],
        "area": each.area,
        "predicted_iou": round(each.record.predicted_iou, 5),
        "stability_score": round(each.record.stability_score, 5),
        "phrase": each.name,
    }
    if each.text_score is not None:
        values["score"] = round(each.text_score, 5)
    return values


def run_lengths(each: ExportedObject, shape: tuple[int, int]) -> Json:
    """Encode an object's mask in the full image, with text as counts."""
    from pycocotools import mask as coco

    canvas = np.zeros(shape, np.uint8, order="F")
    row0, col0, row1, col1 = each.box
    canvas[row0:row1, col0:col1] = each.record.mask
    encoded = coco.encode(canvas)
    return {"size": list(shape), "counts": encoded["counts"].decode("ascii")}


def write_json(path: Path, document: Json) -> None:
    """Write an annotation file.

    Raises
    ------
    ExportError
        The file cannot be written.
    """
    with replacing(path) as partial:
        partial.write_text(json.dumps(document), encoding="utf-8")


def _check(labels: NDArray, kind: str) -> tuple[int, int]:
    if labels.ndim != 2 or labels.dtype.kind not in "bui" or labels.size == 0:
        raise ExportError(
            f"{kind} files hold the labels of one 2D image, not {labels.dtype} of the"
            f" shape {labels.shape}: write slices one by one, or a TIFF."
        )
    return labels.shape[0], labels.shape[1]


def _paint(annotations: Iterable[Json], shape: tuple[int, int]) -> Labels:
    from pycocotools import mask as coco

    labels = np.zeros(shape, np.uint32)
    for each in annotations:
        runs = each["segmentation"]
        packed = {"size": runs["size"], "counts": runs["counts"].encode("ascii")}
        labels[coco.decode(packed).astype(bool)] = each["id"]
    if labels.max(initial=0) > np.iinfo(np.uint16).max:
        return labels
    return labels.astype(np.uint16)


def _read(path: Path, kind: str, key: str) -> Json:
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise ExportError(f"There is no file {path}.") from error
    except (OSError, ValueError) as error:
        raise ExportError(f"{path} is no readable JSON file: {error}") from error
    if not isinstance(document, dict) or not document.get(key):
        raise ExportError(f"{path} is no {kind} file: it has no {key}.")
    return document


@register_exporter("coco")
class CocoJson:
    """COCO instance annotations of one image."""

    extensions: tuple[str, ...] = (".json",)

    def write(self, path: Path, labels: Labels, table: Table | None = None) -> None:
        """Write the instance ids (H, W) of one image, and what the table tells.

        Raises
        ------
        ExportError
            It is no 2D label image, or the file cannot be written.
        """
        shape = _check(labels, "COCO")
        image = path.with_suffix(".png").name
        write_json(path, coco_document(objects_of(labels, table), shape, image))

    def read(self, path: Path) -> Labels:
        """Read the first image's instance ids.

        Raises
        ------
        ExportError
            The file is missing, or no COCO file with run-length masks.
        """
        document = _read(path, "COCO", "images")
        image = document["images"][0]
        own = [
            each
            for each in document.get("annotations", ())
            if each.get("image_id") == image["id"]
        ]
        return _painted(path, own, image)


@register_exporter("sa1b")
class Sa1bJson:
    """Annotations of one image, as in the SA-1B data set."""

    extensions: tuple[str, ...] = (".sa1b.json",)

    def write(self, path: Path, labels: Labels, table: Table | None = None) -> None:
        """Write the instance ids (H, W) of one image, and what the table tells.

        Raises
        ------
        ExportError
            It is no 2D label image, or the file cannot be written.
        """
        shape = _check(labels, "SA-1B")
        image = path.name.removesuffix(".sa1b.json") + ".png"
        write_json(path, sa1b_document(objects_of(labels, table), shape, image))

    def read(self, path: Path) -> Labels:
        """Read the instance ids.

        Raises
        ------
        ExportError
            The file is missing, or no SA-1B file.
        """
        document = _read(path, "SA-1B", "image")
        return _painted(path, document.get("annotations", ()), document["image"])


def _painted(path: Path, annotations: Iterable[Json], image: Json) -> Labels:
    try:
        return _paint(annotations, (int(image["height"]), int(image["width"])))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ExportError(
            f"{path} holds a mask that cannot be read: {error!r}."
        ) from error
