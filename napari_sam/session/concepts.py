"""Where the user's concepts are kept: queries of words and examples, by name."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING

import platformdirs

from napari_sam.errors import DataError
from napari_sam.nn.storage import HOME_VARIABLE, home_folder

if TYPE_CHECKING:
    from napari_sam.inference.text_exemplars import Concept

CONCEPT_SUFFIX = ".json"


def concept_path(name: str) -> Path:
    """Where a concept of this name is kept; a path is taken as it is.

    Parameters
    ----------
    name : str
    """
    if name.endswith(CONCEPT_SUFFIX):
        return Path(name)
    # Concepts are the user's own work: not in the cache, unless a home is set for all.
    data = platformdirs.user_data_dir("napari-sam", appauthor=False)
    folder = home_folder() if HOME_VARIABLE in os.environ else Path(data)
    safe = re.sub(r"[^\w -]", "_", name)
    return folder / "concepts" / f"{safe}{CONCEPT_SUFFIX}"


def read_concept(name: str) -> Concept:
    """Read a concept by its name or path.

    Raises
    ------
    DataError
        There is none.
    """
    from napari_sam.inference.text_exemplars import Concept

    path = concept_path(name)
    if not path.is_file():
        kept = sorted(each.stem for each in path.parent.glob(f"*{CONCEPT_SUFFIX}"))
        there = ", ".join(kept) or "none"
        raise DataError(
            f"There is no concept {name!r}; there are: {there}. Make one with "
            "--save-concept."
        )
    return Concept.load(path)


def split_concepts(phrases: str) -> tuple[str, list[Concept]]:
    """Tell lines that name a saved concept from phrases.

    Parameters
    ----------
    phrases : str
        One a line.

    Returns
    -------
    str
        The lines that name none.
    list of Concept

    Raises
    ------
    DataError
        If a concept cannot be read.
    """
    words, concepts = [], []
    for line in phrases.splitlines():
        name = line.strip()
        if name and not name.endswith(CONCEPT_SUFFIX) and concept_path(name).is_file():
            concepts.append(read_concept(name))
        else:
            words.append(line)
    return "\n".join(words).strip(), concepts
