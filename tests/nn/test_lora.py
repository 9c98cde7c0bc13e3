"""Adapters change nothing at first, and can be merged into what they stand beside."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from napari_sam.errors import ModelError
from napari_sam.nn.image_encoder import build_vit_encoder
from napari_sam.nn.lora import LoraLinear, add_lora, is_lora, merge_lora
from napari_sam.nn.pocket_encoder import PocketImageEncoder
from napari_sam.nn.tiny_vit import TinyViTEncoder

SIZES = {"embed_dim": 32, "depth": 2, "num_heads": 2, "global_attn_indexes": (1,)}


def small_encoder() -> nn.Module:
    torch.manual_seed(0)
    encoder = build_vit_encoder("samvit_base_patch16", img_size=64, **SIZES)
    return encoder.eval()


@torch.no_grad()
def test_adapters_start_at_nothing_and_merge_to_the_same_output() -> None:
    images = torch.randn(1, 3, 64, 64)
    encoder = small_encoder()
    before, keys = encoder(images), set(encoder.state_dict())
    add_lora(encoder, rank=3)
    assert torch.equal(encoder(images), before)
    for name, parameter in encoder.named_parameters():
        if is_lora(name):
            parameter.add_(0.3 * torch.randn_like(parameter))
    adapted = encoder(images)
    assert (adapted - before).abs().max() > 0.01
    merged = merge_lora(encoder.state_dict())
    assert set(merged) == keys
    plain = small_encoder()
    plain.load_state_dict(merged)
    assert torch.allclose(plain(images), adapted, atol=1e-5)


def test_the_adapters_are_beside_all_attentions() -> None:
    encoder = small_encoder()
    add_lora(encoder, rank=3)
    adapted = [m for m in encoder.modules() if isinstance(m, LoraLinear)]
    assert len(adapted) == 2 * SIZES["depth"]
    assert {tuple(m.lora_down.shape) for m in adapted} == {(3, 32)}
    assert {tuple(m.lora_up.shape) for m in adapted} == {(96, 3), (32, 3)}


def test_merging_leaves_other_state_dicts_alone() -> None:
    state = small_encoder().state_dict()
    merged = merge_lora(state)
    assert all(merged[key] is value for key, value in state.items())


def test_tiny_vit_has_attention_too() -> None:
    encoder = TinyViTEncoder()
    add_lora(encoder, rank=1)
    assert any(is_lora(key) for key in encoder.state_dict())


def test_an_encoder_without_attention_is_refused() -> None:
    with pytest.raises(ModelError, match="no attention that LoRA"):
        add_lora(PocketImageEncoder(32), rank=4)
