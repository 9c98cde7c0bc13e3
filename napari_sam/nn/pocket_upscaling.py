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
    batch, _, height, width = x.shape
    children = functional.linear(x.permute(0, 2, 3, 1), weight, bias)
    children = children.view(batch, height, width, 2, 2, -1).transpose(2, 3)
    skip = skip.permute(0, 2, 3, 1).reshape(batch, height, 2, width, 2, -1)
    return (
        (skip + children).reshape(batch, 2 * height, 2 * width, -1).permute(0, 3, 1, 2)
    )
