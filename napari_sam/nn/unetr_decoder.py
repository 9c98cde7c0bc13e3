"""micro-sam's instance decoder: from SAM's image embedding to three dense maps.

Structure and parameter names are those of the UNETR in torch_em (after Hatamizadeh et
al., "UNETR", 2022) as micro-sam uses it (Archit et al., "Segment Anything for
Microscopy", 2025), so that its published ``*_decoder`` files load unchanged.
"""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from napari_sam.errors import CheckpointError
from napari_sam.nn.containers import read_state_dict

EMBED_DIM = 256
WIDTHS = (512, 256, 128, 64)
# Foreground, distance to the centre, distance to the boundary.
MAPS = 3
# Tells the older files, which upsample by transposed convolutions.
_TRANSPOSED_KEY = "deconv1.block.0.block.weight"


class ConvolutionBlock(nn.Module):
    """Two 3x3 convolutions, each on what instance normalisation makes of its input."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.block = nn.Sequential(
            nn.InstanceNorm2d(inputs),
            nn.Conv2d(inputs, outputs, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.InstanceNorm2d(outputs),
            nn.Conv2d(outputs, outputs, 3, padding=1),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C', H, W)."""
        return self.block(x)


class Interpolation(nn.Module):
    """Twice the size by interpolation, then a 1x1 convolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C', 2 H, 2 W)."""
        # A 1x1 convolution and an interpolation may trade places: this is cheaper.
        return functional.interpolate(self.conv(x), scale_factor=2.0, mode="bilinear")


class TransposedConvolution(nn.Module):
    """Twice the size by a transposed convolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.block = nn.ConvTranspose2d(inputs, outputs, 2, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C', 2 H, 2 W)."""
        return self.block(x)


class _Convolution(nn.Module):
    def __init__(self, channels: int) -> None:
        super().__init__()
        self.block = nn.Conv2d(channels, channels, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        return self.block(x)


class UpsamplingBlock(nn.Module):
    """Twice the size, then a 3x3 convolution with batch normalisation."""

    def __init__(self, inputs: int, outputs: int, transposed: bool) -> None:
        super().__init__()
        self.block = nn.Sequential(
            _upsampler(inputs, outputs, transposed),
            _Convolution(outputs),
            nn.BatchNorm2d(outputs),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C', 2 H, 2 W)."""
        return self.block(x)


class _Expansion(nn.Module):
    """The path upwards: at each step joined by what was upsampled on its own."""

    def __init__(self, transposed: bool) -> None:
        super().__init__()
        steps = list(pairwise(WIDTHS))
        self.blocks = nn.ModuleList(ConvolutionBlock(a, b) for a, b in steps)
        self.samplers = nn.ModuleList(_upsampler(a, b, transposed) for a, b in steps)

    def forward(self, x: Tensor, beside: list[Tensor]) -> Tensor:
        for block, sampler, other in zip(
            self.blocks, self.samplers, beside, strict=True
        ):
            x = sampler(x)
            x = block(torch.cat([x, _middle(other, x.shape[1])], dim=1))
        return x


class UnetrDecoder(nn.Module):
    """Dense maps from an image embedding.

    Parameters
    ----------
    transposed : bool
        Upsample by transposed convolutions, as older files do.
    """

    def __init__(self, transposed: bool = False) -> None:
        super().__init__()
        widths = (EMBED_DIM, *WIDTHS)
        for index in range(4):
            block = UpsamplingBlock(widths[index], widths[index + 1], transposed)
            setattr(self, f"deconv{index + 1}", block)
        self.base = ConvolutionBlock(EMBED_DIM, WIDTHS[0])
        self.decoder = _Expansion(transposed)
        self.deconv_out = _upsampler(WIDTHS[-1], WIDTHS[-1], transposed)
        self.decoder_head = ConvolutionBlock(2 * WIDTHS[-1], WIDTHS[-1])
        self.out_conv = nn.Conv2d(WIDTHS[-1], MAPS, 1)

    @torch.no_grad()
    def forward(self, embedding: Tensor) -> Tensor:
        """Decode one or more images.

        Parameters
        ----------
        embedding : Tensor
            (B, 256, H, W), from SAM's image encoder.

        Returns
        -------
        Tensor
            (B, 3, 16 H, 16 W) in 0..1: foreground; centre and boundary distance, which
            are 0 at an object's centre and inside, and 1 at its edge and outside.
        """
        beside = [self.deconv1(embedding)]
        for each in (self.deconv2, self.deconv3, self.deconv4):
            beside.append(each(beside[-1]))
        x = self.decoder(self.base(embedding), beside[:3])
        x = torch.cat([self.deconv_out(x), beside[3]], dim=1)
        return self.out_conv(self.decoder_head(x)).sigmoid()


def load_unetr_decoder(path: Path) -> UnetrDecoder:
    """Load a micro-sam decoder file; which kind it is the file tells.

    Parameters
    ----------
    path : Path

    Returns
    -------
    UnetrDecoder
        In eval mode, on the CPU.

    Raises
    ------
    CheckpointError
        The file cannot be read, or holds something else.
    """
    state = read_state_dict(path)
    decoder = UnetrDecoder(transposed=_TRANSPOSED_KEY in state)
    try:
        decoder.load_state_dict(state, strict=True)
    except RuntimeError as error:
        raise CheckpointError(
            f"{path} is not a micro-sam decoder: its tensors have other names or "
            "shapes. Give the *_decoder file that belongs to the model."
        ) from error
    return decoder.eval()


def _upsampler(inputs: int, outputs: int, transposed: bool) -> nn.Module:
    kind = TransposedConvolution if transposed else Interpolation
    return kind(inputs, outputs)


def _middle(x: Tensor, channels: int) -> Tensor:
    """The middle channels: the published weights were trained on these."""
    first = (x.shape[1] - channels) // 2
    return x[:, first : first + channels]
