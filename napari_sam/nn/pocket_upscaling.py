"""The step that doubles the size of `pocket`'s features."""

from __future__ import annotations

import torch.nn.functional as functional
from torch import Tensor


def double(x: Tensor, weight: Tensor, bias: Tensor, skip: Tensor) -> Tensor:
    """Apply a 2x2 transposed convolution and add a skip.

    The sum puts the children in their places: rearranging them first would be slower
    than the layer itself.

    Parameters
    ----------
    x : Tensor
        (B, C, H, W).
    weight, bias : Tensor
        From `napari_sam.nn.mask_decoder.children_weights`.
    skip : Tensor
        (B, C', 2 H, 2 W).

    Returns
    -------
    Tensor
        (B, C', 2 H, 2 W), channels last.
    """
    placed = places(skip) + children(x, weight, bias)
    return placed.flatten(3, 4).flatten(1, 2).permute(0, 3, 1, 2)


def children(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """Give each cell of (B, C, H, W) its children, (B, H, 2, W, 2, C')."""
    values = functional.linear(x.permute(0, 2, 3, 1), weight, bias)
    return values.unflatten(3, (2, 2, -1)).transpose(2, 3)


def places(x: Tensor) -> Tensor:
    """View a map (B, C', 2 H, 2 W) as the places of children, (B, H, 2, W, 2, C')."""
    return x.permute(0, 2, 3, 1).unflatten(2, (-1, 2)).unflatten(1, (-1, 2))
