"""Words in a volume: an object is what most of it is called in its slices."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from pathlib import Path

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
    VolumeObject,
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
        for each in found.objects.values():
            pixels, scores = self._called(each, found.axis)
            if pixels:
                name = max(pixels, key=lambda name: pixels[name])
                each.class_name = name
                each.text_score = scores[name] / pixels[name]
        found.message = self.message(o.class_name for o in found.objects.values())

    def _called(
        self, each: VolumeObject, axis: int
    ) -> tuple[dict[str, int], dict[str, float]]:
        """Pixels of an object by class, and those times their text scores."""
        pixels: dict[str, int] = defaultdict(int)
        scores: dict[str, float] = defaultdict(float)
        for index, mask in each.slices.items():
            for instance in self._seen.get((axis, index), ()):
                shared = shared_pixels(mask, SliceMask(instance.record, 1.0))
                if shared:
                    pixels[instance.phrase] += shared
                    scores[instance.phrase] += shared * instance.text_score
        return pixels, scores
