"""How well vectors of masks answer a query, against what else they might be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_sam.text.clip import Clip, Vectors
from napari_sam.text.phrases import Phrase, match_ending, match_known
from napari_sam.text.vocabulary import Vocabulary, bundled_vocabulary

# Cosines of phrases are divided by this before they share a phrase out to concepts.
SHARPNESS = 0.04
# Concepts that get less than this part of the best one's share get nothing.
SMALLEST_SHARE = 0.25
# White blood cells are cells, too; but a phrase that says which cells comes first.
KIND_SHARE = 0.95
# A phrase that is less like every known one is outside the vocabulary.
KNOWN_SIMILARITY = 0.55
# Cosine to an example at which a mask is as likely as not to be of its kind, and how
# fast that changes.
EXAMPLE_COSINE = 0.75
EXAMPLE_SCALE = 20.0
# How little the other masks of an image may count in naming one.
PRIOR_FLOOR = 0.05
# The head is surer of itself on new images than it may be: its scale is divided by so
# much.
FLATTENING = 1.5
# A kind is in an image if the masks named so have this part of what the commonest
# kind's have, in chances times the square roots of their areas.
LEAST_PRESENCE = 0.1


@dataclass(frozen=True, eq=False)
class Query:
    """A phrase, examples, or both, as what masks are compared with.

    Attributes
    ----------
    name : str
        Of the class.
    shares : ndarray of float32, shape (K,)
        How far each known concept is meant, 0 to 1.
    vectors : ndarray of float32, shape (Q, D)
        Of phrases that stand for themselves; empty where ``shares`` says all.
    accepted, rejected : ndarray of float32, shape (E, D)
        Vectors of example masks.
    similarity : float
        To the most similar known phrase; 1 for a known one.
    read_as : str
        The known phrase it was taken for, "" if none.
    has_words : bool
        Whether there is a phrase and not only examples.
    """

    name: str
    shares: NDArray[np.float32]
    vectors: Vectors
    accepted: Vectors
    rejected: Vectors
    similarity: float = 1.0
    read_as: str = ""
    has_words: bool = True

    @property
    def is_outside(self) -> bool:
        """Whether the phrase is like nothing the CLIP was taught with images."""
        return self.has_words and self.similarity < KNOWN_SIMILARITY


class WordSpace:
    """The concepts that queries and masks are told apart by.

    Parameters
    ----------
    clip : Clip
    scale : float, optional
        What cosines are multiplied with; the CLIP's own by default.
    """

    def __init__(self, clip: Clip, scale: float | None = None) -> None:
        self._clip = clip
        self.is_taught = clip.vocabulary is not None
        self.vocabulary: Vocabulary = clip.vocabulary or bundled_vocabulary()
        self._scale = clip.logit_scale if scale is None else scale
        self._phrases = [p for each in self.vocabulary.concepts for p in each.trained]
        self._owners = np.array(
            [
                index
                for index, each in enumerate(self.vocabulary.concepts)
                for _ in each.trained
            ]
        )
        self._vectors = clip.embed_text(self._phrases)
        nothing = clip.embed_text(self.vocabulary.background)
        self._outside = self.vocabulary.outside
        means = [
            self._vectors[self._owners == index].mean(0)
            for index in range(len(self.vocabulary.concepts))
        ]
        self.anchors = _normalise(np.stack([*means, nothing.mean(0)]))

    @property
    def names(self) -> tuple[str, ...]:
        """The K concepts."""
        return self.vocabulary.names

    def query(
        self,
        phrase: Phrase,
        accepted: Vectors | None = None,
        rejected: Vectors | None = None,
    ) -> Query:
        """Turn a phrase, with examples if there are any, into a query.

        Parameters
        ----------
        phrase : Phrase
        accepted, rejected : ndarray of float32, shape (E, D), optional
        """
        empty = np.zeros((0, self.anchors.shape[1]), np.float32)
        parts = [self._shares(each) for each in phrase.synonyms]
        shares = np.max([part[0] for part in parts], axis=0)
        for each in phrase.negatives:
            shares = np.where(self._shares(each)[0] >= 0.5, 0, shares)
        _, similarity, read_as = max(parts, key=lambda part: part[1])
        own = empty if self.is_taught else self._clip.embed_text(phrase.synonyms)
        return Query(
            phrase.name,
            shares.astype(np.float32),
            own,
            empty if accepted is None else accepted,
            empty if rejected is None else rejected,
            similarity,
            read_as,
        )

    def example_query(
        self, name: str, accepted: Vectors, rejected: Vectors | None = None
    ) -> Query:
        """Make a query of examples alone.

        Parameters
        ----------
        name : str
        accepted, rejected : ndarray of float32, shape (E, D)
        """
        empty = np.zeros((0, self.anchors.shape[1]), np.float32)
        none = np.zeros(len(self.names), np.float32)
        others = empty if rejected is None else rejected
        return Query(name, none, empty, accepted, others, has_words=False)

    def _shares(self, phrase: str) -> tuple[NDArray[np.float64], float, str]:
        """How far a phrase means each concept; its similarity; what it was read as."""
        shares = np.zeros(len(self.names))
        known = match_known(phrase, self._phrases)
        if known is not None:
            shares[self._owners[self._kinds_of(known)]] = KIND_SHARE
            shares[self._owners[self._phrases.index(known)]] = 1.0
            return shares, 1.0, known
        vector = self._clip.embed_text([phrase])[0]
        cosines = self._vectors @ vector
        nearest = int(np.argmax(cosines))
        np.maximum.at(
            shares, self._owners, np.exp((cosines - cosines.max()) / SHARPNESS)
        )
        shares[shares < SMALLEST_SHARE] = 0
        noun = match_ending(phrase, self._phrases)
        if noun is not None:
            shares[self._owners[self._phrases.index(noun)]] = 1.0
            return shares, 1.0, noun
        similarity = float(cosines[nearest])
        if self._outside:
            others = float((self._clip.embed_text(self._outside) @ vector).max())
            similarity = 0.0 if others > similarity else similarity
        return shares, similarity, self._phrases[nearest]

    def _kinds_of(self, known: str) -> list[bool]:
        """Which phrases name a kind of what a phrase names, as by an adjective.

        Yeast cells are cells; "nuclei of cells" are not.
        """
        return [
            each.endswith(f" {known}") and " of " not in each for each in self._phrases
        ]

    def posteriors(
        self, vectors: Vectors, areas: NDArray[np.floating] | None
    ) -> NDArray[np.float32]:
        """Chance that each mask is of each concept, (N, K + 1), background last.

        Concepts that hardly any other mask of the image seems to be count less: one
        mitochondrion among fifty nuclei is most likely a nucleus too. If all that looks
        like a concept is little beside the commonest one, the image has none of it.

        Parameters
        ----------
        vectors : ndarray of float32, shape (N, D)
            All masks of one image.
        areas : ndarray, shape (N,), or None
            In pixels; None if the masks are guesses at one object, which say nothing
            of each other.
        """
        plain = _softmax(self._scale / FLATTENING * vectors @ self.anchors.T)
        if areas is None or len(plain) == 0:
            return plain
        weighted = plain * (plain.mean(0) + PRIOR_FLOOR)
        result: NDArray[np.float32] = weighted / weighted.sum(1, keepdims=True)
        presence = np.sqrt(areas) @ result[:, :-1]
        result[:, :-1] *= presence >= LEAST_PRESENCE * presence.max()
        return result

    def commonest(self, vectors: Vectors, areas: NDArray[np.floating]) -> int | None:
        """The concept that most of an image's masks are of; None if of none.

        Parameters
        ----------
        vectors, areas : ndarray
            As for `posteriors`.
        """
        if len(vectors) == 0:
            return None
        chances = self.posteriors(vectors, areas)[:, :-1]
        likely = np.where(chances >= 0.5, chances, 0)
        presence = np.sqrt(areas) @ likely
        return int(presence.argmax()) if presence.any() else None

    def score(
        self,
        query: Query,
        vectors: Vectors,
        areas: NDArray[np.floating] | None = None,
    ) -> NDArray[np.float32]:
        """How well each mask answers a query, 0 to 1.

        Parameters
        ----------
        query : Query
        vectors : ndarray of float32, shape (N, D)
            All masks of one image.
        areas : ndarray, shape (N,), optional
            As for `posteriors`.

        Returns
        -------
        ndarray of float32, shape (N,)
        """
        if len(vectors) == 0:
            return np.zeros(0, np.float32)
        parts = []
        if query.has_words:
            parts.append(self._score_words(query, vectors, areas))
        if len(query.accepted):
            parts.append(_score_examples(query, vectors))
        mean: NDArray[np.float32] = np.mean(parts, axis=0).astype(np.float32)
        return mean

    def _score_words(
        self, query: Query, vectors: Vectors, areas: NDArray[np.floating] | None
    ) -> NDArray[np.float32]:
        if not len(query.vectors):
            shares = np.append(query.shares, 0).astype(np.float32)
            chances = self.posteriors(vectors, areas)
            score: NDArray[np.float32] = chances @ shares
            return score
        # What the phrase itself says against everything that is not nearly the same.
        others = np.append(query.shares, 0) < 0.5
        rivals = self._scale * vectors @ self.anchors[others].T
        own = self._scale * (vectors @ query.vectors.T).max(1, keepdims=True)
        return _softmax(np.concatenate([own, rivals], axis=1))[:, 0]


def _score_examples(query: Query, vectors: Vectors) -> NDArray[np.float32]:
    """Nearer to an accepted example than to a rejected one, and near enough."""
    near = (vectors @ query.accepted.T).max(1)
    far = np.full(len(vectors), EXAMPLE_COSINE, np.float32)
    if len(query.rejected):
        far = np.maximum(far, (vectors @ query.rejected.T).max(1))
    score: NDArray[np.float32] = 1 / (1 + np.exp(-EXAMPLE_SCALE * (near - far)))
    return score


def _softmax(logits: NDArray[np.floating]) -> NDArray[np.float32]:
    raised = np.exp(logits - logits.max(1, keepdims=True))
    shares: NDArray[np.float32] = raised / raised.sum(1, keepdims=True)
    return shares.astype(np.float32)


def _normalise(vectors: NDArray[np.floating]) -> Vectors:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    normed: Vectors = vectors / np.maximum(lengths, 1e-9)
    return normed.astype(np.float32)


def describe_query(query: Query, names: Sequence[str]) -> str:
    """Say in a sentence how a phrase was understood; "" if as what it says.

    Parameters
    ----------
    query : Query
    names : sequence of str
        Of the concepts.
    """
    if query.is_outside:
        return (
            f"{query.name!r} is outside the bundled vocabulary: results are a guess; "
            "load a larger CLIP or use an example."
        )
    meant = [name for name, share in zip(names, query.shares, strict=True) if share > 0]
    if meant in ([], [query.name]):
        return ""
    *others, last = meant
    read = f"{', '.join(others)} or {last}" if others else last
    return f"{query.name!r} is read as {read}."
