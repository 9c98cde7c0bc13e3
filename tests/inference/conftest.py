"""A SAM of two small blocks, with random weights that make masks worth comparing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import nn

from napari_sam.nn.image_encoder import build_vit_encoder
from napari_sam.nn.sam import Sam, assemble_sam

SIZES: dict[str, Any] = {
    "depth": 2,
    "embed_dim": 48,
    "num_heads": 2,
    "global_attn_indexes": (1,),
}


@pytest.fixture(scope="session")
def small_sizes() -> dict[str, Any]:
    """Sizes of the small encoder, under names that the reference takes too."""
    return SIZES


@pytest.fixture(scope="session")
def randomise_weights() -> Callable[[nn.Module], None]:
    """Return a function that makes a new model's masks worth comparing."""
    return randomise


def randomise(model: nn.Module) -> None:
    """Fill in weights that start at zero, and make the masks less faint."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "rel_pos" in name or name.endswith("pos_embed"):
                weight.copy_(0.1 * torch.randn(weight.shape, generator=generator))
            elif "hypernetworks" in name and name.endswith("2.weight"):
                weight.mul_(8)


@pytest.fixture(scope="session")
def build_small_sam() -> Callable[[int], Sam]:
    """Return a function that builds a small model for an input of a side."""

    def build(image_size: int) -> Sam:
        torch.manual_seed(0)
        encoder = build_vit_encoder("samvit_base_patch16", img_size=image_size, **SIZES)
        model = assemble_sam(encoder, image_size)
        randomise(model)
        model.name = "small_sam"
        return model

    return build


@pytest.fixture(scope="session")
def small_sam(build_small_sam: Callable[[int], Sam]) -> Sam:
    """A model of this package, on the CPU, in float32, with an input of 256 pixels."""
    return build_small_sam(256)


@pytest.fixture(scope="session")
def textured() -> Callable[..., NDArray[np.uint8]]:
    """Return a function that makes an RGB image with structure at several scales."""

    def make(shape: tuple[int, int], seed: int = 0) -> NDArray[np.uint8]:
        generator = np.random.default_rng(seed)
        image = generator.integers(0, 64, (*shape, 3))
        for cells in (3, 9, 27):
            coarse = generator.integers(0, 64, (cells, cells, 3))
            rows, cols = (np.arange(side) * cells // side for side in shape)
            image = image + coarse[np.ix_(rows, cols)]
        return image.astype(np.uint8)

    return make
