"""Labelled images on disk: folders of images and labels, COCO and SA-1B files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from napari_sam.errors import DataError
from napari_sam.evaluation.coco import open_json, open_json_folder
from napari_sam.evaluation.labelled import ImageSet, LabelledImage, Target, spread
from napari_sam.evaluation.reading import read_array

_READABLE = frozenset({".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp", ".npy"})
MAX_SLICES = 8


@dataclass(frozen=True)
class FilePair:
    """An image file, or a stack, and its labels.

    Attributes
    ----------
    image_path, label_path : Path
    max_slices : int
        How many slices of a stack are read, evenly spread over it.
    """

    image_path: Path
    label_path: Path
    max_slices: int = MAX_SLICES

    def read(self) -> Iterator[LabelledImage]:
        """Yield the image, or some slices of the stack.

        Raises
        ------
        DataError
            If a file cannot be read or the shapes do not fit.
        """
        image, labels, channel_axis = self.arrays()
        name = self.image_path.stem
        if labels.ndim == 2:
            yield LabelledImage(name, image, channel_axis, label_targets(labels))
            return
        if channel_axis == 0:
            raise DataError(
                f"{self.image_path.name} has its channels before its slices; "
                "store the stack as ZYX, or ZYX with channels last."
            )
        axis = None if channel_axis is None else channel_axis - 1
        for z in spread(range(len(labels)), self.max_slices):
            targets = label_targets(labels[z])
            yield LabelledImage(f"{name}[{z}]", image[z], axis, targets)

    def arrays(
        self, read: Callable[[Path], NDArray] = read_array
    ) -> tuple[NDArray, NDArray[np.integer], int | None]:
        """Read the whole image or stack, its labels and the image's channel axis.

        Parameters
        ----------
        read : callable
            Opens a file; it need not read all of it at once.

        Returns
        -------
        image : ndarray
            (H, W) or (Z, H, W), with one axis more if ``channel_axis`` is not None.
        labels : ndarray of int
            (H, W) or (Z, H, W).
        channel_axis : int or None

        Raises
        ------
        DataError
            If a file cannot be read or the shapes do not fit.
        """
        image, labels = read(self.image_path), read(self.label_path)
        axis = _channel_axis(image.shape, labels.shape)
        if axis == -1 or labels.ndim not in (2, 3):
            raise DataError(
                f"{self.label_path.name} has the shape {labels.shape}, its image "
                f"{image.shape}: labels must be (rows, columns) or (slices, rows, "
                "columns), as large as the image."
            )
        return image, _integer_labels(labels, self.label_path), axis


def _channel_axis(image: tuple[int, ...], labels: tuple[int, ...]) -> int | None:
    """Find the axis that the image has and its labels lack; -1 if shapes differ."""
    if image == labels:
        return None
    for axis in reversed(range(len(image))):
        if image[:axis] + image[axis + 1 :] == labels:
            return axis
    return -1


def _integer_labels(labels: NDArray, path: Path) -> NDArray[np.integer]:
    if np.issubdtype(labels.dtype, np.integer):
        return labels
    whole = labels.astype(np.int32)
    if not np.array_equal(whole, labels):
        raise DataError(f"{path.name} holds fractions; labels must be whole numbers.")
    return whole


def label_targets(labels: NDArray[np.integer]) -> tuple[Target, ...]:
    """Split an instance label image into its objects.

    Parameters
    ----------
    labels : ndarray of int, shape (H, W)
        0 is background.
    """
    ids, index = np.unique(labels, return_inverse=True)
    dense = index.reshape(labels.shape) + 1
    return tuple(
        Target(int(identifier), dense[box] == which, (box[0].start, box[1].start))
        for which, (identifier, box) in enumerate(
            zip(ids, find_objects(dense), strict=True), start=1
        )
        if identifier != 0 and box is not None
    )


def folder_set(folder: Path, max_slices: int = MAX_SLICES) -> ImageSet:
    """Open a folder with ``images/`` and ``labels/``, paired by file stem.

    Raises
    ------
    DataError
        If no image has labels.
    """
    labels = {path.stem: path for path in _readable(folder / "labels")}
    images = _readable(folder / "images")
    pairs = tuple(
        FilePair(path, labels[path.stem], max_slices)
        for path in images
        if path.stem in labels
    )
    if not pairs:
        raise DataError(
            f"No image in {folder / 'images'} has a file of the same name in "
            f"{folder / 'labels'}; labels are PNG, TIFF or NPY with one number per "
            "object."
        )
    return ImageSet(folder.resolve().name, pairs, len(images) - len(pairs))


def _readable(folder: Path) -> list[Path]:
    return sorted(
        path
        for path in folder.iterdir()
        if path.suffix.lower() in _READABLE and not path.name.startswith(".")
    )


def open_datasets(path: str | Path, max_slices: int = MAX_SLICES) -> list[ImageSet]:
    """Open whatever a path holds.

    Parameters
    ----------
    path : str or Path
        A folder with ``images/`` and ``labels/``, a folder of such folders, a COCO or
        SA-1B JSON file, or a folder of SA-1B JSON files with their images.
    max_slices : int
        How many slices of each stack are used, evenly spread over it.

    Returns
    -------
    list of ImageSet
        At least one, sorted by name. No pixel has been read yet.

    Raises
    ------
    DataError
        If there is no labelled image.
    """
    place = Path(path)
    if place.is_file() and place.suffix.lower() == ".json":
        return [open_json(place)]
    if _is_set(place):
        return [folder_set(place, max_slices)]
    if place.is_dir():
        folders = [folder for folder in sorted(place.iterdir()) if _is_set(folder)]
        if folders:
            return [folder_set(folder, max_slices) for folder in folders]
        annotations = sorted(place.glob("*.json"))
        if annotations:
            return [open_json_folder(place.resolve().name, annotations)]
    raise DataError(
        f"{place} is no data set: give a folder with images/ and labels/, a folder of "
        "such folders, or a COCO or SA-1B JSON file."
    )


def _is_set(folder: Path) -> bool:
    return (folder / "images").is_dir() and (folder / "labels").is_dir()
