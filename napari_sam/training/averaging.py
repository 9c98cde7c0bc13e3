"""Which parameters are fitted and how, and the average of the weights."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from napari_sam.nn.pocket import Pocket
from napari_sam.training.recipe import Recipe

Tensors = tuple[Tensor, ...] | list[Tensor]


def moving_average(
    decay: float,
) -> Callable[[Tensors, Tensors, Tensor | int], None]:
    """An exponential moving average that forgets the first steps fast."""

    @torch.no_grad()
    def update(averaged: Tensors, current: Tensors, count: Tensor | int) -> None:
        weight = 1 - min(decay, (1 + float(count)) / (10 + float(count)))
        for old, new in zip(averaged, current, strict=True):
            if old.is_floating_point():
                old.lerp_(new, weight)
            else:
                old.copy_(new)

    return update


def parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Matrices decay; biases, norms and embeddings of one vector do not."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]


def freeze(model: Pocket, recipe: Recipe) -> None:
    """Let gradients reach only the parts that a recipe fits."""
    model.requires_grad_(True)
    if recipe.parts == "decoder":
        model.image_encoder.requires_grad_(False)


def training_mode(model: Pocket, recipe: Recipe) -> None:
    """Put a model into training mode, but for the parts that stay as they are."""
    model.train()
    if recipe.parts == "decoder":
        model.image_encoder.eval()
    if recipe.frozen_norm:
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
