"""The ViT encoders give the reference implementation's embeddings."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from segment_anything import sam_model_registry
from segment_anything.modeling import ImageEncoderViT
from torch import Tensor, nn

from napari_sam.nn import attention
from napari_sam.nn.image_encoder import build_vit_encoder
from napari_sam.nn.sam import build_sam_vit_b, build_sam_vit_h, build_sam_vit_l

TOLERANCE = 1e-4
TIMM_NAMES = {
    "vit_b": "samvit_base_patch16",
    "vit_l": "samvit_large_patch16",
    "vit_h": "samvit_huge_patch16",
}
WIDTHS = {"vit_b": (768, 12), "vit_l": (1024, 16), "vit_h": (1280, 16)}
BUILDERS = {
    "vit_b": build_sam_vit_b,
    "vit_l": build_sam_vit_l,
    "vit_h": build_sam_vit_h,
}


def randomise(module: nn.Module) -> None:
    """Give every parameter that starts as zeros a value, so that it is tested."""
    torch.manual_seed(0)
    for name, parameter in module.named_parameters():
        if "rel_pos" in name or "pos_embed" in name or name.endswith("bias"):
            nn.init.normal_(parameter, std=0.1)


def reference_encoder(**sizes: Any) -> ImageEncoderViT:
    norm = partial(nn.LayerNorm, eps=1e-6)
    encoder = ImageEncoderViT(
        norm_layer=norm, use_rel_pos=True, window_size=14, **sizes
    ).eval()
    randomise(encoder)
    return encoder


def cut_pair(family: str, size: int = 320) -> tuple[nn.Module, nn.Module]:
    """Two blocks, one with windows and one without, of a family's width."""
    width, heads = WIDTHS[family]
    cut: dict[str, Any] = {"img_size": size, "depth": 2, "global_attn_indexes": [1]}
    reference = reference_encoder(embed_dim=width, num_heads=heads, **cut)
    ours = build_vit_encoder(TIMM_NAMES[family], **cut).eval()
    ours.load_state_dict(reference.state_dict(), strict=True)
    return ours, reference


@torch.no_grad()
def largest_difference(ours: nn.Module, reference: nn.Module, x: Tensor) -> float:
    return float((ours(x) - reference(x)).abs().max())


@pytest.mark.slow
def test_vit_b_at_full_size() -> None:
    reference = sam_model_registry["vit_b"]()
    randomise(reference)
    ours = build_sam_vit_b()
    ours.load_state_dict(reference.state_dict(), strict=True)
    x = torch.randn(1, 3, 1024, 1024)
    # Without gradients: their activations would take 12 GB.
    with torch.no_grad():
        expected = reference.image_encoder(x)
        found = ours.encode_image(x)
    assert expected.std() > 0.5
    assert (found - expected).abs().max() <= TOLERANCE


@pytest.mark.parametrize("family", WIDTHS)
def test_cut_depth(family: str) -> None:
    # 20 x 20 cells: the windows of 14 x 14 reach over the edge.
    ours, reference = cut_pair(family)
    x = torch.randn(2, 3, 320, 320)
    assert largest_difference(ours, reference, x) <= TOLERANCE


def test_relative_position_matters() -> None:
    ours, reference = cut_pair("vit_b")
    with torch.no_grad():
        ours.blocks[1].attn.rel_pos_h.zero_()
    assert largest_difference(ours, reference, torch.randn(1, 3, 320, 320)) > 1e-2


@pytest.mark.parametrize("block", [1, 400 * 20 * 3, 400 * 400 * 5])
def test_blocks_of_any_size_give_the_same(
    block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    # One row of queries, three rows, and five heads at a time.
    monkeypatch.setattr(attention, "CPU_BLOCK", block)
    ours, reference = cut_pair("vit_b")
    x = torch.randn(2, 3, 320, 320)
    assert largest_difference(ours, reference, x) <= TOLERANCE


def test_bfloat16_is_near() -> None:
    ours, reference = cut_pair("vit_b")
    x = torch.randn(1, 3, 320, 320)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        reduced = ours(x)
    with torch.no_grad():
        error = (reduced.float() - reference(x)).abs()
    # Of values with standard deviation 1; bfloat16 has 8 bits.
    assert error.max() < 0.1
    assert error.mean() < 0.01


def test_gradients_reach_every_parameter() -> None:
    ours, _ = cut_pair("vit_b", size=224)
    ours(torch.randn(1, 3, 224, 224)).square().sum().backward()
    assert all(parameter.grad is not None for parameter in ours.parameters())


@pytest.mark.parametrize("family", WIDTHS)
def test_official_keys_and_shapes(family: str) -> None:
    with torch.device("meta"):
        expected = sam_model_registry[family]().state_dict()
        model = BUILDERS[family]()
    assert {key: value.shape for key, value in model.state_dict().items()} == {
        key: value.shape for key, value in expected.items()
    }
    model.load_state_dict(expected, strict=True, assign=True)
