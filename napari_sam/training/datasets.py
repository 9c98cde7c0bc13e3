"""Images with instance labels to fit on, from folders and from synthetic scenes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

import numpy as np

from napari_sam.errors import DataError
from napari_sam.evaluation.datasets import FilePair, folder_set
from napari_sam.synthetic import SCENES
from napari_sam.training.reading import (
    PIXEL_BYTES,
    READING,
    Reading,
    StoredImage,
    TrainingImage,
    find_slices,
    normalise,
)


class Source(Protocol):
    """Where training images come from."""

    def draw(self, rng: np.random.Generator) -> TrainingImage:
        """Return one image with at least one object."""


class ListSource:
    """Images in memory or on disk.

    Parameters
    ----------
    images : sequence of TrainingImage or StoredImage
        At least one, each with an object.
    """

    def __init__(self, images: Sequence[TrainingImage | StoredImage]) -> None:
        self._images = list(images)

    def __len__(self) -> int:
        return len(self._images)

    def __iter__(self) -> Iterator[TrainingImage]:
        return (image.opened() for image in self._images)

    def draw(self, rng: np.random.Generator) -> TrainingImage:
        """Return one image, all with equal chance."""
        return self._images[rng.integers(len(self._images))].opened()


class FolderSource(ListSource):
    """A folder with `images/` and `labels/`.

    2D images are taken whole, stacks and series slice by slice.

    Parameters
    ----------
    folder : path
    complete : bool
        Whether every object of these images is labelled.
    reading : Reading
        How files become images, and how many are kept in memory.

    Attributes
    ----------
    name : str
    files : list of list of TrainingImage or StoredImage
        The images by the file they are from: slices of one stack are alike.
    unlabelled : int
        How many image files have no labels.

    Raises
    ------
    DataError
        Where the folder has no pairs, or an image and its labels differ in shape.
    """

    def __init__(
        self,
        folder: str | Path,
        complete: bool = True,
        reading: Reading = READING,
    ) -> None:
        self.folder = Path(folder)
        self.name = self.folder.resolve().name
        self.files: list[list[TrainingImage | StoredImage]] = []
        self._left = reading.memory * 1e9
        pairs, self.unlabelled = _find_pairs(self.folder)
        for pair in pairs:
            slices = find_slices(pair, reading, complete)
            if slices:
                self.files.append([self._keep(each) for each in slices])
        if not self.files:
            raise DataError(
                f"No image in {self.folder} has a labelled object; training needs"
                " label images with ids above 0."
            )
        super().__init__([image for images in self.files for image in images])

    def _keep(self, stored: StoredImage) -> TrainingImage | StoredImage:
        """Read an image if there is room for it; what cannot be used must tell now."""
        image = stored.opened()
        self._left -= PIXEL_BYTES * image.labels.size
        return image if self._left >= 0 else stored


def _find_pairs(folder: Path) -> tuple[Sequence[FilePair], int]:
    if not all((folder / kind).is_dir() for kind in ("images", "labels")):
        raise DataError(
            f"{folder} has no images/ and labels/ folders; put each image in images/"
            " and its instance labels under the same name in labels/."
        )
    found = folder_set(folder)
    pairs = [each for each in found.sources if isinstance(each, FilePair)]
    return pairs, found.unlabelled


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
