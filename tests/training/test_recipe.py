"""Recipes survive a file, and a mistake in one is a sentence."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path

import pytest

from napari_sam.errors import DataError
from napari_sam.training.augment import AugmentConfig
from napari_sam.training.recipe import RECIPES, RECIPES_FOLDER, Recipe

UNFIT = ("em_isbi2012_neurites", "natural_bsds500_regions", "em_particles", "wbc_smear")


def test_a_recipe_comes_back_from_its_file(tmp_path: Path) -> None:
    recipe = Recipe(
        seed=4,
        rounds=(1.0, 0.5),
        sets=("a", "b"),
        set_weights={"a": 2.0},
        augment=AugmentConfig(window=64),
    )
    recipe.save(tmp_path / "recipe.json")
    assert Recipe.load(tmp_path / "recipe.json") == recipe


def test_what_a_file_leaves_out_keeps_its_default(tmp_path: Path) -> None:
    path = tmp_path / "recipe.json"
    path.write_text('{"prompts": {"box": 0.5}, "learning_rate": 1}')
    recipe = Recipe.load(path)
    assert recipe.prompts.box == 0.5 and recipe.prompts.mask == Recipe().prompts.mask
    assert recipe.learning_rate == 1 and recipe.steps == Recipe().steps


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_of_the_package_can_be_read(name: str) -> None:
    recipe = Recipe.named(name)
    assert recipe.from_scratch is (name == "pocket")
    assert not set(UNFIT) & set(recipe.sets)
    assert set(recipe.incomplete) | set(recipe.set_weights) <= set(recipe.sets)


def test_the_recipe_of_the_bundled_weights_leaves_nothing_to_defaults() -> None:
    path = RECIPES_FOLDER / "pocket.json"
    assert json.loads(path.read_text()).keys() == asdict(Recipe()).keys()


def test_an_unknown_recipe_is_refused() -> None:
    with pytest.raises(DataError, match="no recipe 'soup'; there are: finetune"):
        Recipe.named("soup")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ([], "must be an object"),
        ({"stepps": 3}, "no setting stepps"),
        ({"augment": {"widow": 3}}, "augment has no setting widow"),
        ({"augment": 5}, "augment must be an object"),
        ({"steps": 3.5}, "steps cannot be 3.5"),
        ({"steps": True}, "steps cannot be True"),
        ({"steps": 0}, "steps must be at least 1"),
        ({"learning_rate": "high"}, "learning_rate cannot be 'high'"),
        ({"sets": "cells"}, "sets cannot be 'cells'"),
        ({"sets": [3]}, r"sets cannot be \[3\]"),
        ({"rounds": [0, 0]}, "rounds must be chances"),
        ({"set_weights": {"cells": -1}}, "set_weights cannot be"),
        ({"parts": "head"}, "parts must be one of all, decoder, lora"),
        ({"frame": "half"}, "frame must be one of cut, fixed, whole"),
        ({"synthetic": 1.0}, "synthetic is a share"),
        ({"bfloat16": 1}, "bfloat16 cannot be 1"),
    ],
)
def test_mistakes_are_named(tmp_path: Path, values: object, words: str) -> None:
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(values))
    with pytest.raises(DataError, match=words):
        Recipe.load(path)


@pytest.mark.parametrize("text", ["{", "not json"])
def test_a_damaged_file_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "recipe.json"
    path.write_text(text)
    with pytest.raises(DataError, match="not a readable recipe"):
        Recipe.load(path)
    with pytest.raises(DataError, match="not a readable recipe"):
        Recipe.load(tmp_path / "missing.json")
