"""Low-rank adapters: fit a large encoder by a few numbers beside its own.

Hu et al., "LoRA: Low-Rank Adaptation of Large Language Models" (2021). A linear layer W
becomes W + B A with B and A thin, B zero at first, and W is left as it is. The product
is added to W at the end, so that the result is an ordinary checkpoint.
"""

from __future__ import annotations

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from napari_sam.errors import ModelError

# Of an attention: what makes queries, keys and values, and what mixes its heads.
ADAPTED = ("qkv", "proj")
DOWN, UP = "lora_down", "lora_up"


class LoraLinear(nn.Linear):
    """A linear layer with an adapter beside it, under the layer's own key names.

    Parameters
    ----------
    base : nn.Linear
        Its parameters are shared, not copied.
    rank : int
        Width of the adapter.
    """

    def __init__(self, base: nn.Linear, rank: int) -> None:
        super().__init__(base.in_features, base.out_features, device="meta")
        self.weight, self.bias = base.weight, base.bias
        down = torch.randn(rank, base.in_features) * base.in_features**-0.5
        self.lora_down = nn.Parameter(down)
        self.lora_up = nn.Parameter(torch.zeros(base.out_features, rank))

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., in_features) to (..., out_features)."""
        thin = functional.linear(x, self.lora_down)
        return super().forward(x) + functional.linear(thin, self.lora_up)


def add_lora(encoder: nn.Module, rank: int) -> None:
    """Put adapters beside the linear layers of an encoder's attentions, in place.

    Parameters
    ----------
    encoder : nn.Module
    rank : int

    Raises
    ------
    ModelError
        It has no attention.
    """
    attentions = [
        module
        for module in encoder.modules()
        if all(isinstance(getattr(module, name, None), nn.Linear) for name in ADAPTED)
    ]
    if not attentions:
        raise ModelError(
            "The image encoder of this model has no attention that LoRA could adapt:"
            " fit the decoder or all parts."
        )
    for attention in attentions:
        for name in ADAPTED:
            setattr(attention, name, LoraLinear(getattr(attention, name), rank))


def is_lora(key: str) -> bool:
    """Whether a key of a state dict is of an adapter."""
    return key.endswith((f".{DOWN}", f".{UP}"))


def merge_lora(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Add adapters to the weights they stand beside.

    Parameters
    ----------
    state : dict of str to Tensor
        Left as it is.

    Returns
    -------
    dict of str to Tensor
        Under the keys that the model has without adapters.
    """
    merged = {key: value for key, value in state.items() if not is_lora(key)}
    for key, up in state.items():
        if key.endswith(f".{UP}"):
            layer = key.removesuffix(f".{UP}")
            change = up.float() @ state[f"{layer}.{DOWN}"].float()
            weight = merged[f"{layer}.weight"]
            merged[f"{layer}.weight"] = (weight.float() + change).to(weight.dtype)
    return merged
