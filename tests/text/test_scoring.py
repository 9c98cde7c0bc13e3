"""Masks answer the phrase they are, and no other."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam.text.phrases import parse_phrases
from napari_sam.text.scoring import WordSpace, describe_query
from napari_sam.text.vocabulary import Concept, Vocabulary

from .fake_clip import CELLS, NOTHING, NUCLEI, FakeClip, between

MASKS = np.stack([NUCLEI, CELLS, NOTHING, between(NUCLEI, CELLS, 0.7)])
AREAS = np.full(4, 100)


@pytest.fixture
def space() -> WordSpace:
    return WordSpace(FakeClip())  # type: ignore[arg-type]


def ask(space: WordSpace, text: str) -> np.ndarray:
    return space.score(space.query(parse_phrases(text)[0]), MASKS, AREAS)


def test_a_word_finds_its_own_kind(space: WordSpace) -> None:
    nuclei, cells = ask(space, "nuclei"), ask(space, "cells")
    assert nuclei[0] > 0.95 and nuclei[1] < 0.05 and nuclei[2] < 0.05
    assert cells[1] > 0.95 and cells[0] < 0.05


def test_an_unknown_word_is_shared_out_by_likeness(space: WordSpace) -> None:
    query = space.query(parse_phrases("DAPI")[0])
    assert query.shares[0] == 1 and query.shares[1] == 0
    assert not query.is_outside
    assert space.query(parse_phrases("both")[0]).shares.tolist() == [1, 1]


def test_a_described_kind_is_that_kind(space: WordSpace) -> None:
    query = space.query(parse_phrases("odd cells")[0])
    assert query.shares[1] == 1 and not query.is_outside


def test_a_negative_takes_its_kind_away(space: WordSpace) -> None:
    assert ask(space, "both")[1] > 0.9
    assert ask(space, "both, not cells")[1] < 0.05


def test_a_word_like_no_other_is_outside(space: WordSpace) -> None:
    query = space.query(parse_phrases("far")[0])
    assert query.is_outside
    assert "outside the bundled vocabulary" in describe_query(query, space.names)
    inside = space.query(parse_phrases("nucleus of it | nuclei")[0])
    assert "outside" not in describe_query(inside, space.names)


def test_a_word_means_its_kinds_too_but_a_named_kind_comes_first() -> None:
    vocabulary = Vocabulary(
        (
            Concept("nuclei", ("nuclei", "nuclei of cells")),
            Concept("cells", ("cells", "living cells")),
            Concept("yeast", ("yeast", "yeast cells")),
        ),
        ("nothing",),
    )
    space = WordSpace(FakeClip(vocabulary))  # type: ignore[arg-type]

    def shares(text: str) -> list[float]:
        return space.query(parse_phrases(text)[0]).shares.tolist()

    nuclei, cells, yeast = shares("cells")
    assert nuclei == 0 and cells == 1 and 0.5 < yeast < 1
    assert shares("living cells") == [0, 1, 0]
    assert shares("yeast cells") == [0, 0, 1]
    assert shares("cells, not yeast") == [0, 1, 0]
    query = space.query(parse_phrases("cells")[0])
    assert describe_query(query, space.names) == "'cells' is read as cells or yeast."


def test_what_a_phrase_is_read_as_is_said_unless_it_is_itself(space: WordSpace) -> None:
    known, other = parse_phrases("nuclei\nDAPI")
    assert describe_query(space.query(known), space.names) == ""
    assert describe_query(space.query(other), space.names) == (
        "'DAPI' is read as nuclei."
    )


def test_what_most_of_an_image_is_counts_by_size(space: WordSpace) -> None:
    masks = np.stack([NUCLEI, CELLS, NOTHING])
    for areas, name in (([900, 400, 9000], "nuclei"), ([400, 900, 9000], "cells")):
        commonest = space.commonest(masks, np.array(areas))
        assert commonest is not None and space.names[commonest] == name
    assert space.commonest(NOTHING[None], np.array([100])) is None
    assert space.commonest(masks[:0], np.zeros(0)) is None


def test_a_word_more_like_an_everyday_thing_is_outside() -> None:
    clip = FakeClip()
    clip.vocabulary = Vocabulary(
        clip.vocabulary.concepts,
        ("nothing",),
        ("fur",),  # type: ignore[union-attr]
    )
    space = WordSpace(clip)  # type: ignore[arg-type]
    assert space.query(parse_phrases("hairy thing")[0]).is_outside
    assert not space.query(parse_phrases("DAPI")[0]).is_outside


def test_one_odd_mask_among_many_is_doubted(space: WordSpace) -> None:
    doubtful = between(NUCLEI, CELLS, 0.45)
    alone = space.posteriors(doubtful[None], None)[0, 1]
    crowd = np.stack([doubtful, *[NUCLEI] * 5])
    assert 0 < space.posteriors(crowd, np.full(6, 100))[0, 1] < alone


def test_a_kind_that_is_next_to_nothing_is_absent(space: WordSpace) -> None:
    masks = np.stack([CELLS, *[NUCLEI] * 30])
    areas = np.full(31, 100)
    query = space.query(parse_phrases("cells")[0])
    assert space.score(query, masks, areas).max() == 0
    # One large cell over many nuclei is no stray.
    areas[0] = 10_000
    assert space.score(query, masks, areas)[0] > 0.5


def test_examples_find_what_is_like_them(space: WordSpace) -> None:
    query = space.example_query("these", CELLS[None])
    scores = space.score(query, MASKS)
    assert scores[1] > 0.9 and scores[0] < 0.1
    refused = space.example_query("these", MASKS[3:], CELLS[None])
    assert space.score(refused, MASKS)[1] < 0.5 < space.score(refused, MASKS)[0]


def test_a_clip_without_a_vocabulary_compares_the_phrase_itself() -> None:
    space = WordSpace(FakeClip(vocabulary=None))  # type: ignore[arg-type]
    scores = space.score(space.query(parse_phrases("both")[0]), MASKS)
    assert scores[3] == scores.max() and scores[2] < 0.1


def test_no_masks_give_no_scores(space: WordSpace) -> None:
    empty = np.zeros((0, 3), np.float32)
    assert space.score(space.query(parse_phrases("nuclei")[0]), empty).shape == (0,)
