"""Words are taught from named masks, and held-out words stay out."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest
import torch

from napari_sam.errors import DataError
from napari_sam.evaluation.labelled import Target
from napari_sam.evaluation.words import absent_words, count_found, word_of_set
from napari_sam.structures import MaskRecord
from napari_sam.synthetic import SCENES
from napari_sam.text.vocabulary import Concept, Vocabulary, bundled_vocabulary
from napari_sam.training.clip_corpus import (
    biology_texts,
    dictionary_texts,
    holds_any,
    misspell,
)
from napari_sam.training.text import WordRecipe, taught_folders
from napari_sam.training.text_found import name_found
from napari_sam.training.text_head import (
    HeadConfig,
    WordTargets,
    fit_head,
    head_accuracy,
    phrases_of,
)
from napari_sam.training.text_scenes import (
    OTHER,
    NamedImage,
    background_masks,
    image_stream,
    name_scene,
    roughen,
)
from napari_sam.training.text_table import BACKGROUND, WordTable

VOCABULARY = Vocabulary(
    (Concept("nuclei", ("nuclei", "nucleus")), Concept("worms", ("worms",))),
    ("background",),
)


def test_scenes_name_objects_inside_objects() -> None:
    rng = np.random.default_rng(0)
    scene = SCENES["blood_smear"](rng, (256, 256))
    named = name_scene(scene, rng)
    assert {"white blood cell", "nucleus", ""} <= set(named.words)
    for record, word in zip(named.records, named.words, strict=True):
        (row, col), (height, width) = record.origin, record.mask.shape
        assert row >= 0 and row + height <= 256 and col >= 0 and col + width <= 256
        inside = scene.labels[row : row + height, col : col + width][record.mask] > 0
        assert inside.mean() > 0.3 if word else inside.mean() < 0.1


def test_what_is_found_in_a_scene_is_named_by_the_scene() -> None:
    rng = np.random.default_rng(0)
    named = name_scene(SCENES["blood_smear"](rng, (256, 256)), rng)
    # A model that finds exactly the scene's objects, the inner ones too.
    found = [
        MaskRecord(labels == each, (0, 0), 1.0, 1.0)
        for labels, names in named.truth
        for each in names
        if (labels == each).any()
    ]
    kept, words = name_found(found, named)
    assert len(kept) == len(found)
    assert {"white blood cell", "nucleus"} <= set(words)


def test_some_scenes_are_searched_spread_evenly() -> None:
    stream = image_stream({}, synthetic=9, seed=3, found=3)
    assert [bool(image.truth) for _, image in stream] == [False, False, True] * 3
    assert not any(image.truth for _, image in image_stream({}, synthetic=3, seed=3))


@pytest.mark.parametrize("corner", [(0, 0), (15, 12)])
def test_rough_masks_stay_in_the_image(corner: tuple[int, int]) -> None:
    target = Target(1, np.ones((5, 8), bool), corner)
    areas = set()
    for seed in range(12):
        record = roughen(target, (20, 20), np.random.default_rng(seed))
        areas.add(int(record.mask.sum()))
        for start, length in zip(record.origin, record.mask.shape, strict=True):
            assert start >= 0 and start + length <= 20
    assert len(areas) > 1


def test_background_avoids_objects() -> None:
    occupied = np.zeros((60, 60), bool)
    occupied[:, 30:] = True
    masks = background_masks(occupied, [80, 80], np.random.default_rng(0))
    assert masks
    for record in masks:
        assert record.origin[1] + record.mask.shape[1] / 2 < 30


def disc(row: int, col: int, size: int) -> MaskRecord:
    return MaskRecord(np.ones((size, size), bool), (row, col), 0.9, 1.0)


def test_found_masks_are_named_by_what_they_meet() -> None:
    labels = np.zeros((40, 40), np.int32)
    labels[2:12, 2:12], labels[20:36, 20:36] = 1, 2
    found = [disc(2, 3, 10), disc(2, 2, 5), disc(20, 2, 8), disc(20, 20, 11)]
    truth = ((labels, {1: "nuclei", 2: "worms"}),)
    image = NamedImage(labels, tuple(found), ("nuclei",), True, truth)
    # The last is neither the object nor clearly another thing, so it is left out.
    kept, words = name_found(found, image)
    assert words == ["nuclei", "", ""] and kept == found[:3]
    unsure = dataclasses.replace(image, complete=False)
    assert name_found(found, unsure)[1] == ["nuclei"]
    photograph = dataclasses.replace(image, words=(OTHER,), truth=())
    assert name_found(found[1:3], photograph)[1] == [OTHER, OTHER]
    inner = np.zeros((40, 40), np.int32)
    inner[24:30, 24:30] = 7
    nested = dataclasses.replace(image, truth=(*truth, (inner, {7: "yeast"})))
    assert name_found([disc(24, 24, 6)], nested)[1] == ["yeast"]


def test_a_head_learns_to_name(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    concepts = rng.integers(-1, 2, 300)
    features = rng.normal(0, 0.5, (300, 10)).astype(np.float32)
    features[np.arange(300), concepts + 1] += 3
    table = WordTable(
        features,
        concepts,
        np.zeros(300, np.int64),
        np.array(["some"]),
        VOCABULARY.names,
    )
    table.save(tmp_path / "table.npz")
    back = WordTable.load(tmp_path / "table.npz")
    assert back.names == table.names and (back.concepts == BACKGROUND).any()
    targets = WordTargets.of(VOCABULARY, np.eye(4, 6, dtype=np.float32))
    assert targets.owners.tolist() == [0, 0, 1, 2]
    torch.manual_seed(0)
    head = fit_head(back, targets, HeadConfig(steps=150, batch=64))
    assert head_accuracy(head, back, targets)["some"] > 0.9
    assert phrases_of(VOCABULARY) == ["nuclei", "nucleus", "worms", "background"]


def test_held_out_phrases_are_never_read() -> None:
    vocabulary = bundled_vocabulary()
    held = [phrase for each in vocabulary.concepts for phrase in each.held_out]
    trained = {p.lower() for each in vocabulary.concepts for p in each.trained}
    assert len(held) >= 20
    assert not trained & {phrase.lower() for phrase in held}
    texts = biology_texts(vocabulary, np.random.default_rng(0))
    lowered = [phrase.lower() for phrase in held]
    assert not [text for text in texts if holds_any(text, lowered)]
    assert "many nuclei" in texts or "all nuclei" in texts


def test_dictionary_entries_are_short() -> None:
    entries = [
        ("Cell", "the basic unit; of life"),
        ("a b c d", "x " * 40),
        ("B12", "a vitamin"),
    ]
    texts = dictionary_texts(entries, np.random.default_rng(0), 10)
    assert sorted(texts) == ["a vitamin", "cell", "the basic unit; of life"]


def test_slips_change_one_place() -> None:
    rng = np.random.default_rng(0)
    slips = {misspell("mitochondria", rng) for _ in range(30)}
    assert len(slips) > 10
    assert all(abs(len(slip) - 12) <= 1 for slip in slips)
    assert misspell("cell", rng) == "cell"


def make_set(folder: Path, word: str | None) -> Path:
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True)
        imageio.imwrite(folder / kind / "a.png", np.ones((8, 8), np.uint8))
    if word is not None:
        (folder / "words.json").write_text(json.dumps({"word": word}))
    return folder


def test_a_set_tells_its_word(tmp_path: Path) -> None:
    folder = make_set(tmp_path / "mine", "Nucleus")
    (taught,) = taught_folders([tmp_path], WordRecipe({}), VOCABULARY).values()
    assert taught.word == "nuclei"
    assert word_of_set(folder) == "Nucleus"
    other = make_set(tmp_path / "other", None)
    with pytest.raises(DataError, match="--word"):
        word_of_set(other)
    (tmp_path / "sets.json").write_text('{"other": {"words": "worms, worm"}}')
    assert word_of_set(other) == "worms"


def test_unknown_words_and_empty_folders_are_refused(tmp_path: Path) -> None:
    make_set(tmp_path / "a" / "mine", "dogs")
    with pytest.raises(DataError, match="was not taught 'dogs'"):
        taught_folders([tmp_path / "a"], WordRecipe({}), VOCABULARY)
    (tmp_path / "b").mkdir()
    with pytest.raises(DataError, match="holds no images"):
        taught_folders([tmp_path / "b"], WordRecipe({}), VOCABULARY)
    with pytest.raises(DataError, match="in the recipe"):
        taught_folders([tmp_path / "a"], WordRecipe.bundled(), VOCABULARY)


def test_absent_words_are_never_implied() -> None:
    assert len(absent_words("nuclei")) == len(absent_words("bacteria")) == 8
    assert not {"nuclei", "cells"} & set(absent_words("nuclei"))
    assert "nuclei" not in absent_words("cells")


def test_found_objects_are_counted_at_half_overlap() -> None:
    truth = np.array([[1, 1, 0, 2, 2, 2]])
    assert count_found(truth, np.array([[5, 5, 0, 0, 0, 6]])) == 1
