"""SAM's ViT image encoders: timm's modules under SAM's key names, with faster blocks.

Li et al., "Exploring Plain Vision Transformer Backbones for Object Detection" (2022),
with the neck of Kirillov et al., "Segment Anything" (2023).
"""

from __future__ import annotations

from typing import Any

import timm
import torch
import torch.nn.functional as functional
from timm.models.vision_transformer_sam import Block, VisionTransformerSAM
from torch import Tensor, nn

from napari_sam.nn.attention import attend

# Tokens that go through an MLP at a time.
TOKENS = 1024


class FeedForward(nn.Module):
    """A block's MLP, under SAM's key names and timm's argument names."""

    def __init__(
        self,
        in_features: int,
        hidden_features: int,
        act_layer: type[nn.Module],
        **_unused: Any,
    ) -> None:
        super().__init__()
        self.lin1 = nn.Linear(in_features, hidden_features)
        self.lin2 = nn.Linear(hidden_features, in_features)
        self.act = act_layer()

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., C) to (..., C), some tokens at a time."""
        # All tokens' hidden layer at once would be the largest tensor of the model.
        parts = x.reshape(-1, x.shape[-1]).split(TOKENS)
        out = [self.lin2(self.act(self.lin1(part))) for part in parts]
        return torch.cat(out).reshape(x.shape)


class ViTBlock(Block):
    """timm's block with its attention in bounded memory."""

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, H, W, C) to (B, H, W, C)."""
        normed = self.norm1(x)
        if self.window_size:
            attended = self._attend_windows(normed, self.window_size)
        else:
            attended = self._attend(normed)
        x = x + self.attn.proj(attended)
        return x + self.mlp(self.norm2(x))

    def _attend(self, x: Tensor) -> Tensor:
        attention = self.attn
        batch, height, width, channels = x.shape
        qkv = attention.qkv(x.reshape(batch, height * width, channels))
        heads = qkv.unflatten(2, (3, attention.num_heads, -1)).permute(2, 0, 3, 1, 4)
        # One copy here instead of one for every block of queries.
        q, k, v = heads.contiguous().unbind(0)
        size = (height, width)
        out = attend(q, k, v, attention.rel_pos_h, attention.rel_pos_w, size)
        return out.reshape(x.shape)

    def _attend_windows(self, x: Tensor, side: int) -> Tensor:
        batch, height, width, channels = x.shape
        # SAM pads with zeros behind the norm, and attends to the padding.
        padded = functional.pad(x, (0, 0, 0, -width % side, 0, -height % side))
        rows, cols = padded.shape[1] // side, padded.shape[2] // side
        split = padded.reshape(batch, rows, side, cols, side, channels)
        windows = split.transpose(2, 3).reshape(-1, side, side, channels)
        out = self._attend(windows).reshape(batch, rows, cols, side, side, channels)
        out = out.transpose(2, 3).reshape(padded.shape)
        return out[:, :height, :width]


def build_vit_encoder(name: str, **changes: Any) -> VisionTransformerSAM:
    """Build one of timm's SAM encoders with random weights.

    Parameters
    ----------
    name : str
        ``"samvit_base_patch16"``, ``"samvit_large_patch16"`` or
        ``"samvit_huge_patch16"``.
    **changes
        Other sizes than the named ones, as timm takes them; for tests.

    Returns
    -------
    VisionTransformerSAM
        Maps images (B, 3, 1024, 1024) to embeddings (B, 256, 64, 64).
    """
    encoder: VisionTransformerSAM = timm.create_model(
        name,
        num_classes=0,
        global_pool="",
        block_fn=ViTBlock,
        mlp_layer=FeedForward,
        **changes,
    )
    return encoder
