"""Which candidates answer at a threshold: only a filter, so a slider is instant."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from napari_sam.geometry import box_iou
from napari_sam.structures import MaskRecord

DEFAULT_THRESHOLD = 0.5
# A candidate is dropped when better ones cover more than this part of it.
MOST_COVERED = 0.5


@dataclass(frozen=True, eq=False)
class TextInstance:
    """One object that a phrase found.

    Attributes
    ----------
    record : MaskRecord
    phrase : str
        Name of its class.
    class_id : int
        From 1, in the order of the phrases.
    text_score : float
        0 to 1.
    path : str
        "proposals" or "token": what made the mask.
    """

    record: MaskRecord
    phrase: str
    class_id: int
    text_score: float
    path: str = "proposals"

    @property
    def predicted_iou(self) -> float:
        """The model's own estimate."""
        return self.record.predicted_iou


@dataclass(frozen=True, eq=False)
class TextSelection:
    """What was found.

    Attributes
    ----------
    instances : tuple of TextInstance
        Best first.
    names : tuple of str
        Of the classes.
    image_shape : tuple of int
    notes : tuple of str
        How each phrase was understood; "" where as what it says.
    looks_like : str
        What most objects of the image are, if that was not asked for; else "".
    """

    instances: tuple[TextInstance, ...]
    names: tuple[str, ...]
    image_shape: tuple[int, int]
    notes: tuple[str, ...] = ()
    looks_like: str = ""

    @property
    def not_found(self) -> tuple[str, ...]:
        """Classes of which there is no instance."""
        found = {each.phrase for each in self.instances}
        return tuple(name for name in self.names if name not in found)

    @property
    def message(self) -> str:
        """What to tell a user."""
        counts = Counter(each.phrase for each in self.instances)
        return say_found({n: counts[n] for n in self.names}, self.looks_like)

    def labels(self) -> NDArray[np.int32]:
        """Instance ids, int32 (H, W), numbered as in ``instances`` from 1."""
        return self._painted(range(1, len(self.instances) + 1))

    def class_labels(self) -> NDArray[np.int32]:
        """Class ids, int32 (H, W)."""
        return self._painted([each.class_id for each in self.instances])

    def _painted(self, values: range | list[int]) -> NDArray[np.int32]:
        canvas = np.zeros(self.image_shape, np.int32)
        for value, each in reversed(list(zip(values, self.instances, strict=True))):
            (row, col), (height, width) = each.record.origin, each.record.mask.shape
            window = canvas[row : row + height, col : col + width]
            window[each.record.mask] = value
        return canvas


def say_found(counts: Mapping[str, int], looks_like: str = "") -> str:
    """Say how many objects of each class were found, and of which there is none.

    Parameters
    ----------
    counts : mapping of str to int
        By class.
    looks_like : str
        What is there instead, said where something was not found; "" if not known.
    """
    found = ", ".join(f"{count} {name}" for name, count in counts.items() if count)
    parts = [f"Found {found}."] if found else []
    missing = [name for name, count in counts.items() if not count]
    parts += [f"Found no {name}." for name in missing]
    if missing and looks_like:
        parts.append(f"What is here looks like {looks_like}.")
    return " ".join(parts)


@dataclass(frozen=True, eq=False)
class TextCandidates:
    """Everything in an image, scored against every class.

    Attributes
    ----------
    records : tuple of MaskRecord
    vectors : ndarray of float32, shape (N, D)
    scores : ndarray of float32, shape (N, P)
        How well each candidate answers each class, 0 to 1.
    overlaps : ndarray of float32, shape (N, N)
        Pixels that two candidates share; their areas on the diagonal.
    names : tuple of str
        Of the P classes.
    notes : tuple of str
        How each was understood.
    outside : tuple of bool
        Whether a phrase is outside the vocabulary.
    image_shape : tuple of int
    looks_like : str
        See `TextSelection`.
    """

    records: tuple[MaskRecord, ...]
    vectors: NDArray[np.float32]
    scores: NDArray[np.float32]
    overlaps: NDArray[np.float32]
    names: tuple[str, ...]
    notes: tuple[str, ...]
    outside: tuple[bool, ...]
    image_shape: tuple[int, int]
    looks_like: str = ""
    _quality: NDArray[np.float32] = field(init=False)

    def __post_init__(self) -> None:
        quality = np.array([each.predicted_iou for each in self.records], np.float32)
        object.__setattr__(self, "_quality", quality)

    @property
    def presence(self) -> NDArray[np.float32]:
        """How sure it is that there is any of each class, (P,), 0 to 1."""
        if not len(self.records):
            return np.zeros(len(self.names), np.float32)
        best: NDArray[np.float32] = self.scores.max(0)
        return best

    def select(
        self,
        threshold: float = DEFAULT_THRESHOLD,
        *,
        min_iou: float = 0.0,
        min_area: int = 0,
        max_area: int | None = None,
        keep_border: bool = True,
    ) -> TextSelection:
        """Keep what answers well enough; nothing is computed anew.

        Each candidate goes to the class that it answers best. Where two overlap, the
        one of higher text score times predicted IoU stays.

        Parameters
        ----------
        threshold : float
            Least text score.
        min_iou : float
            Least predicted IoU.
        min_area, max_area : int
            In pixels.
        keep_border : bool
            Keep what touches the image's border.

        Returns
        -------
        TextSelection
        """
        areas = np.diagonal(self.overlaps)
        best = self.scores.argmax(1) if len(self.records) else np.zeros(0, int)
        scores = self.scores[np.arange(len(best)), best]
        good = (scores >= threshold) & (self._quality >= min_iou) & (areas >= min_area)
        if max_area is not None:
            good &= areas <= max_area
        if not keep_border:
            good &= ~self._at_border()
        kept = self._without_overlaps(np.flatnonzero(good), scores * self._quality)
        instances = tuple(
            TextInstance(
                self.records[i],
                self.names[best[i]],
                int(best[i]) + 1,
                float(scores[i]),
            )
            for i in kept
        )
        return TextSelection(
            instances, self.names, self.image_shape, self.notes, self.looks_like
        )

    def _without_overlaps(
        self, indices: NDArray[np.intp], ranks: NDArray[np.float32]
    ) -> list[int]:
        order = indices[np.argsort(-ranks[indices], kind="stable")]
        covered = np.zeros(len(self.records), np.float32)
        kept = []
        for index in order:
            if covered[index] <= MOST_COVERED * self.overlaps[index, index]:
                kept.append(int(index))
                covered += self.overlaps[index]
        return kept

    def _at_border(self) -> NDArray[np.bool_]:
        height, width = self.image_shape
        return np.array(
            [
                row == 0
                or col == 0
                or row + record.mask.shape[0] == height
                or col + record.mask.shape[1] == width
                for record in self.records
                for row, col in [record.origin]
            ],
            dtype=bool,
        )

    def similarity_map(self, name: str) -> NDArray[np.float32]:
        """Paint each candidate with its score for a class.

        Parameters
        ----------
        name : str
            One of ``names``.

        Returns
        -------
        ndarray of float32, shape (H, W)
            The highest score where candidates overlap, 0 where there is none.

        Raises
        ------
        ValueError
            There is no such class.
        """
        column = self.scores[:, self.names.index(name)]
        canvas = np.zeros(self.image_shape, np.float32)
        for score, record in zip(column, self.records, strict=True):
            (row, col), (height, width) = record.origin, record.mask.shape
            window = canvas[row : row + height, col : col + width]
            np.maximum(window, score * record.mask, out=window)
        return canvas


def shared_areas(records: tuple[MaskRecord, ...]) -> NDArray[np.float32]:
    """Pixels that each two of N masks share, (N, N).

    Parameters
    ----------
    records : tuple of MaskRecord
    """
    count = len(records)
    shared = np.zeros((count, count), np.float32)
    if not count:
        return shared
    boxes = np.array(
        [(*r.origin, *np.add(r.origin, r.mask.shape)) for r in records], float
    )
    meet = np.triu(box_iou(boxes, boxes) > 0)
    for one, other in zip(*np.nonzero(meet), strict=True):
        pixels = _shared_pixels(records[one], records[other])
        shared[one, other] = shared[other, one] = pixels
    return shared


def _shared_pixels(one: MaskRecord, other: MaskRecord) -> int:
    start = np.maximum(one.origin, other.origin)
    stop = np.minimum(
        np.add(one.origin, one.mask.shape), np.add(other.origin, other.mask.shape)
    )
    parts = []
    for record in (one, other):
        (top, left), (bottom, right) = start - record.origin, stop - record.origin
        parts.append(record.mask[top:bottom, left:right])
    return int(np.count_nonzero(parts[0] & parts[1]))
