"""What may be typed, and what is refused in one sentence."""

from __future__ import annotations

import pytest

from napari_sam.errors import PromptError
from napari_sam.text.phrases import (
    Phrase,
    clean_phrase,
    match_ending,
    match_known,
    parse_phrases,
)


def test_each_line_is_a_class() -> None:
    assert parse_phrases("nuclei\n\nround cells") == (
        Phrase("nuclei", ("nuclei",)),
        Phrase("round cells", ("round cells",)),
    )


def test_a_line_has_a_name_synonyms_and_negatives() -> None:
    (phrase,) = parse_phrases("mito: mitochondria | mitochondrion, not debris | dust")
    assert phrase == Phrase(
        "mito", ("mitochondria", "mitochondrion"), ("debris", "dust")
    )


def test_a_negative_of_its_own_counts_for_all() -> None:
    phrases = parse_phrases(["nuclei", "cells", "not debris"])
    assert [each.negatives for each in phrases] == [("debris",), ("debris",)]


def test_a_comma_inside_a_phrase_is_no_separator() -> None:
    assert parse_phrases("small, bright nuclei")[0].synonyms == (
        "small, bright nuclei",
    )


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("find all the nuclei", "nuclei"),
        ("  every   cell. ", "cell"),
        ("please segment the worms", "worms"),
        ("All", "All"),
        ("Zellkerne", "Zellkerne"),
        ("nuclei under the microscope", "nuclei under the microscope"),
    ],
)
def test_words_that_only_ask_are_dropped(typed: str, meant: str) -> None:
    assert clean_phrase(typed) == meant


@pytest.mark.parametrize(
    "phrase",
    [
        "the left nucleus",
        "cells next to the worm",
        "top of the image",
        "nuclei below x",
    ],
)
def test_places_are_refused_with_the_way_out(phrase: str) -> None:
    with pytest.raises(PromptError, match="draw a box"):
        parse_phrases(phrase)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "no phrase"),
        ("not debris", "no phrase"),
        ("mito:", "after its colon"),
        ("nuclei\nNuclei", "asked for twice"),
    ],
)
def test_what_asks_for_nothing_is_refused(text: str, reason: str) -> None:
    with pytest.raises(PromptError, match=reason):
        parse_phrases(text)


@pytest.mark.parametrize(
    ("typed", "known"),
    [
        ("Nuclei", "nuclei"),
        ("cell", "cells"),
        ("nucleii", "nuclei"),
        ("nuclie", "nuclei"),
        ("nucleoli", None),
        ("mitochondira", "mitochondria"),
        ("bacterai", "bacteria"),
        ("dog", None),
        ("sells", None),
        ("pebbles", None),
    ],
)
def test_case_plural_and_slips_are_tolerated(typed: str, known: str | None) -> None:
    words = ("nuclei", "cells", "mitochondria", "bacteria", "vesicles")
    assert match_known(typed, words) == known


@pytest.mark.parametrize(
    ("typed", "known"),
    [
        ("elongated bacteria", "bacteria"),
        ("long thin Bactria", "bacteria"),
        ("stained cell nuclei", "cell nuclei"),
        ("bacteria", None),
        ("bacteria of the gut", None),
    ],
)
def test_a_phrase_is_what_its_last_words_are(typed: str, known: str | None) -> None:
    assert match_ending(typed, ["bacteria", "nuclei", "cell nuclei"]) == known
