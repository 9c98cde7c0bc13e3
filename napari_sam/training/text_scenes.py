"""Images whose objects have names, to teach words on: real and synthetic ones."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from pathlib import Path
from zlib import crc32

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_sam.evaluation.datasets import folder_set, label_targets
from napari_sam.evaluation.labelled import LabelledImage, Target
from napari_sam.structures import MaskRecord
from napari_sam.synthetic import SCENES, SyntheticScene, draw_kinds, mixed

# Sides of what is cut out of a data set's image, in pixels.
CROP = 256
# Side of a synthetic scene.
SCENE = 256
# Objects of a scene that has no word for them.
OTHER = "object"
SMALLEST = 16
MOST_OBJECTS = 24


@dataclass(frozen=True, eq=False)
class NamedImage:
    """A 2D image and named objects in it.

    Attributes
    ----------
    image : ndarray, shape (H, W) or (H, W, channels)
    records : tuple of MaskRecord
    words : tuple of str
        The word of each record; "" for what is no object.
    complete : bool
        Whether every object of the image is among them, so that a word of none of them
        is absent.
    truth : tuple of (labels, words)
        Label images (H, W), each with the word of every id; empty where a model's own
        masks are not to be named by it.
    """

    image: NDArray
    records: tuple[MaskRecord, ...]
    words: tuple[str, ...]
    complete: bool = True
    truth: tuple[tuple[NDArray[np.int32], dict[int, str]], ...] = ()


@dataclass(frozen=True)
class TaughtSet:
    """How a data set takes part.

    Attributes
    ----------
    word : str
        Of its objects; "" if the vocabulary has none for them.
    images : int
        At most, spread evenly.
    complete : bool
        Whether every object is labelled.
    crops : int
        Places cut out of each image.
    found : int
        Crops in which a model's own masks are named too, spread evenly.
    """

    word: str
    images: int = 100
    complete: bool = True
    crops: int = 1
    found: int = 20


def synthetic_image(rng: np.random.Generator) -> NamedImage:
    """Draw a scene; in most of them several kinds of objects share the picture."""
    if rng.random() < 0.6:
        kinds = draw_kinds(rng, int(rng.integers(2, 5)))
        return name_scene(mixed(rng, (SCENE, SCENE), kinds), rng)
    names = list(SCENES)
    make = SCENES[names[int(rng.integers(len(names)))]]
    return name_scene(make(rng, (SCENE, SCENE)), rng)


def name_scene(scene: SyntheticScene, rng: np.random.Generator) -> NamedImage:
    """Take the objects of a scene, and objects inside them, with their words."""
    records: list[MaskRecord] = []
    words: list[str] = []
    for target in _some(label_targets(scene.labels), rng):
        records.append(roughen(target, scene.labels.shape, rng))
        words.append(scene.classes[target.identifier])
    for word, labels in scene.layers.items():
        for target in _some(label_targets(labels), rng):
            records.append(roughen(target, labels.shape, rng))
            words.append(word)
    occupied = scene.labels > 0
    blanks = background_masks(occupied, [r.mask.sum() for r in records], rng)
    complete = OTHER not in words
    inner = (
        (labels, dict.fromkeys(range(1, int(labels.max()) + 1), word))
        for word, labels in scene.layers.items()
    )
    return NamedImage(
        scene.image,
        (*records, *blanks),
        (*words, *[""] * len(blanks)),
        complete,
        ((scene.labels, dict(scene.classes)), *inner),
    )


def _some(targets: Sequence[Target], rng: np.random.Generator) -> list[Target]:
    large = [each for each in targets if each.area >= SMALLEST]
    order = rng.permutation(len(large))[:MOST_OBJECTS]
    return [large[i] for i in order]


def roughen(
    target: Target, shape: tuple[int, ...], rng: np.random.Generator
) -> MaskRecord:
    """Return an object's mask, at times grown or shrunk as a model's mask may be.

    Parameters
    ----------
    target : Target
    shape : tuple of int
        (H, W) of the image.
    rng : numpy.random.Generator
    """
    mask, origin = target.mask, target.origin
    reach = max(1, round(0.06 * target.area**0.5))
    kind = rng.random()
    if kind < 0.25:
        padded = ndimage.binary_dilation(np.pad(mask, reach), iterations=reach)
        top, left = (max(reach - start, 0) for start in origin)
        bottom, right = (
            side - max(start + length + reach - limit, 0)
            for side, start, length, limit in zip(
                padded.shape, origin, mask.shape, shape, strict=True
            )
        )
        mask = padded[top:bottom, left:right]
        origin = (origin[0] - reach + top, origin[1] - reach + left)
    elif kind < 0.5:
        thinner = ndimage.binary_erosion(mask, iterations=reach)
        mask = thinner if thinner.sum() >= SMALLEST else mask
    return MaskRecord(mask, origin, 1.0, 1.0)


def background_masks(
    occupied: NDArray[np.bool_], areas: Sequence[int], rng: np.random.Generator
) -> list[MaskRecord]:
    """Draw discs and ellipses on free ground, as large as the image's objects.

    Parameters
    ----------
    occupied : ndarray of bool, shape (H, W)
    areas : sequence of int
        Of the objects, in pixels.
    rng : numpy.random.Generator
    """
    found: list[MaskRecord] = []
    if not len(areas):
        return found
    height, width = occupied.shape
    for _ in range(6):
        area = float(rng.choice(areas)) * np.exp(rng.normal(0, 0.3))
        radius = max((area / np.pi) ** 0.5, 3.0)
        aspect = np.exp(rng.normal(0, 0.3))
        reach = int(np.ceil(radius * max(aspect, 1 / aspect)))
        if 2 * reach + 1 >= min(height, width):
            continue
        row = int(rng.integers(reach, height - reach))
        col = int(rng.integers(reach, width - reach))
        y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
        blob = (y / aspect) ** 2 + (x * aspect) ** 2 <= radius**2
        taken = occupied[row - reach : row + reach + 1, col - reach : col + reach + 1]
        if (taken & blob).sum() < 0.1 * blob.sum():
            found.append(MaskRecord(blob, (row - reach, col - reach), 1.0, 1.0))
    return found


def folder_images(
    folder: Path, taught: TaughtSet, rng: np.random.Generator
) -> Iterator[NamedImage]:
    """Yield crops of a folder with ``images/`` and ``labels/``, of `CROP` pixels.

    Parameters
    ----------
    folder : Path
    taught : TaughtSet
    rng : numpy.random.Generator
    """
    most = taught.images * taught.crops
    crops = (
        _crop(image, taught.word, rng, taught.complete)
        for image in folder_set(folder).limited(taught.images)
        for _ in range(taught.crops)
    )
    some = (each for each in crops if each is not None)
    yield from _searched(islice(some, most), min(taught.found / max(most, 1), 1.0))


def _searched(images: Iterable[NamedImage], share: float) -> Iterator[NamedImage]:
    """Let a share of images, spread evenly, keep the truth that names found masks."""
    for index, named in enumerate(images):
        is_searched = int((index + 1) * share) > int(index * share)
        yield named if is_searched else replace(named, truth=())


def _crop(
    image: LabelledImage, word: str, rng: np.random.Generator, complete: bool
) -> NamedImage | None:
    labels = image.labels()
    pixels = image.image
    if image.channel_axis is not None:
        pixels = np.moveaxis(pixels, image.channel_axis, -1)
    if not labels.any():
        return None
    row, col = _corner(labels, rng)
    labels = labels[row : row + CROP, col : col + CROP]
    pixels = pixels[row : row + CROP, col : col + CROP]
    records = [
        roughen(each, labels.shape, rng) for each in _some(label_targets(labels), rng)
    ]
    if not records:
        return None
    words = [word] * len(records)
    if complete:
        blanks = background_masks(labels > 0, [r.mask.sum() for r in records], rng)
        records, words = records + blanks, words + [""] * len(blanks)
    names = dict.fromkeys(range(1, int(labels.max()) + 1), word)
    truth = ((labels, names),)
    return NamedImage(pixels, tuple(records), tuple(words), complete, truth)


def _corner(labels: NDArray[np.int32], rng: np.random.Generator) -> tuple[int, int]:
    """A corner whose crop holds a random object's pixel."""
    rows, cols = np.nonzero(labels)
    pick = int(rng.integers(len(rows)))
    height, width = labels.shape
    row, col = (
        int(np.clip(at[pick] - rng.integers(CROP), 0, max(side - CROP, 0)))
        for at, side in ((rows, height), (cols, width))
    )
    return row, col


def image_stream(
    folders: Mapping[Path, TaughtSet], synthetic: int, seed: int, found: int = 0
) -> Iterator[tuple[str, NamedImage]]:
    """Yield all images of a run, with the name of where they are from.

    Parameters
    ----------
    folders : mapping of Path to TaughtSet
    synthetic : int
        Number of synthetic scenes.
    seed : int
        Each folder and each scene has its own numbers, whatever came before.
    found : int
        Scenes in which a model's own masks are named too, spread evenly.
    """
    for folder, taught in folders.items():
        rng = np.random.default_rng([seed, crc32(folder.name.encode())])
        for image in folder_images(folder, taught, rng):
            yield folder.name, image
    scenes = (
        synthetic_image(np.random.default_rng([seed, number]))
        for number in range(synthetic)
    )
    for scene in _searched(scenes, min(found / max(synthetic, 1), 1.0)):
        if scene.records:
            yield "synthetic", scene
