"""COCO and SA-1B annotation files as labelled images."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from skimage.draw import polygon2mask

from napari_sam.errors import DataError
from napari_sam.evaluation.labelled import ImageSet, LabelledImage, Target
from napari_sam.evaluation.reading import read_array
from napari_sam.geometry import decode_rle, mask_to_box

Json = dict[str, Any]


@dataclass(frozen=True)
class AnnotatedImage:
    """One image of an annotation file.

    Attributes
    ----------
    path : Path
        The image file.
    annotations : tuple of dict
        COCO annotations: ``segmentation`` is a list of polygons or a run-length mask.
    """

    path: Path
    annotations: tuple[Json, ...]

    def read(self) -> Iterator[LabelledImage]:
        """Yield the image.

        Raises
        ------
        DataError
            If the image or a segmentation cannot be read.
        """
        image = read_array(self.path)
        shape = (image.shape[0], image.shape[1])
        targets = (
            _target(annotation, index, shape)
            for index, annotation in enumerate(self.annotations, start=1)
        )
        found = tuple(target for target in targets if target is not None)
        axis = 2 if image.ndim == 3 else None
        yield LabelledImage(self.path.stem, image, axis, found)


@dataclass(frozen=True)
class AnnotationFile:
    """One SA-1B file: an image with its annotations, read only when needed."""

    path: Path

    def read(self) -> Iterator[LabelledImage]:
        """Yield the image.

        Raises
        ------
        DataError
            If the file, its image or a segmentation cannot be read.
        """
        yield from _sa1b_image(_load(self.path), self.path).read()


def open_json(path: Path) -> ImageSet:
    """Open a COCO file, or the file of one SA-1B image.

    Raises
    ------
    DataError
        If the file is neither, or names images that are not there.
    """
    content = _load(path)
    if "images" not in content:
        return ImageSet(path.stem, (_sa1b_image(content, path),))
    by_image: dict[Any, list[Json]] = {}
    for annotation in content.get("annotations", []):
        if not annotation.get("iscrowd"):
            by_image.setdefault(annotation["image_id"], []).append(annotation)
    labelled = [entry for entry in content["images"] if entry["id"] in by_image]
    if not labelled:
        raise DataError(f"{path} has no annotated image.")
    sources = tuple(
        AnnotatedImage(_find(entry, path), tuple(by_image[entry["id"]]))
        for entry in labelled
    )
    return ImageSet(path.stem, sources, len(content["images"]) - len(labelled))


def open_json_folder(name: str, paths: Sequence[Path]) -> ImageSet:
    """Open a folder of SA-1B files as one set."""
    return ImageSet(name, tuple(AnnotationFile(path) for path in paths))


def _load(path: Path) -> Json:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path} cannot be read as JSON: {error}") from error
    if not isinstance(content, dict):
        raise DataError(f"{path} is no COCO or SA-1B file: it holds no object.")
    return content


def _sa1b_image(content: Json, path: Path) -> AnnotatedImage:
    if "image" not in content or "annotations" not in content:
        raise DataError(f'{path} is no COCO or SA-1B file: it lacks "images".')
    return AnnotatedImage(_find(content["image"], path), tuple(content["annotations"]))


def _find(entry: Json, path: Path) -> Path:
    """Find the image that an annotation file names, near that file."""
    name = str(entry["file_name"])
    near = (path.parent, path.parent / "images", path.parent.parent / "images")
    for folder in near:
        if (folder / name).is_file():
            return folder / name
    raise DataError(f"{path.name} names {name}, which is not in {path.parent}.")


def _target(annotation: Json, index: int, shape: tuple[int, int]) -> Target | None:
    mask = decode_segmentation(annotation["segmentation"], shape)
    box = mask_to_box(mask)
    if box is None:
        return None
    top, left, bottom, right = box
    return Target(index, mask[top:bottom, left:right].copy(), (top, left))


def decode_segmentation(
    segmentation: Json | list[list[float]], shape: tuple[int, int]
) -> NDArray[np.bool_]:
    """Turn a COCO segmentation into a mask.

    Parameters
    ----------
    segmentation : list of list of float, or dict
        Polygons as x, y, x, y ... with pixel corners at whole numbers, or a mask as
        ``{"size": [H, W], "counts": ...}`` with run lengths as numbers or as text.
    shape : tuple of int
        (H, W) of the image.

    Raises
    ------
    DataError
        If it does not fit the image.
    """
    if isinstance(segmentation, list):
        return _polygons(segmentation, shape)
    if tuple(segmentation["size"]) != shape:
        raise DataError(
            f"A mask of the size {segmentation['size']} does not fit its image, "
            f"{list(shape)}."
        )
    counts = segmentation["counts"]
    runs = counts if isinstance(counts, list) else unpack_counts(counts)
    try:
        return decode_rle(runs, shape)
    except ValueError as error:
        raise DataError(f"A segmentation is damaged: {error}") from error


def _polygons(polygons: list[list[float]], shape: tuple[int, int]) -> NDArray[np.bool_]:
    mask = np.zeros(shape, dtype=bool)
    for polygon in polygons:
        corners = np.asarray(polygon, dtype=np.float64).reshape(-1, 2)[:, ::-1]
        # polygon2mask counts from pixel centres, COCO from pixel corners.
        inside = polygon2mask(shape, corners - 0.5)  # type: ignore[no-untyped-call]
        mask |= inside
    return mask


def unpack_counts(text: str) -> list[int]:
    """Unpack the run lengths that COCO stores as text.

    Each number is cut into groups of five bits, lowest first, in characters from "0"
    on; a sixth bit says that more follow and the last group's top bit is the sign.
    From the fourth on, a number is the difference to the one two places before
    (the format of the COCO API, Lin et al. 2014).

    Parameters
    ----------
    text : str
    """
    runs: list[int] = []
    value = shift = 0
    for character in text:
        group = ord(character) - 48
        value |= (group & 31) << shift
        shift += 5
        if group & 32:
            continue
        if group & 16:
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    return runs
