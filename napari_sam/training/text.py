"""Teach a model words: what its features of a mask are called in a CLIP's space."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from napari_sam.errors import DataError, ModelError
from napari_sam.evaluation.words import find_concept, word_of_set
from napari_sam.inference.predictor import SamPredictor
from napari_sam.text.clip import Clip
from napari_sam.text.projector import Binding, WordHead, save_head
from napari_sam.text.vocabulary import Vocabulary
from napari_sam.training.recipe import RECIPES_FOLDER
from napari_sam.training.text_head import (
    HeadConfig,
    WordTargets,
    fit_head,
    head_accuracy,
    phrases_of,
)
from napari_sam.training.text_scenes import OTHER, TaughtSet, image_stream
from napari_sam.training.text_table import WordTable, build_table


@dataclass(frozen=True)
class WordRecipe:
    """How words are taught.

    Attributes
    ----------
    sets : mapping of str to TaughtSet
        By the name of their folder; others take part under the word that their
        ``words.json`` tells.
    synthetic : int
        Scenes.
    synthetic_found : int
        Scenes in which the model's own masks are named too, spread evenly.
    steps : int
        Of the fit.
    seed : int
    only_listed : bool
        Leave out data sets that are not listed.
    """

    sets: Mapping[str, TaughtSet]
    synthetic: int = 400
    synthetic_found: int = 100
    steps: int = 2500
    seed: int = 0
    only_listed: bool = False

    @classmethod
    def bundled(cls) -> WordRecipe:
        """The recipe of the words that are shipped."""
        path = RECIPES_FOLDER / "words.json"
        values = json.loads(path.read_text(encoding="utf-8"))
        sets = {name: TaughtSet(**each) for name, each in values.pop("sets").items()}
        return cls(sets, only_listed=True, **values)


def taught_folders(
    paths: Iterable[Path], recipe: WordRecipe, vocabulary: Vocabulary
) -> dict[Path, TaughtSet]:
    """The data sets of a run with the words of their objects.

    Parameters
    ----------
    paths : iterable of Path
        Folders with ``images/`` and ``labels/``, or folders of such folders.
    recipe : WordRecipe
    vocabulary : Vocabulary

    Raises
    ------
    DataError
        There is no data set, nothing tells its word, or the CLIP does not know it.
    """
    folders = [each for path in paths for each in _sets_in(path)]
    taught = {}
    for folder in folders:
        known = recipe.sets.get(folder.name)
        if known is None and recipe.only_listed:
            continue
        taught[folder] = known or TaughtSet(word_of_set(folder))
    if not taught:
        raise DataError("None of these data sets is in the recipe.")
    return {folder: _checked(each, vocabulary) for folder, each in taught.items()}


def _sets_in(path: Path) -> list[Path]:
    place = path.resolve()
    found = [place, *sorted(place.glob("*"))]
    folders = [each for each in found if (each / "labels").is_dir()]
    if not folders:
        raise DataError(f"{path} holds no images/ and labels/ folders.")
    return folders


def _checked(each: TaughtSet, vocabulary: Vocabulary) -> TaughtSet:
    if not each.word:
        return replace(each, word=OTHER, complete=False)
    concept = find_concept(each.word, vocabulary)
    if concept is None:
        raise DataError(
            f"The CLIP was not taught {each.word!r}; it knows: "
            f"{', '.join(vocabulary.names)}. Add it to the CLIP's vocabulary.json."
        )
    return replace(each, word=concept.name)


def teach_words(
    predictor: SamPredictor,
    clip: Clip,
    paths: Sequence[Path],
    recipe: WordRecipe,
    progress: Callable[[int], None] | None = None,
) -> tuple[WordHead, dict[str, Any]]:
    """Describe labelled masks and fit where their words are.

    Parameters
    ----------
    predictor : SamPredictor
        Of `pocket`.
    clip : Clip
        With a vocabulary.
    paths : sequence of Path
    recipe : WordRecipe
    progress : callable, optional
        Called with the number of images described.

    Returns
    -------
    WordHead
    dict
        Number of masks and images, and the share named rightly by source.

    Raises
    ------
    ModelError
        The model has no features of masks, or the CLIP no vocabulary.
    DataError
        As `taught_folders`.
    """
    vocabulary = clip.vocabulary
    if predictor.model.frame_kind != "pyramid" or vocabulary is None:
        raise ModelError(
            "Words are read from features for the model pocket and a CLIP with a "
            "vocabulary.json; other pairs need no training, or --tokens."
        )
    folders = taught_folders(paths, recipe, vocabulary)
    stream = image_stream(
        folders, recipe.synthetic, recipe.seed, recipe.synthetic_found
    )
    table = build_table(predictor, vocabulary, stream, progress)
    return fit_words(table, clip, vocabulary, recipe)


def fit_words(
    table: WordTable, clip: Clip, vocabulary: Vocabulary, recipe: WordRecipe
) -> tuple[WordHead, dict[str, Any]]:
    """Fit a head to described masks; see `teach_words`."""
    vectors = clip.embed_text(phrases_of(vocabulary))
    targets = WordTargets.of(vocabulary, vectors)
    head = fit_head(table, targets, HeadConfig(steps=recipe.steps, seed=recipe.seed))
    facts = {
        "images": len(table.sources),
        "masks": len(table.concepts),
        "named_rightly": head_accuracy(head, table, targets),
    }
    return head, facts


def save_words(head: WordHead, clip: Clip, predictor: SamPredictor, path: Path) -> None:
    """Write a head, bound to its CLIP and model.

    Parameters
    ----------
    head : WordHead
    clip : Clip
    predictor : SamPredictor
    path : Path
    """
    model = predictor.model
    binding = Binding(clip.identity, model.name, model.checkpoint_sha256 or "")
    save_head(head, binding, path)
