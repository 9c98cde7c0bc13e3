"""Slices of labelled files: read at once, or anew whenever one is drawn."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_sam.errors import DataError, ImageError
from napari_sam.evaluation.datasets import FilePair
from napari_sam.evaluation.reading import read_array
from napari_sam.inference.preprocess import to_model_image

# Gigabytes of images that are kept in memory.
MEMORY = 2.0
# Bytes of one pixel: three colours and its label.
PIXEL_BYTES = 7
# Compressed files kept open, as images and labels: they can only be read whole.
OPEN_FILES = 4


@dataclass(frozen=True)
class Reading:
    """How files become training images.

    Attributes
    ----------
    normalisation : str
        As the model wants it; see `napari_sam.inference.preprocess.to_model_image`.
    axes : tuple of int
        Axes along which stacks and series are sliced.
    memory : float
        Gigabytes that a set may take; what is beyond is read anew whenever it is drawn.
    """

    normalisation: str = "pocket"
    axes: tuple[int, ...] = (0,)
    memory: float = MEMORY


READING = Reading()


@dataclass(frozen=True, eq=False)
class TrainingImage:
    """One 2D image with its truth.

    Attributes
    ----------
    image : ndarray of uint8, shape (3, H, W)
        Normalised as the model wants it, in 0..255.
    labels : ndarray of int32, shape (H, W)
        Instance ids; 0 is background.
    complete : bool
        Whether every object is labelled, so that background means "no object".
    """

    image: NDArray[np.uint8]
    labels: NDArray[np.int32]
    complete: bool = True

    def opened(self) -> TrainingImage:
        """Return itself."""
        return self


@dataclass(frozen=True)
class StoredImage:
    """A 2D image or a slice that stays on disk.

    Attributes
    ----------
    pair : FilePair
    axis, index : int or None
        Of the slice; None for a 2D image.
    normalisation : str
    complete : bool
    """

    pair: FilePair
    axis: int | None
    index: int | None
    normalisation: str
    complete: bool

    def opened(self) -> TrainingImage:
        """Read it.

        Raises
        ------
        DataError
            It cannot be read, or has axes that a 2D image cannot have.
        """
        image, labels, channel_axis = self.pair.arrays(map_array)
        if channel_axis is not None:
            image = np.moveaxis(image, channel_axis, -1)
        if self.axis is not None:
            image, labels = (
                np.moveaxis(each, self.axis, 0)[self.index] for each in (image, labels)
            )
        try:
            ready = normalise(
                image, None if channel_axis is None else -1, self.normalisation
            )
        except ImageError as error:
            raise DataError(
                f"{self.pair.image_path} cannot be trained on: {error}"
            ) from error
        return TrainingImage(ready, labels.astype(np.int32), self.complete)


def normalise(
    image: NDArray, channel_axis: int | None = None, normalisation: str = "pocket"
) -> NDArray[np.uint8]:
    """Bring a 2D image, (H, W) or with one axis of channels, to uint8 (3, H, W)."""
    ready = to_model_image(
        image, normalisation=normalisation, channel_axis=channel_axis
    )
    scale = 255 if normalisation == "pocket" else 1
    return (ready * scale).round().astype(np.uint8)


def find_slices(pair: FilePair, reading: Reading, complete: bool) -> list[StoredImage]:
    """List the slices of a file, or its one image, that have an object.

    Parameters
    ----------
    pair : FilePair
    reading : Reading
    complete : bool
        Whether every object of it is labelled.

    Raises
    ------
    DataError
        A file cannot be read or the shapes do not fit.
    """
    _, labels, _ = pair.arrays(map_array)
    return [
        StoredImage(pair, axis, index, reading.normalisation, complete)
        for axis, index, plane in _planes(labels, reading.axes)
        if plane.any()
    ]


def _planes(
    labels: NDArray, axes: tuple[int, ...]
) -> Iterator[tuple[int | None, int | None, NDArray]]:
    if labels.ndim == 2:
        yield None, None, labels
        return
    for axis in axes:
        for index, plane in enumerate(np.moveaxis(labels, axis, 0)):
            yield axis, index, plane


def map_array(path: Path) -> NDArray:
    """Open a file without reading it where it can be mapped, else read it.

    Raises
    ------
    DataError
        It is missing or damaged.
    """
    mapped = _map(path)
    return _read_whole(path) if mapped is None else mapped


def _map(path: Path) -> NDArray | None:
    """Map a file that is stored as its array is; None for any other."""
    mapped: NDArray | None = None
    # A compressed file cannot be mapped; what is wrong with another, reading it tells.
    with suppress(Exception):
        if path.suffix.lower() == ".npy":
            mapped = np.load(path, mmap_mode="r", allow_pickle=False)
        elif path.suffix.lower() in (".tif", ".tiff"):
            import tifffile

            mapped = tifffile.memmap(path, mode="r")
    return mapped


@lru_cache(maxsize=OPEN_FILES)
def _read_whole(path: Path) -> NDArray:
    return read_array(path)
