"""Training teaches, and an interrupted run ends where an uninterrupted one does."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from napari_sam.errors import CheckpointError, DataError
from napari_sam.nn.pocket import Pocket
from napari_sam.training.recipe import Recipe
from napari_sam.training.trainer import Progress, Trainer
from napari_sam.training.validation import Validation

from .conftest import DiscSource

Build = Callable[[], Pocket]


def farthest(one: dict[str, Tensor], other: dict[str, Tensor]) -> float:
    """Largest difference of any weight."""
    return max(
        float((one[key].float() - other[key].float()).abs().max()) for key in one
    )


def copied(model: Pocket) -> dict[str, Tensor]:
    return {key: value.clone() for key, value in model.state_dict().items()}


@pytest.fixture
def validation(discs: DiscSource, recipe: Recipe) -> Validation:
    rng = np.random.default_rng(99)
    return Validation([discs.draw(rng) for _ in range(3)], recipe, windows=6)


def test_training_lowers_the_loss_and_raises_the_iou(
    discs: DiscSource, recipe: Recipe, small_model: Build, validation: Validation
) -> None:
    seen: list[Progress] = []
    recipe = replace(recipe, steps=40, validate_every=20)
    trainer = Trainer(small_model(), discs, recipe, validation=validation)
    trainer.run(report=seen.append, report_every=1)
    assert [progress.step for progress in seen] == list(range(1, 41))
    # Running means, so they lag behind.
    assert seen[-1].loss < 0.9 * seen[0].loss
    assert seen[-1].first_iou > seen[0].first_iou
    assert [step for step, _ in trainer.history] == [0, 20, 40]
    assert trainer.history[-1][1] > trainer.history[0][1] + 0.1


def test_a_resumed_run_ends_like_one_in_one_go(
    discs: DiscSource,
    recipe: Recipe,
    small_model: Build,
    validation: Validation,
    tmp_path: Path,
) -> None:
    recipe = replace(recipe, steps=6, validate_every=2)
    whole = Trainer(small_model(), discs, recipe, validation=validation)
    whole.run()
    parts = [
        Trainer(small_model(), discs, recipe, tmp_path / "run.state.pt", validation)
        for _ in range(2)
    ]

    def stop(progress: Progress) -> None:
        if progress.step == 3:
            parts[0].save_state()
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        parts[0].run(report=stop, report_every=1)
    torch.manual_seed(77)
    parts[1].resume()
    assert parts[1].step == 3
    parts[1].run()
    assert parts[1].step == whole.step == 6
    assert farthest(parts[1].averaged_state(), whole.averaged_state()) < 1e-5
    assert farthest(parts[1].best_state(), whole.best_state()) < 1e-5
    steps, ious = zip(*parts[1].history, strict=True)
    assert steps == (0, 2, 4, 6)
    assert ious == pytest.approx([iou for _, iou in whole.history], abs=1e-5)
    assert parts[1].progress().loss == pytest.approx(whole.progress().loss, abs=1e-5)


def test_the_decoder_alone(
    discs: DiscSource, recipe: Recipe, small_model: Build
) -> None:
    model = small_model()
    before = copied(model)
    trainer = Trainer(model, discs, replace(recipe, steps=3, parts="decoder"))
    trainer.run()
    after = model.state_dict()
    moved = {key for key in before if not torch.equal(before[key], after[key])}
    assert not [key for key in moved if key.startswith("image_encoder.")]
    assert {key.split(".")[0] for key in moved} == {"prompt_encoder", "mask_decoder"}
    for key in before:
        if key.startswith("image_encoder."):
            assert torch.equal(before[key], trainer.averaged_state()[key])


def test_frozen_norms_keep_their_statistics(
    discs: DiscSource, recipe: Recipe, small_model: Build
) -> None:
    for frozen in (True, False):
        model = small_model()
        before = copied(model)
        Trainer(model, discs, replace(recipe, steps=2, frozen_norm=frozen)).run()
        key = "image_encoder.fuse8.1.running_mean"
        assert torch.equal(before[key], model.state_dict()[key]) is frozen


class Falling(Validation):
    """Finds the weights worse and worse."""

    def __init__(self) -> None:
        self.calls = 0

    def one_click_iou(self, model: Pocket) -> float:
        self.calls += 1
        return 1 / self.calls


def test_a_run_that_gets_worse_stops_and_keeps_its_start(
    discs: DiscSource, recipe: Recipe, small_model: Build
) -> None:
    model = small_model()
    before = copied(model)
    recipe = replace(recipe, validate_every=1, patience=2)
    trainer = Trainer(model, discs, recipe, validation=Falling())
    trainer.run()
    assert trainer.step == 2 and trainer.best_step == 0
    assert farthest(before, trainer.best_state()) == 0
    assert farthest(before, trainer.averaged_state()) > 0


def test_hours_end_a_run(discs: DiscSource, recipe: Recipe, small_model: Build) -> None:
    trainer = Trainer(small_model(), discs, recipe)
    trainer.seconds = 3600.0
    trainer.run(hours=1.0)
    assert trainer.step == 0


def test_validation_is_the_same_each_time_and_notices_weights(
    validation: Validation, small_model: Build
) -> None:
    model = small_model()
    first = validation.one_click_iou(model)
    assert validation.one_click_iou(model) == first
    assert 0 <= first <= 1
    with torch.no_grad():
        for network in model.mask_decoder.output_hypernetworks_mlps:
            for parameter in network.layers[-1].parameters():
                parameter.neg_()  # turns every mask inside out
    assert validation.one_click_iou(model) != first


def test_windows_of_another_size_are_refused(
    discs: DiscSource, small_model: Build
) -> None:
    with pytest.raises(DataError, match=r"windows of 256 pixels.*takes 64"):
        Trainer(small_model(), discs, Recipe())


def test_nothing_to_resume(
    discs: DiscSource, recipe: Recipe, small_model: Build, tmp_path: Path
) -> None:
    trainer = Trainer(small_model(), discs, recipe, tmp_path / "run.state.pt")
    with pytest.raises(CheckpointError, match="no saved run"):
        trainer.resume()


@pytest.mark.parametrize("content", [b"", b"nonsense", b"PK\x03\x04 cut off"])
def test_a_damaged_state_is_refused(
    discs: DiscSource,
    recipe: Recipe,
    small_model: Build,
    tmp_path: Path,
    content: bytes,
) -> None:
    path = tmp_path / "run.state.pt"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="not the state of this run"):
        Trainer(small_model(), discs, recipe, path).resume()


def test_the_state_of_another_run_is_refused(
    discs: DiscSource, recipe: Recipe, small_model: Build, tmp_path: Path
) -> None:
    path = tmp_path / "run.state.pt"
    Trainer(small_model(), discs, recipe, path, identity={"steps": 3}).save_state()
    other = Trainer(small_model(), discs, recipe, path, identity={"steps": 4})
    with pytest.raises(CheckpointError, match="steps 3, not 4"):
        other.resume()
    wider = Trainer(Pocket(width=48, window=64), discs, recipe, path)
    with pytest.raises(CheckpointError, match="not the state of this run"):
        wider.resume()
