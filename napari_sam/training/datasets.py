"""Images with instance labels to fit on, from folders and from synthetic scenes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from napari_sam.errors import DataError, ImageError
from napari_sam.evaluation.datasets import FilePair, folder_set
from napari_sam.inference.preprocess import to_model_image
from napari_sam.synthetic import SCENES


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


def normalise(image: NDArray, channel_axis: int | None = None) -> NDArray[np.uint8]:
    """Bring a 2D image, (H, W) or with one axis of channels, to uint8 (3, H, W)."""
    ready = to_model_image(image, normalisation="pocket", channel_axis=channel_axis)
    return (ready * 255).round().astype(np.uint8)


class ListSource:
    """Images in memory.

    Parameters
    ----------
    images : sequence of TrainingImage
        At least one, each with an object.
    """

    def __init__(self, images: Sequence[TrainingImage]) -> None:
        self._images = list(images)

    def __len__(self) -> int:
        return len(self._images)

    def __iter__(self) -> Iterator[TrainingImage]:
        return iter(self._images)

    def draw(self, rng: np.random.Generator) -> TrainingImage:
        """Return one image, all with equal chance."""
        return self._images[rng.integers(len(self._images))]


class FolderSource(ListSource):
    """A folder with `images/` and `labels/`.

    2D images are taken whole, stacks and series slice by slice along their first axis.

    Parameters
    ----------
    folder : path
    complete : bool
        Whether every object of these images is labelled.

    Attributes
    ----------
    name : str
    files : list of list of TrainingImage
        The images by the file they are from: slices of one stack are alike.
    unlabelled : int
        How many image files have no labels.

    Raises
    ------
    DataError
        Where the folder has no pairs, or an image and its labels differ in shape.
    """

    def __init__(self, folder: str | Path, complete: bool = True) -> None:
        self.folder = Path(folder)
        self.name = self.folder.resolve().name
        self.files: list[list[TrainingImage]] = []
        pairs, self.unlabelled = _find_pairs(self.folder)
        for pair in pairs:
            images = _read(pair, complete)
            if images:
                self.files.append(images)
        if not self.files:
            raise DataError(
                f"No image in {self.folder} has a labelled object; training needs"
                " label images with ids above 0."
            )
        super().__init__([image for images in self.files for image in images])


def _find_pairs(folder: Path) -> tuple[Sequence[FilePair], int]:
    if not all((folder / kind).is_dir() for kind in ("images", "labels")):
        raise DataError(
            f"{folder} has no images/ and labels/ folders; put each image in images/"
            " and its instance labels under the same name in labels/."
        )
    found = folder_set(folder)
    pairs = [each for each in found.sources if isinstance(each, FilePair)]
    return pairs, found.unlabelled


def _read(pair: FilePair, complete: bool) -> list[TrainingImage]:
    image, labels, channel_axis = pair.arrays()
    planes = [(image, labels)]
    if labels.ndim == 3:
        if channel_axis == 0:
            image, channel_axis = np.moveaxis(image, 0, 1), 1
        channel_axis = None if channel_axis is None else channel_axis - 1
        planes = list(zip(image, labels, strict=True))
    try:
        return [
            TrainingImage(
                normalise(plane, channel_axis), truth.astype(np.int32), complete
            )
            for plane, truth in planes
            if truth.any()
        ]
    except ImageError as error:
        raise DataError(f"{pair.image_path} cannot be trained on: {error}") from error


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
