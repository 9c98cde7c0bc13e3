"""Words as prompts: every object that a phrase names, with a score and an honest no.

Candidates are found once in an image, and each becomes a vector of CLIP space. A phrase
is then only a comparison of vectors, and a threshold only a filter.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_sam.errors import ImageError, ModelError, PromptError
from napari_sam.inference.predictor import SamPredictor
from napari_sam.inference.text_candidates import find_candidates
from napari_sam.inference.text_click import predict_named
from napari_sam.inference.text_exemplars import Concept, ExemplarPrompt
from napari_sam.inference.text_selection import TextCandidates, shared_areas
from napari_sam.inference.text_tokens import TokenPath
from napari_sam.inference.text_vectors import Describer, make_describer
from napari_sam.structures import MaskPrediction, MaskRecord, PromptSet
from napari_sam.text.clip import BUNDLED, Clip, load_clip
from napari_sam.text.phrases import Phrase, parse_phrases
from napari_sam.text.scoring import Query, WordSpace, describe_query

if TYPE_CHECKING:
    from napari_sam.nn.sam import Sam

# What a candidate keeps of its score if it lies outside the region of its phrase.
OUTSIDE_SHARE = 0.5

Finder = Callable[[SamPredictor], Sequence[MaskRecord]]


@dataclass(frozen=True, eq=False)
class _Scene:
    """One image's candidates as vectors."""

    records: tuple[MaskRecord, ...]
    vectors: NDArray[np.float32]
    overlaps: NDArray[np.float32]
    shape: tuple[int, int]


class TextSegmenter:
    r"""Finds objects by their names, by examples, or by both.

    Parameters
    ----------
    model : Sam or SamPredictor
        Any model of `create_model`; with `pocket` and the bundled CLIP words cost next
        to nothing, other pairs look at a crop of each mask.
    clip : str or Clip
        See `napari_sam.text.clip`.
    words : Path, optional
        A file of ``napari-sam train-text``; that of the CLIP by default.
    tokens : Path, optional
        A projection of ``napari-sam train-text --tokens``: what lies outside the region
        that a phrase names by itself scores less.
    find : callable, optional
        Takes the predictor, whose image is set, and returns candidate masks; the
        model's automatic segmentation by default.

    Raises
    ------
    ModelError, CheckpointError
        The CLIP or its words do not exist or do not fit the model.

    Examples
    --------
    >>> words = TextSegmenter(create_model("pocket"))  # doctest: +SKIP
    >>> found = words.candidates(image, "nuclei\nnot debris")  # doctest: +SKIP
    >>> found.select(threshold=0.6).labels().max()  # doctest: +SKIP
    112
    """

    def __init__(
        self,
        model: Sam | SamPredictor,
        clip: str | Clip = BUNDLED,
        *,
        words: Path | None = None,
        tokens: Path | None = None,
        find: Finder | None = None,
    ) -> None:
        self.predictor: SamPredictor = (
            model if isinstance(model, SamPredictor) else SamPredictor(model)
        )
        self.clip = load_clip(clip) if isinstance(clip, str) else clip
        self._describer: Describer = make_describer(
            self.predictor.model, self.clip, words
        )
        self._tokens = None
        if tokens is not None:
            self._tokens = TokenPath(self.predictor, self.clip, tokens)
        self._space: WordSpace | None = None
        self._find = find or find_candidates
        self._scene: _Scene | None = None

    @property
    def space(self) -> WordSpace:
        """The words that the CLIP tells apart; read at first use."""
        if self._space is None:
            self._space = WordSpace(self.clip, self._describer.scale)
        return self._space

    def set_image(self, image: ArrayLike, **settings: Any) -> None:
        """Embed an image and find its candidates.

        Parameters
        ----------
        image : array_like
        settings
            As for `SamPredictor.set_image`.

        Raises
        ------
        ImageError
            The array cannot be read as an image.
        """
        self.predictor.set_image(image, **settings)
        self._describer.set_image(self.predictor, image, settings)
        self.set_records(self._find(self.predictor))

    def set_records(self, records: Sequence[MaskRecord]) -> None:
        """Take these masks of the predictor's image as candidates.

        Parameters
        ----------
        records : sequence of MaskRecord
        """
        kept = tuple(record for record in records if record.mask.any())
        self._scene = _Scene(
            kept,
            self._describer.vectors(kept),
            shared_areas(kept),
            self.predictor.embedding.image_shape,
        )

    def candidates(
        self,
        image: ArrayLike | None,
        phrases: str | Sequence[str] = (),
        *,
        like: Sequence[ExemplarPrompt] = (),
        concepts: Sequence[Concept] = (),
        **settings: Any,
    ) -> TextCandidates:
        """Score everything in an image against phrases, examples and saved concepts.

        Parameters
        ----------
        image : array_like or None
            None for the image that was set before.
        phrases : str or sequence of str
            See `napari_sam.text.phrases`.
        like : sequence of ExemplarPrompt
            Each is a class of its own, or joins the class of its name.
        concepts : sequence of Concept
        settings
            As for `SamPredictor.set_image`.

        Returns
        -------
        TextCandidates

        Raises
        ------
        PromptError
            There is nothing to look for, or a phrase cannot be used.
        ImageError
            There is no image.
        """
        parsed = parse_phrases(phrases) if phrases else ()
        if not (parsed or like or concepts):
            raise PromptError("Say what to find: a phrase, an example or a concept.")
        if image is not None:
            self.set_image(image, **settings)
        scene = self._current()
        queries = self._queries(parsed, like, concepts)
        areas = np.diagonal(scene.overlaps)
        scores = [self.space.score(query, scene.vectors, areas) for query in queries]
        for phrase, score in zip(parsed, scores, strict=False):
            score *= self._gate(phrase, scene)
        return TextCandidates(
            records=scene.records,
            vectors=scene.vectors,
            scores=np.stack(scores, axis=1),
            overlaps=scene.overlaps,
            names=tuple(query.name for query in queries),
            notes=tuple(describe_query(query, self.space.names) for query in queries),
            outside=tuple(query.is_outside for query in queries),
            image_shape=scene.shape,
            looks_like=self._looks_like(queries, scene),
        )

    def _looks_like(self, queries: Sequence[Query], scene: _Scene) -> str:
        """What most candidates are, if words asked for something else."""
        commonest = self.space.commonest(scene.vectors, np.diagonal(scene.overlaps))
        asked = [query.shares for query in queries if query.has_words]
        if commonest is None or not asked or max(s[commonest] for s in asked) > 0:
            return ""
        return self.space.names[commonest]

    def region(self, phrase: str) -> NDArray[np.bool_]:
        """The region that a phrase names by itself, as prompt tokens of the model.

        Parameters
        ----------
        phrase : str

        Returns
        -------
        ndarray of bool, shape (H, W)

        Raises
        ------
        ModelError
            The segmenter has no projection to tokens.
        """
        if self._tokens is None:
            raise ModelError(
                "There is no projection to prompt tokens: make one with napari-sam "
                "train-text --tokens, and give it as tokens."
            )
        (parsed,) = parse_phrases(phrase)
        return self._tokens.region(self.clip.embed_text(parsed.synonyms))

    def _gate(self, phrase: Phrase, scene: _Scene) -> NDArray[np.float32]:
        """How far each candidate lies in the region that the phrase names."""
        gate = np.ones(len(scene.records), np.float32)
        if self._tokens is None or not scene.records:
            return gate
        region = self._tokens.region(self.clip.embed_text(phrase.synonyms))
        for index, record in enumerate(scene.records):
            (row, col), (height, width) = record.origin, record.mask.shape
            inside = region[row : row + height, col : col + width][record.mask]
            gate[index] = OUTSIDE_SHARE + (1 - OUTSIDE_SHARE) * inside.mean()
        return gate

    def _current(self) -> _Scene:
        if self._scene is None:
            raise ImageError("There is no image yet: give one, or call set_image.")
        return self._scene

    def _queries(
        self,
        phrases: Sequence[Phrase],
        like: Sequence[ExemplarPrompt],
        concepts: Sequence[Concept],
    ) -> list[Query]:
        examples = {each.name: each for each in like}
        queries = []
        for phrase in phrases:
            example = examples.pop(phrase.name, None)
            vectors = self._example_vectors(example) if example else (None, None)
            queries.append(self.space.query(phrase, *vectors))
        for name, example in examples.items():
            queries.append(
                self.space.example_query(name, *self._example_vectors(example))
            )
        for concept in concepts:
            queries.append(concept.query(self.space, self.clip.identity))
        return queries

    def _example_vectors(
        self, example: ExemplarPrompt
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        return (
            self._describer.vectors(example.accepted),
            self._describer.vectors(example.rejected),
        )

    def learn(
        self, name: str, phrase: str, example: ExemplarPrompt, threshold: float
    ) -> Concept:
        """Keep a phrase, shifted by examples of the current image, under a name.

        Parameters
        ----------
        name : str
        phrase : str
            May be "", for examples alone.
        example : ExemplarPrompt
        threshold : float
        """
        accepted, rejected = self._example_vectors(example)
        return Concept(name, phrase, accepted, rejected, threshold, self.clip.identity)

    def predict(self, prompts: PromptSet) -> MaskPrediction:
        """Predict one object from clicks or a box, the phrase choosing among masks.

        "nucleus" and "cell" at the same click are two answers.

        Parameters
        ----------
        prompts : PromptSet
            With ``text`` and at least one other prompt.

        Returns
        -------
        MaskPrediction
            Whose predicted IoU is weighed by how well each mask answers the phrase.

        Raises
        ------
        PromptError
            There is no phrase, or nothing but a phrase.
        """
        if prompts.text is None:
            raise PromptError("There is no phrase: add a TextPrompt.")
        others = replace(prompts, text=None)
        if others.is_empty:
            raise PromptError("A phrase alone finds many objects: call candidates.")
        query = self.space.query(parse_phrases(prompts.text.phrase)[0])

        def score(records: Sequence[MaskRecord]) -> NDArray[np.float32]:
            vectors = self._describer.vectors(records)
            return self.space.score(query, vectors)

        return predict_named(self.predictor, others, score)
