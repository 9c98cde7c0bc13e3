"""The number type of training."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from napari_sam.training import rounds
from napari_sam.training.recipe import Recipe


@pytest.mark.parametrize(
    ("wanted", "fastest", "used"),
    [
        (True, torch.bfloat16, torch.bfloat16),
        # An imitated bfloat16 made a step eight times as long.
        (True, torch.float32, torch.float32),
        (False, torch.bfloat16, torch.float32),
    ],
)
def test_bfloat16_only_where_the_cpu_is_faster_with_it(
    monkeypatch: pytest.MonkeyPatch,
    wanted: bool,
    fastest: torch.dtype,
    used: torch.dtype,
) -> None:
    monkeypatch.setattr(rounds, "choose_dtype", lambda _name, _device: fastest)
    recipe = replace(Recipe.named("pocket"), bfloat16=wanted)
    with rounds.autocast(recipe):
        product = torch.ones(2, 2) @ torch.ones(2, 2)
    assert product.dtype == used
