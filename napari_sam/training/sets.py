"""The data sets of a run: opened, weighted, and a share of them held back."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from napari_sam.errors import DataError
from napari_sam.training.datasets import (
    FolderSource,
    ListSource,
    MixedSource,
    Source,
    SyntheticSource,
)
from napari_sam.training.pasting import PastingSource
from napari_sam.training.reading import READING, Reading, StoredImage, TrainingImage
from napari_sam.training.recipe import Recipe

# Apart from the random numbers of steps and of validation windows.
STREAM = 2**32 + 1


@dataclass(frozen=True, eq=False)
class TrainingData:
    """What a run fits on and what it is measured on.

    Attributes
    ----------
    source : Source
    held_back : list of TrainingImage or StoredImage
        For validation; empty without.
    counts : dict of str to int
        Labelled 2D images of each data set, those held back included.
    unlabelled : int
        Image files without labels, left out.
    missing : tuple of str
        Data sets that the recipe names and nobody gave.
    """

    source: Source
    held_back: list[TrainingImage | StoredImage]
    counts: dict[str, int]
    unlabelled: int
    missing: tuple[str, ...]


def open_data(
    paths: Iterable[Path], recipe: Recipe, reading: Reading = READING
) -> TrainingData:
    """Read the data sets of a run.

    Parameters
    ----------
    paths : iterable of Path
        Folders with ``images/`` and ``labels/``, or folders of such folders.
    recipe : Recipe
        Says which sets are taken, how often, and what share is held back.
    reading : Reading
        How files become images. Each set may take its share of the memory.

    Returns
    -------
    TrainingData

    Raises
    ------
    DataError
        A folder is no data set, is given twice or cannot be used, or the recipe asks
        for other ones.
    """
    folders = _choose_folders([each for path in paths for each in _sets_in(path)])
    names = {_name(folder) for folder in folders}
    if recipe.sets:
        folders = [folder for folder in folders if _name(folder) in recipe.sets]
        if not folders:
            raise DataError(
                f"The recipe is for the data sets {', '.join(recipe.sets)}: give a"
                " folder that holds them, or another recipe."
            )
    share = replace(reading, memory=reading.memory / len(folders))
    sets = [
        FolderSource(folder, _name(folder) not in recipe.incomplete, share)
        for folder in folders
    ]
    if recipe.validation > 0 and len(reading.axes) > 1:
        _check_slices(sets)
    kept, held_back = split(sets, recipe.validation, recipe.seed)
    return TrainingData(
        _mix(dict(zip([each.name for each in sets], kept, strict=True)), recipe),
        held_back,
        {each.name: len(each) for each in sets},
        sum(each.unlabelled for each in sets),
        tuple(name for name in recipe.sets if name not in names),
    )


def _sets_in(path: Path) -> list[Path]:
    if _is_set(path):
        return [path]
    found = sorted(each for each in path.glob("*") if _is_set(each))
    if not found:
        raise DataError(
            f"{path} is no data set: give a folder with images/ and labels/, or a"
            " folder of such folders. Labels have the names of the images, and hold"
            " one number for each object."
        )
    return found


def _is_set(folder: Path) -> bool:
    return (folder / "images").is_dir() and (folder / "labels").is_dir()


def _name(folder: Path) -> str:
    return folder.resolve().name


def _choose_folders(folders: Sequence[Path]) -> Sequence[Path]:
    twice = [name for name, n in Counter(map(_name, folders)).items() if n > 1]
    if twice:
        raise DataError(
            f"There are two data sets named {twice[0]}: give each once, and each a"
            " name of its own."
        )
    return folders


def _check_slices(sets: Sequence[FolderSource]) -> None:
    """Refuse to hold back slices that cross the ones that are fitted."""
    for each in sets:
        if len(each.files) == 1 and len(each) > 1:
            raise DataError(
                f"{each.name} has one stack, whose slices along several axes cross each"
                " other, so none can be held back: slice it along one --axis, or set"
                " --validation 0."
            )


def _mix(sets: dict[str, ListSource], recipe: Recipe) -> Source:
    sources: list[Source] = [
        PastingSource(images, recipe.paste[name]) if name in recipe.paste else images
        for name, images in sets.items()
    ]
    weights = [
        recipe.set_weights.get(name, len(images) ** 0.5)
        for name, images in sets.items()
    ]
    if recipe.synthetic > 0:
        share = recipe.synthetic / (1 - recipe.synthetic)
        sources.append(SyntheticSource())
        weights.append(sum(weights) * share)
    return MixedSource(sources, weights)


def split(
    sets: Sequence[FolderSource], share: float, seed: int
) -> tuple[list[ListSource], list[TrainingImage | StoredImage]]:
    """Hold back a share of each data set, by image.

    Slices of one stack stay together, unless a set has nothing but one stack: then
    its last slices are held back. If the share of every set rounds to nothing, one
    image of the largest set is.

    Parameters
    ----------
    sets : sequence of FolderSource
    share : float
        0 holds nothing back.
    seed : int

    Returns
    -------
    list of ListSource
        What is left of each set, at least one image.
    list of TrainingImage or StoredImage
        What is held back; empty where there is but one image.
    """
    units = [_units(each) for each in sets]
    counts = [round(share * len(each)) for each in units]
    if share > 0 and not any(counts):
        largest = max(range(len(units)), key=lambda index: len(units[index]))
        counts[largest] = 1
    kept, held_back = [], []
    rng = np.random.default_rng([seed, STREAM])
    for each, files, wanted in zip(sets, units, counts, strict=True):
        first = len(files) - min(wanted, len(files) - 1)
        # The last slices of a stack are farthest from the others; files are alike.
        order = (
            rng.permutation(len(files)) if len(each.files) > 1 else range(len(files))
        )
        chosen = [files[index] for index in order]
        kept.append(ListSource([image for file in chosen[:first] for image in file]))
        held_back += [image for file in chosen[first:] for image in file]
    return kept, held_back


def _units(images: FolderSource) -> list[list[TrainingImage | StoredImage]]:
    if len(images.files) > 1:
        return images.files
    return [[image] for image in images.files[0]]
