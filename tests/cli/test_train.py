"""``napari-sam train``, with a model of 64 pixels that learns to see discs."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import imageio.v3 as imageio
import numpy as np
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from napari_sam.cli import training
from napari_sam.nn.image_encoder import build_vit_encoder
from napari_sam.nn.pocket import Pocket
from napari_sam.nn.registry import create_model
from napari_sam.nn.sam import Sam, assemble_sam
from napari_sam.training import weights
from napari_sam.training.recipe import Recipe

from .conftest import Run

RECIPE = {
    "steps": 4,
    "images": 2,
    "objects": 2,
    "warmup": 1,
    "learning_rate": 0.001,
    "ema": 0.5,
    "synthetic": 0.0,
    "validation": 0.34,
    "validate_every": 2,
    "bfloat16": False,
    "augment": {"window": 64, "object_size": [12, 30]},
}
# The program with the model of the tests, each step saved.
SMALL_PROGRAM = """
import sys, torch
from napari_sam.cli import main, training
from napari_sam.nn.image_encoder import build_vit_encoder
from napari_sam.nn.pocket import Pocket
torch.set_num_threads(1)
def build(*_):
    torch.manual_seed(3)
    return Pocket(width=32, window=64)
training.start_learner, training.SAVE_EVERY = build, 0.0
sys.exit(main(sys.argv[1:]))
"""


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train a small random model instead of the one asked for."""

    def build(*_: object) -> Pocket:
        torch.manual_seed(3)
        return Pocket(width=32, window=64)

    monkeypatch.setattr(training, "start_learner", build)


def write_discs(folder: Path, count: int) -> Path:
    rows, cols = np.indices((80, 80))
    for kind in ("images", "labels"):
        (folder / kind).mkdir(parents=True)
    for index in range(count):
        labels = np.zeros((80, 80), np.uint8)
        labels[np.hypot(rows - 25 - index, cols - 25) < 14] = 1
        labels[np.hypot(rows - 55, cols - 50 + index) < 12] = 2
        noise = np.random.default_rng(index).normal(0, 8, labels.shape)
        image = (50 + 120 * (labels > 0) + noise).clip(0, 255).astype(np.uint8)
        imageio.imwrite(folder / "images" / f"{index}.png", image)
        imageio.imwrite(folder / "labels" / f"{index}.png", labels)
    return folder


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    return write_discs(tmp_path / "data" / "discs", 3)


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.json"
    path.write_text(json.dumps(RECIPE))
    return path


def metadata(path: Path) -> dict[str, str]:
    with safe_open(path, "pt") as file:
        return dict(file.metadata())


@pytest.mark.usefixtures("small")
def test_trains_and_tells(
    run: Run, dataset: Path, recipe: Path, tmp_path: Path
) -> None:
    out = tmp_path / "new" / "mine.safetensors"
    code, stdout, stderr = run(
        "train", dataset.parent, "--recipe", recipe, "--out", out, "--seed", 5
    )
    assert code == 0
    assert "discs (3); held back for validation: 1." in stderr
    assert "step 2 of 4" in stderr and "step 4 of 4" in stderr
    assert f"{out}: 4 steps, best after" in stdout
    assert f"models import {out}" in stdout
    assert [path.name for path in out.parent.iterdir()] == [out.name]
    facts = metadata(out)
    assert facts["model"] == "pocket" and json.loads(facts["data"]) == {"discs": 3}
    settings = json.loads(facts["recipe"])
    assert settings["seed"] == 5 and settings["learning_rate"] == 0.001
    steps, ious = zip(*json.loads(facts["validation"]), strict=True)
    assert steps == (0, 2, 4)
    assert int(facts["steps"]) == steps[int(np.argmax(ious))]
    kinds = {value.dtype for value in load_file(out).values()}
    assert torch.float16 in kinds and torch.float32 not in kinds


@pytest.mark.usefixtures("small")
def test_options_go_before_the_recipe(
    run: Run, dataset: Path, recipe: Path, tmp_path: Path
) -> None:
    out = tmp_path / "mine.safetensors"
    code, stdout, stderr = run(
        "train", dataset, "--recipe", recipe, "--out", out, "--steps", 2,
        "--validation", 0, "--parts", "decoder",
    )  # fmt: skip
    assert code == 0
    assert "held back for validation: 0" in stderr
    assert stdout.startswith(f"{out}: 2 steps\n")
    torch.manual_seed(3)
    before, after = Pocket(width=32, window=64).state_dict(), load_file(out)
    moved = {key for key in before if not torch.equal(before[key].half(), after[key])}
    assert moved and not [key for key in moved if key.startswith("image_encoder")]


@pytest.mark.usefixtures("small")
def test_a_single_image_is_trained_on_without_validation(
    run: Run, recipe: Path, tmp_path: Path
) -> None:
    folder = write_discs(tmp_path / "single", 1)
    out = tmp_path / "mine.safetensors"
    code, stdout, stderr = run(
        "train", folder, "--recipe", recipe, "--out", out, "--steps", 1
    )
    assert code == 0 and out.exists()
    assert "one labelled image only" in stderr and "without validation" in stderr
    assert stdout.startswith(f"{out}: 1 step\n")


def test_the_weights_are_a_checkpoint_of_pocket(
    run: Run, dataset: Path, recipe: Path, tmp_path: Path
) -> None:
    settings = {**RECIPE, "augment": {}, "validation": 0.0, "steps": 1, "images": 1}
    recipe.write_text(json.dumps(settings))
    out = tmp_path / "mine.safetensors"
    code, _, stderr = run(
        "train", dataset, "--recipe", recipe, "--out", out, "--from-scratch"
    )
    assert code == 0 and "Starting from random weights" in stderr
    model = create_model("pocket", checkpoint=out, device="cpu")
    key = "mask_decoder.iou_token.weight"
    assert torch.equal(model.state_dict()[key].half(), load_file(out)[key])
    again = weights.start_learner("pocket", out, Recipe(from_scratch=True))
    assert torch.equal(again.state_dict()[key], model.state_dict()[key])


@pytest.mark.slow
def test_a_killed_run_is_resumed_to_the_same_result(
    run: Run, small: None, dataset: Path, recipe: Path, tmp_path: Path
) -> None:
    recipe.write_text(json.dumps({**RECIPE, "steps": 8}))
    whole, cut = tmp_path / "whole.safetensors", tmp_path / "cut.safetensors"
    state = tmp_path / "cut.state.pt"
    options = [dataset, "--recipe", recipe, "--out"]
    assert run("train", *options, whole)[0] == 0
    words = [str(each) for each in ["train", *options, cut]]
    with subprocess.Popen([sys.executable, "-c", SMALL_PROGRAM, *words]) as process:
        while not state.exists() and process.poll() is None:
            time.sleep(0.02)
        process.kill()
    assert process.returncode != 0 and state.exists() and not cut.exists()

    code, _, stderr = run("train", *options, cut)
    assert code == 1 and "add --resume" in stderr
    code, _, stderr = run("train", *options, cut, "--resume", "--seed", 1)
    assert code == 1 and "with seed 0, not 1" in stderr

    code, _, stderr = run("train", *options, cut, "--resume")
    assert code == 0 and "Going on after step" in stderr
    assert not state.exists()
    one, other = load_file(whole), load_file(cut)
    for key in one:
        assert torch.allclose(one[key].float(), other[key].float(), atol=1e-3), key
    assert metadata(whole)["steps"] == metadata(cut)["steps"]

    code, _, stderr = run("train", *options, cut, "--resume")
    assert code == 1 and "nothing to resume" in stderr


@pytest.mark.usefixtures("small")
def test_an_interrupted_run_says_how_to_go_on(
    run: Run,
    dataset: Path,
    recipe: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(training.Trainer, "run", interrupt)
    out = tmp_path / "mine.safetensors"
    code, _, stderr = run("train", dataset, "--recipe", recipe, "--out", out)
    assert code == 130 and "no state was saved" in stderr
    (tmp_path / "mine.state.pt").write_bytes(b"")
    monkeypatch.setattr(training.Trainer, "resume", lambda _: None)
    options = ("--recipe", recipe, "--out", out, "--resume")
    code, _, stderr = run("train", dataset, *options)
    assert code == 130 and "--resume goes on from" in stderr


@pytest.mark.parametrize("parts", ["decoder", "lora"])
def test_a_sam_is_trained_to_an_ordinary_checkpoint(
    run: Run,
    dataset: Path,
    recipe: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    parts: str,
) -> None:
    sizes = {"embed_dim": 32, "depth": 1, "num_heads": 2, "global_attn_indexes": (0,)}

    def build() -> Sam:
        torch.manual_seed(3)
        encoder = build_vit_encoder("samvit_base_patch16", img_size=128, **sizes)
        return assemble_sam(encoder, 128)

    def start(name: str, _: object, recipe: Recipe) -> weights.Learner:
        return weights.as_learner(build(), name, recipe)

    monkeypatch.setattr(training, "start_learner", start)
    recipe.write_text(json.dumps({**RECIPE, "frame": "fixed", "steps": 2}))
    out = tmp_path / "mine.safetensors"
    code, stdout, stderr = run(
        "train", dataset, "--model", "sam_vit_b", "--recipe", recipe, "--out", out,
        "--parts", parts, "--validation", 0,
    )  # fmt: skip
    assert code == 0, stderr
    assert "--like sam_vit_b" in stdout
    before, after = build().state_dict(), load_file(out)
    assert set(after) == set(before)
    moved = {key for key in before if not torch.equal(before[key].half(), after[key])}
    inside = {key for key in moved if key.startswith("image_encoder.")}
    assert all("attn" in key for key in inside) and bool(inside) is (parts == "lora")


def test_recipes_of_sams_are_their_own(tmp_path: Path) -> None:
    def made(**options: Any) -> Recipe:
        job = training.TrainJob((tmp_path,), tmp_path / "mine.safetensors", **options)
        return job.make_recipe()

    assert made(model="mobile_sam").parts == "decoder"
    assert made(model="mobile_sam").frame == "fixed"
    assert made(model="sam_vit_b", parts="lora").frame == "whole"
    assert made(model="sam_vit_b", parts="all").parts == "all"
    assert made().frame == "cut"


def test_weights_that_are_not_here_are_named(
    run: Run, dataset: Path, tmp_path: Path
) -> None:
    out = tmp_path / "mine.safetensors"
    code, _, stderr = run("train", dataset, "--model", "sam_vit_b", "--out", out)
    assert code == 1
    assert "models download sam_vit_b" in stderr and "--init" in stderr


def test_an_unknown_model_is_refused(run: Run, dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine.safetensors"
    code, _, stderr = run("train", dataset, "--model", "sam_9", "--out", out)
    assert code == 1 and "sam_9" in stderr


def test_pocket_has_nothing_for_lora(run: Run, dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine.safetensors"
    code, _, stderr = run("train", dataset, "--parts", "lora", "--out", out)
    assert code == 1 and "no attention that LoRA could adapt" in stderr


def test_an_existing_file_is_not_replaced(
    run: Run, dataset: Path, tmp_path: Path
) -> None:
    out = tmp_path / "mine.safetensors"
    out.write_bytes(b"precious")
    code, _, stderr = run("train", dataset, "--out", out)
    assert code == 1 and "exists; give another --out" in stderr
    assert out.read_bytes() == b"precious"


def test_nothing_to_resume(run: Run, small: None, dataset: Path, recipe: Path) -> None:
    out = dataset / "mine.safetensors"
    code, _, stderr = run(
        "train", dataset, "--recipe", recipe, "--out", out, "--resume"
    )
    assert code == 1 and "start without --resume" in stderr


def test_missing_weights_are_named(
    run: Run,
    dataset: Path,
    recipe: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(weights, "find_checkpoint", lambda _: None)
    out = tmp_path / "mine.safetensors"
    code, _, stderr = run("train", dataset, "--recipe", recipe, "--out", out)
    assert code == 1
    assert "--init" in stderr and "--from-scratch" in stderr


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        ("labels", "No image in"),
        ("shape", "as large as the image"),
        ("empty", "ids above 0"),
        ("folder", "is no data set"),
    ],
)
def test_unusable_data_are_refused(
    run: Run, dataset: Path, tmp_path: Path, damage: str, words: str
) -> None:
    for path in sorted((dataset / "labels").iterdir()):
        if damage in ("labels", "folder"):
            path.unlink()
        else:
            side = 70 if damage == "shape" else 80
            imageio.imwrite(path, np.full((side, side), damage == "shape", np.uint8))
    if damage == "folder":
        (dataset / "labels").rmdir()
    code, _, stderr = run("train", dataset, "--out", tmp_path / "mine.safetensors")
    assert code == 1
    assert words in stderr and "Traceback" not in stderr


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("--out", "mine.pt"), "must end in .safetensors"),
        (("--out", "a.safetensors", "--init", "b", "--from-scratch"), "not both"),
        (("--out", "a.safetensors", "--parts", "neck"), "'neck'"),
        (("--out", "a.safetensors", "--axis", "3"), "--axis"),
        (("--out", "a.safetensors", "--steps", "0"), "--steps"),
    ],
)
def test_wrong_usage(
    run: Run, dataset: Path, options: tuple[str, ...], words: str
) -> None:
    code, _, stderr = run("train", dataset, *options)
    assert code == 2 and words in stderr


def test_an_unknown_recipe_is_refused(run: Run, dataset: Path, tmp_path: Path) -> None:
    out = tmp_path / "mine.safetensors"
    code, _, stderr = run("train", dataset, "--recipe", "soup", "--out", out)
    assert code == 1 and "soup is not a readable recipe" in stderr


def test_the_recipe_of_the_bundled_weights_names_its_data(
    run: Run, dataset: Path, tmp_path: Path
) -> None:
    out = tmp_path / "mine.safetensors"
    code, _, stderr = run("train", dataset, "--recipe", "pocket", "--out", out)
    assert code == 1 and "dsb2018_fluo" in stderr
