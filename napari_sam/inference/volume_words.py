"""Words in a volume: an object is what most of it is called in its slices."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from napari_sam.inference.linking import near_pairs
from napari_sam.inference.predictor import SamPredictor
from napari_sam.inference.text_prompt import TextSegmenter
from napari_sam.inference.text_selection import (
    DEFAULT_THRESHOLD,
    TextInstance,
    say_found,
)
from napari_sam.inference.volume_planes import VolumePlanes
from napari_sam.inference.volume_result import (
    SliceMask,
    VolumeSegmentation,
    shared_pixels,
)
from napari_sam.structures import MaskRecord
from napari_sam.text.phrases import parse_phrases


class NamedFinder:
    """Finds what words name, slice by slice, and remembers which word it was.

    A `napari_sam.inference.volume_automatic.PlaneFinder`.

    Parameters
    ----------
    predictor : SamPredictor
    phrases : sequence of str
        See `napari_sam.text.phrases`.
    clip : str
        See `napari_sam.text.clip`.
    threshold : float, optional
        Least text score.
    words : Path, optional
        As for `TextSegmenter`.

    Attributes
    ----------
    names : tuple of str
        The classes.
    notes : tuple of str
        How the phrases were understood, where not as what they say.

    Raises
    ------
    PromptError, ModelError, CheckpointError
        As `TextSegmenter`.
    """

    def __init__(
        self,
        predictor: SamPredictor,
        phrases: Sequence[str],
        clip: str = "clip_pocket",
        threshold: float | None = None,
        words: Path | None = None,
    ) -> None:
        # What cannot be asked is refused before anything slow.
        self.names = tuple(each.name for each in parse_phrases(phrases))
        self._text = TextSegmenter(predictor, clip, words=words)
        self._phrases = list(phrases)
        self._least = DEFAULT_THRESHOLD if threshold is None else threshold
        self._seen: dict[tuple[int, int], tuple[TextInstance, ...]] = {}
        self._alike: Counter[str] = Counter()
        self.notes: tuple[str, ...] = ()

    def __call__(
        self, predictor: SamPredictor, planes: VolumePlanes, index: int
    ) -> Sequence[MaskRecord]:
        """Return the masks of one slice that answer."""
        image, settings = planes.read(index)
        found = self._text.candidates(image, self._phrases, **settings)
        chosen = found.select(self._least)
        self.notes = tuple(note for note in chosen.notes if note)
        if found.records:
            self._alike[chosen.looks_like] += 1
        self._seen[planes.source.axis, index] = chosen.instances
        return [each.record for each in chosen.instances]

    @property
    def looks_like(self) -> str:
        """What most slices look like, if that was not asked for; else ""."""
        return max(self._alike, key=lambda name: self._alike[name], default="")

    def message(self, found: Iterable[str]) -> str:
        """Say how phrases were understood, and how many objects there are.

        Parameters
        ----------
        found : iterable of str
            The class of each object.
        """
        counts = Counter(found)
        said = say_found({name: counts[name] for name in self.names}, self.looks_like)
        return " ".join([*self.notes, said])

    def give_names(self, found: VolumeSegmentation) -> None:
        """Call each object what most of its pixels were called in the slices.

        Parameters
        ----------
        found : VolumeSegmentation
            Made of what this finder found; its message and its objects' classes are
            written.
        """
        votes: dict[int, dict[str, _Vote]] = defaultdict(lambda: defaultdict(_Vote))
        for index in found.indices:
            named = self._seen.get((found.axis, index), ())
            masks = found.at(index)
            ids, others = list(masks), [SliceMask(n.record, 1.0) for n in named]
            for row, col in near_pairs(list(masks.values()), others):
                shared = shared_pixels(masks[ids[row]], others[col])
                votes[ids[row]][named[col].phrase].add(shared, named[col].text_score)
        for identifier, calls in votes.items():
            name = max(calls, key=lambda name: calls[name].pixels)
            if calls[name].pixels:
                each = found.objects[identifier]
                each.class_name = name
                each.text_score = calls[name].score / calls[name].pixels
        found.message = self.message(o.class_name for o in found.objects.values())


@dataclass
class _Vote:
    """Pixels of an object that were called by one name.

    Attributes
    ----------
    pixels : int
    score : float
        Sum of their text scores.
    """

    pixels: int = 0
    score: float = 0.0

    def add(self, pixels: int, text_score: float) -> None:
        self.pixels += pixels
        self.score += pixels * text_score
