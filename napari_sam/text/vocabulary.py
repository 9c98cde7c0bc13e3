"""The words that the bundled CLIP was taught with images, by concept."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

BUNDLED_FOLDER = Path(__file__).parents[1] / "weights" / "clip_pocket"
VOCABULARY_FILE = "vocabulary.json"


@dataclass(frozen=True)
class Concept:
    """One kind of object.

    Attributes
    ----------
    name : str
        The plural that a user would type.
    trained : tuple of str
        Phrases that captioned training images.
    held_out : tuple of str
        Synonyms that never did; they measure what the text tower understands.
    """

    name: str
    trained: tuple[str, ...]
    held_out: tuple[str, ...] = ()


@dataclass(frozen=True)
class Vocabulary:
    """All concepts, and words for what is none of them.

    Attributes
    ----------
    concepts : tuple of Concept
    background : tuple of str
        What images are taught to call no object.
    outside : tuple of str
        Everyday things that no image is taught with: a phrase that is more like one of
        them is outside the vocabulary.
    """

    concepts: tuple[Concept, ...]
    background: tuple[str, ...]
    outside: tuple[str, ...] = ()

    @property
    def names(self) -> tuple[str, ...]:
        """The concepts' names."""
        return tuple(each.name for each in self.concepts)

    def concept_of(self, phrase: str) -> Concept | None:
        """The concept that was trained under this very phrase."""
        wanted = phrase.casefold()
        for concept in self.concepts:
            if wanted in (each.casefold() for each in concept.trained):
                return concept
        return None


def load_vocabulary(folder: Path) -> Vocabulary | None:
    """Read the vocabulary in a CLIP's folder; None if it has none.

    Parameters
    ----------
    folder : Path
    """
    path = folder / VOCABULARY_FILE
    if not path.is_file():
        return None
    values = json.loads(path.read_text(encoding="utf-8"))
    concepts = tuple(
        Concept(name, tuple(each["trained"]), tuple(each["held_out"]))
        for name, each in values["concepts"].items()
    )
    return Vocabulary(
        concepts, tuple(values["background"]), tuple(values.get("outside", ()))
    )


@lru_cache(maxsize=1)
def bundled_vocabulary() -> Vocabulary:
    """The vocabulary of the bundled CLIP."""
    vocabulary = load_vocabulary(BUNDLED_FOLDER)
    assert vocabulary is not None
    return vocabulary
