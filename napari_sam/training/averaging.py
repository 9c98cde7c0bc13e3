"""Which parameters are fitted and how, and the average of the weights."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from napari_sam.nn.lora import is_lora
from napari_sam.training.learner import Learner
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
            if old.data_ptr() == new.data_ptr():
                continue  # frozen, and shared by the two models
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


def freeze(model: Learner, recipe: Recipe) -> None:
    """Let gradients reach only the parts that a recipe fits."""
    model.requires_grad_(True)
    if recipe.parts == "all":
        return
    for name, parameter in model.image_encoder.named_parameters():
        parameter.requires_grad = recipe.parts == "lora" and is_lora(name)


def frozen_keys(model: Learner, recipe: Recipe) -> set[str]:
    """Keys of a model's state dict that a run leaves as they are."""
    keys = {name for name, each in model.named_parameters() if not each.requires_grad}
    if recipe.parts != "all":
        buffers = model.image_encoder.named_buffers(prefix="image_encoder")
        keys |= {name for name, _ in buffers}
    return keys


def training_mode(model: Learner, recipe: Recipe) -> None:
    """Put a model into training mode, but for the parts that stay as they are."""
    model.train()
    if recipe.parts != "all":
        model.image_encoder.eval()
    if recipe.frozen_norm:
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.eval()
