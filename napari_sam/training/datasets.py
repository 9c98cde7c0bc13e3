"""Images with instance labels to fit on, from folders and from synthetic scenes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import tifffile
from numpy.typing import NDArray
from skimage import io

from napari_sam.errors import DataError
from napari_sam.inference.preprocess import to_model_image
from napari_sam.synthetic import SCENES

IMAGE_SUFFIXES = {".png", ".tif", ".tiff", ".jpg", ".jpeg", ".bmp"}


@dataclass(frozen=True, eq=False)
class TrainingImage:
    """One 2D image with its truth.

    Attributes
    ----------
    image : ndarray of uint8, shape (3, H, W)
        Normalised as the bundled model wants it, scaled to 0..255.
    labels : ndarray of int32, shape (H, W)
        Instance ids; 0 is background.
    complete : bool
        Whether every object is labelled, so that background means "no object".
    """

    image: NDArray[np.uint8]
    labels: NDArray[np.int32]
    complete: bool = True


class Source(Protocol):
    """Where training images come from."""

    def draw(self, rng: np.random.Generator) -> TrainingImage:
        """Return one image with at least one object."""


def normalise(image: NDArray) -> NDArray[np.uint8]:
    """Bring a 2D image, (H, W) or (H, W, 3), to uint8 (3, H, W)."""
    ready = to_model_image(image, normalisation="pocket")
    return (ready * 255).round().astype(np.uint8)


class FolderSource:
    """A folder with `images/` and `labels/`.

    2D images are taken whole, stacks and series slice by slice along their first axis.

    Parameters
    ----------
    folder : path
    complete : bool
        Whether every object of these images is labelled.

    Raises
    ------
    DataError
        Where the folder has no pairs, or an image and its labels differ in shape.
    """

    def __init__(self, folder: str | Path, complete: bool = True) -> None:
        self.folder = Path(folder)
        self.complete = complete
        self._pairs = _find_pairs(self.folder)
        self._images: list[TrainingImage] = []
        for image_path, labels_path in self._pairs:
            self._images.extend(self._read(image_path, labels_path))
        if not self._images:
            raise DataError(
                f"No image in {self.folder} has a labelled object; training needs"
                " label images with ids above 0."
            )

    def __len__(self) -> int:
        return len(self._images)

    def draw(self, rng: np.random.Generator) -> TrainingImage:
        """Return one image, all with equal chance."""
        return self._images[rng.integers(len(self._images))]

    def __iter__(self) -> Iterator[TrainingImage]:
        return iter(self._images)

    def _read(self, image_path: Path, labels_path: Path) -> list[TrainingImage]:
        image, labels = _read_array(image_path), _read_array(labels_path)
        if image.shape[: labels.ndim] != labels.shape:
            raise DataError(
                f"{image_path.name} has shape {image.shape} but its labels"
                f" {labels.shape}; make labels of the same height and width."
            )
        slices = zip(image, labels, strict=True) if labels.ndim == 3 else None
        planes = list(slices) if slices else [(image, labels)]
        return [
            TrainingImage(normalise(plane), truth.astype(np.int32), self.complete)
            for plane, truth in planes
            if truth.any()
        ]


def _find_pairs(folder: Path) -> list[tuple[Path, Path]]:
    images, labels = folder / "images", folder / "labels"
    if not images.is_dir() or not labels.is_dir():
        raise DataError(
            f"{folder} has no images/ and labels/ folders; put each image in images/"
            " and its instance labels under the same name in labels/."
        )
    truths = {path.stem: path for path in labels.iterdir() if _is_image(path)}
    found = sorted(path for path in images.iterdir() if _is_image(path))
    pairs = [(path, truths[path.stem]) for path in found if path.stem in truths]
    if not pairs:
        raise DataError(
            f"No image in {images} has a label file of the same name in {labels}."
        )
    return pairs


def _is_image(path: Path) -> bool:
    return path.suffix.lower() in IMAGE_SUFFIXES


def _read_array(path: Path) -> NDArray:
    try:
        if path.suffix.lower() in {".tif", ".tiff"}:
            array: NDArray = tifffile.imread(path)
        else:
            array = io.imread(path)
        return array
    except Exception as error:
        raise DataError(f"{path} cannot be read as an image: {error}") from error


class SyntheticSource:
    """Scenes drawn on the fly by the package's generators.

    Parameters
    ----------
    kinds : sequence of str, optional
        Names in `napari_sam.synthetic.SCENES`; all by default.
    shape : tuple of int
        (height, width) of a scene.
    """

    def __init__(
        self, kinds: Sequence[str] | None = None, shape: tuple[int, int] = (320, 320)
    ) -> None:
        self.kinds = list(SCENES if kinds is None else kinds)
        self.shape = shape

    def draw(self, rng: np.random.Generator) -> TrainingImage:
        """Return a fresh scene of a random kind."""
        while True:
            make: Callable = SCENES[self.kinds[rng.integers(len(self.kinds))]]
            scene = make(rng, self.shape)
            if scene.labels.any():
                return TrainingImage(normalise(scene.image), scene.labels)


class MixedSource:
    """Several sources, drawn from with given weights.

    Parameters
    ----------
    sources : sequence of Source
    weights : sequence of float
        Relative frequencies.
    """

    def __init__(self, sources: Sequence[Source], weights: Sequence[float]) -> None:
        self.sources = list(sources)
        shares = np.asarray(weights, dtype=float)
        self.shares = shares / shares.sum()

    def draw(self, rng: np.random.Generator) -> TrainingImage:
        """Return one image from one source."""
        return self.sources[rng.choice(len(self.sources), p=self.shares)].draw(rng)
