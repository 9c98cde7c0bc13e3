"""Measure text prompts: the right word, synonyms, and words of what is not there."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.errors import DataError
from napari_sam.evaluation.automatic import SegmentationResult
from napari_sam.evaluation.labelled import LabelledImage
from napari_sam.evaluation.metrics import instance_ious, score_labels
from napari_sam.text.phrases import match_known
from napari_sam.text.vocabulary import Concept, Vocabulary

if TYPE_CHECKING:
    from napari_sam.inference.text_prompt import TextSegmenter

ABSENT_WORDS = (
    "mitochondria",
    "worms",
    "yeast",
    "filaments",
    "vesicles",
    "neurites",
    "chloroplasts",
    "bacteria",
    "grains",
    "nuclei",
)
ABSENT_COUNT = 8
# Words that are true of images of another word: cells have nuclei.
IMPLIED = {"nuclei": {"cells"}, "cells": {"nuclei"}}
WORDS_FILES = ("words.json", "../sets.json", "../../sets.json")


@dataclass
class WordResult:
    """What was measured of one set.

    Attributes
    ----------
    word : str
        The right word.
    images : int
    right : SegmentationResult
        Asked by the right word.
    synonyms : dict of str to SegmentationResult
        Asked by words never trained on.
    absent : dict of str to int
        For each absent word, the images in which it found something.
    found, objects : int
        Labelled objects that the right word finds at an IoU of .5, and all of them.
    """

    word: str
    images: int = 0
    right: SegmentationResult = field(default_factory=SegmentationResult)
    synonyms: dict[str, SegmentationResult] = field(default_factory=dict)
    absent: dict[str, int] = field(default_factory=dict)
    found: int = 0
    objects: int = 0

    def summary(self) -> dict[str, Any]:
        """Return the figures as JSON values."""
        right = self.right.summary()
        synonyms = {
            phrase: result.summary()["mean_sa"]
            for phrase, result in self.synonyms.items()
        }
        nothing = {
            word: 1 - count / max(self.images, 1) for word, count in self.absent.items()
        }
        mean = float(np.mean(list(synonyms.values()))) if synonyms else None
        own = right["mean_sa"]
        return {
            "word": self.word,
            "images": self.images,
            **right,
            "recall50": self.found / max(self.objects, 1),
            "synonyms": synonyms,
            "synonym_ratio": None if mean is None or not own else mean / own,
            "nothing_for_absent": nothing,
            "lowest_nothing_for_absent": min(nothing.values(), default=None),
        }


def measure_words(
    segmenter: TextSegmenter,
    images: Iterable[LabelledImage],
    word: str,
    threshold: float,
    on_image: Callable[[WordResult], None] | None = None,
) -> WordResult:
    """Ask for the right word, its held-out synonyms and absent words in every image.

    Parameters
    ----------
    segmenter : TextSegmenter
    images : iterable of LabelledImage
        All of whose objects are what ``word`` names.
    word : str
    threshold : float
        Least text score, the same for all words.
    on_image : callable, optional
        Called with the result so far after each image.
    """
    vocabulary = segmenter.space.vocabulary
    result = WordResult(word)
    concept = find_concept(word, vocabulary)
    synonyms = concept.held_out if concept else ()
    absent = absent_words(word)
    for image in images:
        segmenter.set_image(image.image, channel_axis=image.channel_axis)
        truth = image.labels()
        for phrase in (word, *synonyms):
            labels = segmenter.candidates(None, phrase).select(threshold).labels()
            score = score_labels(truth, labels)
            if phrase == word:
                result.right.scores.append(score)
                result.objects += len(image.targets)
                result.found += count_found(truth, labels)
            else:
                into = result.synonyms.setdefault(phrase, SegmentationResult())
                into.scores.append(score)
        for other in absent:
            found = segmenter.candidates(None, other).select(threshold).instances
            result.absent[other] = result.absent.get(other, 0) + bool(found)
        result.images += 1
        if on_image is not None:
            on_image(result)
    return result


def find_concept(word: str, vocabulary: Vocabulary) -> Concept | None:
    """The concept that a word names, but for case, plural or a slip."""
    phrases = [phrase for each in vocabulary.concepts for phrase in each.trained]
    known = match_known(word, phrases)
    return None if known is None else vocabulary.concept_of(known)


def absent_words(word: str) -> tuple[str, ...]:
    """Eight words of what images of ``word`` do not show."""
    close = {word, *IMPLIED.get(word, ())}
    return tuple(each for each in ABSENT_WORDS if each not in close)[:ABSENT_COUNT]


def count_found(truth: np.ndarray, labels: np.ndarray) -> int:
    """Objects of ``truth`` that some object of ``labels`` meets at an IoU of .5."""
    ious = instance_ious(truth, labels)
    return int((ious.max(1) >= 0.5).sum()) if ious.size else 0


def word_of_set(folder: Path) -> str:
    """The word of a data set's objects.

    Parameters
    ----------
    folder : Path
        With ``words.json`` as ``{"word": "nuclei"}``, or listed under its name, with
        its ``words``, in a ``sets.json`` one or two folders above.

    Raises
    ------
    DataError
        No file tells.
    """
    place = folder.resolve()
    for name in WORDS_FILES:
        path = place / name
        if path.is_file():
            try:
                values = json.loads(path.read_text(encoding="utf-8"))
                own = values if "word" in values else values[place.name]
                words = own.get("word") or own["words"]
                return str(words).split(",")[0].strip()
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise DataError(
                    f"{path} does not tell the words of {place.name}."
                ) from (error)
    raise DataError(
        f"Nothing tells what the objects of {place.name} are: give --word, or put "
        f'{{"word": "nuclei"}} into {place.name}/words.json.'
    )


def mean_summary(summaries: Sequence[dict[str, Any]]) -> dict[str, float]:
    """Means over sets of the main figures."""
    keys = ("mean_sa", "ap50", "recall50", "synonym_ratio", "lowest_nothing_for_absent")
    means = {}
    for key in keys:
        values = [each[key] for each in summaries if each[key] is not None]
        if values:
            means[key] = float(np.mean(values))
    return means
