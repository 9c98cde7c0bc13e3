"""What a user may type: one phrase a line, with synonyms, negatives and class names.

    nuclei
    mito: mitochondria | mitochondrion
    round cells, not debris

Each line is a class of its own. ``|`` separates synonyms, ``not`` names what is not
meant, and a name before a colon is what the class is called in the results.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from napari_sam.errors import PromptError

SPATIAL = re.compile(
    r"\b(left|right|leftmost|rightmost|top|topmost|bottom|upper|lower|uppermost|above"
    r"|below|beneath|under|beside|next to|near|nearest|close to|between|corner|middle"
    r"|centre of|center of|behind|in front of|inside|outside|surrounding|around)\b",
    re.IGNORECASE,
)
# "under the microscope" is how a picture was taken, not where an object lies.
NOT_SPATIAL = re.compile(r"\bunder (the|a) microscope\b", re.IGNORECASE)
NEGATIVE = re.compile(r"^(not|no|without)\s+", re.IGNORECASE)
ASIDE = re.compile(r"\s*,\s*(?=(?:not|no|without)\s)", re.IGNORECASE)
COMMAND = re.compile(
    r"^(please\s+)?((find|segment|show|select|outline|label|get|mark)\s+)?(me\s+)?"
    r"((all|every|each|any|some|the|a|an)\s+)*(of\s+)?(the\s+)?",
    re.IGNORECASE,
)
# From these lengths on a word may have one slip of the finger, or two.
SLIPS_FROM = (5, 10)


@dataclass(frozen=True)
class Phrase:
    """One class that is asked for.

    Attributes
    ----------
    name : str
        What the class is called.
    synonyms : tuple of str
        What it may be called otherwise; at least one.
    negatives : tuple of str
        What is not meant.
    """

    name: str
    synonyms: tuple[str, ...]
    negatives: tuple[str, ...] = ()


def parse_phrases(text: str | Iterable[str]) -> tuple[Phrase, ...]:
    """Read phrases.

    Parameters
    ----------
    text : str or iterable of str
        Lines; a semicolon ends a line too. A line that holds nothing but a ``not``
        counts for all classes.

    Returns
    -------
    tuple of Phrase
        At least one, each with a name of its own.

    Raises
    ------
    PromptError
        There is no phrase, two classes have one name, or a phrase says where something
        lies.
    """
    lines = [text] if isinstance(text, str) else list(text)
    pieces = [piece for line in lines for piece in re.split(r"[\n;]", line)]
    phrases: list[Phrase] = []
    common: list[str] = []
    for piece in pieces:
        if not piece.strip():
            continue
        phrase = _parse_line(piece)
        if phrase.synonyms:
            phrases.append(phrase)
        else:
            common += phrase.negatives
    if not phrases:
        raise PromptError("There is no phrase: name what to find, such as nuclei.")
    _check_names(phrases)
    return tuple(
        Phrase(each.name, each.synonyms, (*each.negatives, *common)) for each in phrases
    )


def _parse_line(line: str) -> Phrase:
    name, colon, rest = line.partition(":")
    if not colon:
        name, rest = "", line
    synonyms: list[str] = []
    negatives: list[str] = []
    for part in ASIDE.split(rest.strip()):
        is_negative = NEGATIVE.match(part)
        words = NEGATIVE.sub("", part)
        given = [clean_phrase(each) for each in words.split("|")]
        (negatives if is_negative else synonyms).extend(each for each in given if each)
    if name.strip() and not synonyms:
        raise PromptError(f"The class {name.strip()!r} has no phrase after its colon.")
    label = " ".join(name.split()) or (synonyms[0] if synonyms else "")
    return Phrase(label, tuple(dict.fromkeys(synonyms)), tuple(negatives))


def clean_phrase(text: str) -> str:
    """Collapse spaces and drop words that only ask, such as "find all the".

    Parameters
    ----------
    text : str

    Raises
    ------
    PromptError
        The phrase says where something lies.
    """
    phrase = " ".join(text.strip(" \t.,!?\"'").split())
    where = SPATIAL.search(NOT_SPATIAL.sub("", phrase))
    if where:
        raise PromptError(
            f"{phrase!r} says where ({where.group()!r}), which words cannot do here: "
            "name the kind of object, and draw a box around the place."
        )
    return COMMAND.sub("", phrase) or phrase


def _check_names(phrases: Sequence[Phrase]) -> None:
    names = [each.name.casefold() for each in phrases]
    twice = [each.name for each in phrases if names.count(each.name.casefold()) > 1]
    if twice:
        raise PromptError(
            f"{twice[0]!r} is asked for twice: put synonyms on one line with |."
        )


def singular(phrase: str) -> str:
    """Strip the commonest plural endings of the last word, in lower case.

    Parameters
    ----------
    phrase : str
    """
    head, space, word = phrase.casefold().rpartition(" ")
    for ending, instead in (("ies", "y"), ("sses", "ss"), ("xes", "x"), ("s", "")):
        if word.endswith(ending) and not word.endswith(("ss", "us")):
            if len(word) > len(ending) + 2:
                word = word.removesuffix(ending) + instead
            break
    return head + space + word


def match_known(phrase: str, known: Iterable[str]) -> str | None:
    """The known phrase that this one is, but for case, plural or a slip.

    Parameters
    ----------
    phrase : str
    known : iterable of str

    Returns
    -------
    str or None
        As it is known.
    """
    wanted = singular(phrase)
    allowed = sum(len(wanted) >= length for length in SLIPS_FROM)
    best: tuple[int, str | None] = (allowed + 1, None)
    for each in known:
        other = singular(each)
        if other == wanted:
            return each
        if allowed and wanted[:1] == other[:1]:
            best = min(best, (count_slips(wanted, other), each), key=lambda b: b[0])
    return best[1]


def match_ending(phrase: str, known: Sequence[str]) -> str | None:
    """The known phrase that this one ends in: "elongated bacteria" are bacteria.

    Parameters
    ----------
    phrase : str
    known : sequence of str

    Returns
    -------
    str or None
        The longest one, as it is known.
    """
    words = phrase.split()
    for first in range(1, len(words)):
        found = match_known(" ".join(words[first:]), known)
        if found is not None:
            return found
    return None


def count_slips(one: str, other: str) -> int:
    """Letters to add, drop, change or swap with the next, to make one of the other.

    The optimal string alignment distance.

    Parameters
    ----------
    one, other : str
    """
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, letter in enumerate(one, start=1):
        older, before, row = before, row, [i]
        for j, wanted in enumerate(other, start=1):
            cost = min(
                before[j] + 1, row[j - 1] + 1, before[j - 1] + (letter != wanted)
            )
            swapped = (
                i > 1 and j > 1 and letter == other[j - 2] and one[i - 2] == wanted
            )
            row.append(min(cost, older[j - 2] + 1) if swapped else cost)
    return row[-1]
