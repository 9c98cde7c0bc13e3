"""MobileSAM's image encoder: timm's TinyViT with its last stage at stride 16.

Wu et al., "TinyViT" (2022); Zhang et al., "Faster Segment Anything" (2023). timm's
modules are rearranged under MobileSAM's key names, and batch norms are folded into
their convolutions while predicting.
"""

from __future__ import annotations

from collections import OrderedDict

import timm
import torch
import torch.nn.functional as functional
from timm.models.tiny_vit import ConvNorm
from torch import Tensor, nn

from napari_sam.nn.prompt_encoder import LayerNorm2d

EMBED_DIM = 256
# The classifier that TinyViT was trained with; checkpoints still hold its weights.
NUM_CLASSES = 1000


class ConvBatchNorm(nn.Module):
    """A convolution without bias and a batch norm, one step while predicting."""

    def __init__(self, source: ConvNorm) -> None:
        super().__init__()
        self.c = source.conv
        self.bn = source.bn

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C', H', W')."""
        if self.training:
            return self.bn(self.c(x))
        conv, norm = self.c, self.bn
        gain = norm.weight * torch.rsqrt(norm.running_var + norm.eps)
        return functional.conv2d(
            x,
            conv.weight * gain[:, None, None, None],
            norm.bias - norm.running_mean * gain,
            conv.stride,
            conv.padding,
            groups=conv.groups,
        )


class Stage(nn.Module):
    """Blocks, then the step to the next stage: MobileSAM's grouping."""

    def __init__(self, blocks: nn.Module, downsample: nn.Module | None) -> None:
        super().__init__()
        self.blocks = blocks
        self.downsample = downsample


class TinyViTEncoder(nn.Module):
    """Map images (B, 3, S, S) to embeddings (B, 256, S / 16, S / 16)."""

    def __init__(self) -> None:
        super().__init__()
        model = timm.create_model("tiny_vit_5m_224", num_classes=0)
        # MobileSAM keeps stride 16 where TinyViT goes on to 32.
        model.stages[3].downsample.conv2.conv.stride = (1, 1)
        _fold_norms(model)
        stem = model.patch_embed
        self.patch_embed = nn.Sequential(
            OrderedDict(seq=nn.Sequential(stem.conv1, stem.act, stem.conv2))
        )
        stages = list(model.stages)
        steps = [stage.downsample for stage in stages[1:]] + [None]
        self.layers = nn.ModuleList(
            Stage(stage.blocks, step) for stage, step in zip(stages, steps, strict=True)
        )
        width = model.num_features
        self.norm_head = nn.LayerNorm(width)
        self.head = nn.Linear(width, NUM_CLASSES)
        self.neck = nn.Sequential(
            nn.Conv2d(width, EMBED_DIM, 1, bias=False),
            LayerNorm2d(EMBED_DIM),
            nn.Conv2d(EMBED_DIM, EMBED_DIM, 3, padding=1, bias=False),
            LayerNorm2d(EMBED_DIM),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Embed images (B, 3, S, S), normalised."""
        # Channels last: the convolutions' and the attention's layout are the same.
        x = self.patch_embed(x.contiguous(memory_format=torch.channels_last))
        for index, layer in enumerate(self.layers):
            # Blocks of the first stage are convolutions, (B, C, H, W); then attention
            # with channels last, (B, H, W, C).
            if index:
                x = layer.blocks(x.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
            else:
                x = layer.blocks(x)
            if layer.downsample is not None:
                x = layer.downsample(x)
        return self.neck(x)


def _fold_norms(module: nn.Module) -> None:
    """Replace every ConvNorm below ``module``."""
    for name, child in module.named_children():
        if isinstance(child, ConvNorm):
            setattr(module, name, ConvBatchNorm(child))
        else:
            _fold_norms(child)
