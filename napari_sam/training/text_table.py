"""The described masks that the word head is fitted to, as one table."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_sam.errors import DataError, ImageError
from napari_sam.inference.blocks import PyramidEmbedding
from napari_sam.inference.predictor import SamPredictor
from napari_sam.inference.text_candidates import find_candidates
from napari_sam.inference.text_features import MaskDescriber
from napari_sam.text.vocabulary import Vocabulary
from napari_sam.training.text_found import name_found
from napari_sam.training.text_scenes import NamedImage

BACKGROUND = -1
UNKNOWN = -2


@dataclass(frozen=True, eq=False)
class WordTable:
    """Masks with what they are, and the images they are from.

    Attributes
    ----------
    features : ndarray of float32, shape (N, F)
    concepts : ndarray of int64, shape (N,)
        Index into ``names``; `BACKGROUND` for no object, `UNKNOWN` for another kind.
    images : ndarray of int64, shape (N,)
        Index of the image.
    sources : ndarray of str, shape (M,)
        Where each image is from.
    names : tuple of str
        Of the K concepts.
    """

    features: NDArray[np.float32]
    concepts: NDArray[np.int64]
    images: NDArray[np.int64]
    sources: NDArray[np.str_]
    names: tuple[str, ...]

    def save(self, path: Path) -> None:
        """Write all as one ``.npz`` file."""
        np.savez(
            path,
            features=self.features.astype(np.float16),
            concepts=self.concepts,
            images=self.images,
            sources=self.sources,
            names=self.names,
        )

    @classmethod
    def load(cls, path: Path) -> WordTable:
        """Read what `save` wrote."""
        with np.load(path) as values:
            return cls(
                values["features"].astype(np.float32),
                values["concepts"],
                values["images"],
                values["sources"],
                tuple(values["names"].tolist()),
            )


class TableBuilder:
    """Describes images one after the other.

    Parameters
    ----------
    predictor : SamPredictor
        Of `pocket`.
    vocabulary : Vocabulary
    """

    def __init__(self, predictor: SamPredictor, vocabulary: Vocabulary) -> None:
        self._predictor = predictor
        self._describer = MaskDescriber(predictor.model)  # type: ignore[arg-type]
        self._vocabulary = vocabulary
        self._features: list[NDArray[np.float32]] = []
        self._concepts: list[int] = []
        self._images: list[int] = []
        self._sources: list[str] = []

    def add(self, source: str, image: NamedImage) -> None:
        """Describe an image and its masks; one that cannot be read is left out."""
        try:
            self._predictor.set_image(image.image)
        except ImageError:
            return
        embedding = self._predictor.embedding
        assert isinstance(embedding, PyramidEmbedding)
        records, words = list(image.records), list(image.words)
        if image.truth:
            found = name_found(find_candidates(self._predictor), image)
            records, words = records + found[0], words + found[1]
        concepts = [self._index(word) for word in words]
        self._features.append(self._describer.describe(embedding, records))
        self._images += [len(self._sources)] * len(concepts)
        self._concepts += concepts
        self._sources.append(source)

    def _index(self, word: str) -> int:
        if not word:
            return BACKGROUND
        concept = self._vocabulary.concept_of(word)
        if concept is None:
            return UNKNOWN
        return self._vocabulary.names.index(concept.name)

    def table(self) -> WordTable:
        """Return all that was added.

        Raises
        ------
        DataError
            It is nothing.
        """
        if not self._features:
            raise DataError("There is no image with named objects to learn from.")
        return WordTable(
            np.concatenate(self._features),
            np.array(self._concepts, np.int64),
            np.array(self._images, np.int64),
            np.array(self._sources),
            self._vocabulary.names,
        )


def build_table(
    predictor: SamPredictor,
    vocabulary: Vocabulary,
    images: Iterable[tuple[str, NamedImage]],
    progress: Callable[[int], None] | None = None,
) -> WordTable:
    """Describe all masks of some images.

    Parameters
    ----------
    predictor : SamPredictor
        Of `pocket`.
    vocabulary : Vocabulary
    images : iterable of tuple
        Where it is from, and the image.
    progress : callable, optional
        Called with the number of images described.

    Raises
    ------
    DataError
        There is no image.
    """
    builder = TableBuilder(predictor, vocabulary)
    for count, (source, image) in enumerate(images, start=1):
        builder.add(source, image)
        if progress is not None:
            progress(count)
    return builder.table()
