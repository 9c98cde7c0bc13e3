"""Encoding without gradients: the same features, by convolutions that do the norms."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from napari_sam.nn.pocket import Pocket
from napari_sam.nn.pocket_encoder import PocketFeatures
from napari_sam.nn.registry import create_model

PARTS = ("embedding", "skip4", "skip2", "dense")


@pytest.fixture
def model() -> Pocket:
    torch.manual_seed(0)
    model = Pocket(width=32, window=64).eval()
    for each in model.image_encoder.modules():
        if isinstance(each, nn.BatchNorm2d):
            nn.init.uniform_(each.running_mean, -1, 1)
            nn.init.uniform_(each.running_var, 0.5, 2)
    return model


def largest_difference(one: PocketFeatures, other: PocketFeatures) -> float:
    return max(
        float((getattr(one, part) - getattr(other, part)).abs().max()) for part in PARTS
    )


@torch.no_grad()
def test_features_are_those_of_the_plain_encoder(model: Pocket) -> None:
    bundled: Pocket = create_model("pocket", device="cpu", dtype="float32")  # type: ignore[assignment]
    for each, size in ((model, (64, 96)), (bundled, (256, 320))):
        windows = torch.rand(2, 3, *size)
        plain = each.image_encoder(windows)
        assert largest_difference(each.encode(windows), plain) < 1e-4


@torch.no_grad()
def test_the_model_keeps_its_own_weights(model: Pocket) -> None:
    before = {name: value.clone() for name, value in model.state_dict().items()}
    model.encode(torch.rand(1, 3, 64, 64))
    after = model.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], before[name]) for name in before)


@torch.no_grad()
def test_encoding_draws_no_random_numbers(model: Pocket) -> None:
    windows, state = torch.rand(1, 3, 64, 64), torch.get_rng_state()
    model.encode(windows)
    assert torch.equal(torch.get_rng_state(), state)


@torch.no_grad()
def test_new_weights_and_new_statistics_are_noticed(model: Pocket) -> None:
    windows = torch.rand(1, 3, 64, 64)
    first = model.encode(windows)
    other = Pocket(width=32, window=64).eval()
    model.image_encoder.load_state_dict(other.image_encoder.state_dict())
    assert largest_difference(model.encode(windows), first) > 1e-2
    norm = next(m for m in model.modules() if isinstance(m, nn.BatchNorm2d))
    norm.running_mean.add_(1.0)
    changed = model.encode(windows)
    assert largest_difference(changed, model.image_encoder(windows)) < 1e-4
    # Moving them writes nothing, but what was derived would stay behind.
    assert model._folded is not None
    assert model.double()._folded is None


@torch.no_grad()
def test_hooks_reach_what_runs_and_do_not_stay(model: Pocket) -> None:
    seen: list[nn.Module] = []
    hooks = [
        each.register_forward_pre_hook(lambda layer, _: seen.append(layer))
        for each in model.running_layers()
    ]
    model.encode(torch.rand(1, 3, 64, 64))
    convolutions = [each for each in seen if isinstance(each, nn.Conv2d)]
    assert len(convolutions) > 30
    for each in hooks:
        each.remove()
    # New weights are folded while somebody looks at the old ones.
    hook = model.image_encoder.register_forward_pre_hook(lambda *_: seen.clear())
    next(model.image_encoder.parameters()).mul_(1.1)
    model.encode(torch.rand(1, 3, 64, 64))
    hook.remove()
    assert seen


def test_training_goes_through_the_weights_themselves(model: Pocket) -> None:
    windows = torch.rand(2, 3, 64, 64)
    model.encode(windows).dense.sum().backward()
    assert model._folded is None
    assert all(p.grad is not None for p in model.image_encoder.stages.parameters())
    model.train()
    with torch.no_grad():
        model.encode(windows)
    assert model._folded is None
