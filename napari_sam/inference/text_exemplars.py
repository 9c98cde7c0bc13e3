"""Examples instead of words, and queries that are kept under a name."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam.errors import DataError, ModelError
from napari_sam.export.files import replacing
from napari_sam.structures import MaskRecord
from napari_sam.text.phrases import parse_phrases
from napari_sam.text.scoring import Query, WordSpace

FORMAT = 1
# Numbers of a vector are kept to this many places: a concept is a few kilobytes.
PLACES = 4
MOST_EXAMPLES = 8


@dataclass(frozen=True, eq=False)
class ExemplarPrompt:
    """Objects of the image that are what is meant, and some that are not.

    Attributes
    ----------
    name : str
        Of the class.
    accepted, rejected : tuple of MaskRecord
    """

    name: str
    accepted: tuple[MaskRecord, ...]
    rejected: tuple[MaskRecord, ...] = ()


@dataclass(frozen=True, eq=False)
class Concept:
    """A query with its threshold, to be used on any image.

    Attributes
    ----------
    name : str
    phrase : str
        "" for examples alone.
    accepted, rejected : ndarray of float32, shape (E, D)
        Vectors of example masks.
    threshold : float
    clip : str
        `Clip.identity` of the CLIP that made the vectors.
    """

    name: str
    phrase: str
    accepted: NDArray[np.float32]
    rejected: NDArray[np.float32]
    threshold: float
    clip: str

    def query(self, space: WordSpace, clip: str) -> Query:
        """The query it stands for.

        Parameters
        ----------
        space : WordSpace
        clip : str
            `Clip.identity` of the CLIP in use.

        Raises
        ------
        ModelError
            The concept was made with another CLIP.
        """
        if clip != self.clip:
            raise ModelError(
                f"The concept {self.name!r} was made with another CLIP: use that one, "
                "or make it anew from examples."
            )
        if not self.phrase:
            return space.example_query(self.name, self.accepted, self.rejected)
        (phrase,) = parse_phrases(f"{self.name}: {self.phrase}")
        return space.query(phrase, self.accepted, self.rejected)

    def save(self, path: Path) -> None:
        """Write the concept as JSON.

        Parameters
        ----------
        path : Path
        """
        values = {
            "format": FORMAT,
            "name": self.name,
            "phrase": self.phrase,
            "threshold": self.threshold,
            "clip": self.clip,
            "accepted": _rounded(self.accepted),
            "rejected": _rounded(self.rejected),
        }
        with replacing(path) as partial:
            partial.write_text(json.dumps(values), encoding="utf-8")

    @classmethod
    def load(cls, path: Path) -> Concept:
        """Read what `save` wrote.

        Raises
        ------
        DataError
            The file is missing, or no concept.
        """
        try:
            values = json.loads(path.read_text(encoding="utf-8"))
            if values["format"] != FORMAT:
                raise DataError(f"{path} is a concept of another version.")
            return cls(
                str(values["name"]),
                str(values["phrase"]),
                _as_vectors(values["accepted"]),
                _as_vectors(values["rejected"]),
                float(values["threshold"]),
                str(values["clip"]),
            )
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise DataError(f"{path} is no readable concept: {error}") from error


def _rounded(vectors: NDArray[np.float32]) -> list[list[float]]:
    """The vectors that differ most from the others, few enough to keep."""
    kept = vectors[_spread_out(vectors, MOST_EXAMPLES)]
    return [[round(float(v), PLACES) for v in vector] for vector in kept]


def _spread_out(vectors: NDArray[np.float32], count: int) -> list[int]:
    """Pick vectors one by one, each the farthest from those before."""
    if len(vectors) <= count:
        return list(range(len(vectors)))
    chosen = [int(np.argmax(vectors @ vectors.mean(0)))]
    while len(chosen) < count:
        nearest = (vectors @ vectors[chosen].T).max(1)
        chosen.append(int(np.argmin(nearest)))
    return chosen


def _as_vectors(values: Any) -> NDArray[np.float32]:
    array = np.array(values, np.float32)
    return array if array.ndim == 2 else np.zeros((0, 0), np.float32)
