"""The image encoder of `pocket`: residual stages, fused top-down, and a dense head."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from napari_sam.nn.mask_decoder import MLP
from napari_sam.nn.prompt_encoder import LayerNorm2d

WINDOW = 256
WIDTH = 96
STAGE_WIDTHS = (24, 48, 96, 160, 224)
STAGE_DEPTHS = (1, 2, 3, 3, 2)
# Side of the window at the coarsest stage, of stride 32.
CONTEXT_CELLS = WINDOW // 32
DENSE_CHANNELS = ("foreground", "centre_distance", "boundary_distance", "log_size")


@dataclass(frozen=True)
class PocketFeatures:
    """What the encoder makes of windows.

    Attributes
    ----------
    embedding : Tensor
        (B, 96, H / 8, W / 8).
    skip4, skip2 : Tensor
        (B, 24, H / 4, W / 4) and (B, 12, H / 2, W / 2), for the mask decoder.
    dense : Tensor
        (B, 4, H / 2, W / 2), the channels of ``DENSE_CHANNELS``.
    """

    embedding: Tensor
    skip4: Tensor
    skip2: Tensor
    dense: Tensor

    def select(self, index: Tensor) -> PocketFeatures:
        """Features of the windows ``index`` (N,), one for each prompt."""
        parts = (self.embedding, self.skip4, self.skip2, self.dense)
        return PocketFeatures(*(part.index_select(0, index) for part in parts))


def stack_features(parts: Sequence[PocketFeatures]) -> PocketFeatures:
    """Put the windows of several features into one batch."""
    if len(parts) == 1:
        return parts[0]
    names = ("embedding", "skip4", "skip2", "dense")
    return PocketFeatures(
        *(torch.cat([getattr(part, name) for part in parts]) for name in names)
    )


def _convolution(
    inputs: int, outputs: int, size: int = 3, stride: int = 1, act: bool = True
) -> nn.Sequential:
    layers: list[nn.Module] = [
        nn.Conv2d(inputs, outputs, size, stride, size // 2, bias=False),
        nn.BatchNorm2d(outputs),
    ]
    if act:
        layers.append(nn.ReLU(inplace=True))
    return nn.Sequential(*layers)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions beside a shortcut (He et al., 2016)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = _convolution(inputs, outputs, stride=stride)
        self.conv2 = _convolution(outputs, outputs, act=False)
        same = inputs == outputs and stride == 1
        self.shortcut: nn.Module = (
            nn.Identity()
            if same
            else nn.Sequential(
                nn.AvgPool2d(stride) if stride > 1 else nn.Identity(),
                _convolution(inputs, outputs, size=1, act=False),
            )
        )

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to (B, C', H / stride, W / stride)."""
        return _relu_of_sum(self.conv2(self.conv1(x)), self.shortcut(x))


class Context(nn.Module):
    """Scale channels by what lies around (after Hu et al., 2018).

    Around means a window of the size that the model was trained on, so that a cell gets
    the same answer in a small image and in the middle of a large one.

    Parameters
    ----------
    channels : int
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.mlp = MLP(channels, channels // 4, channels, 2)

    def forward(self, x: Tensor) -> Tensor:
        """Map (B, C, H, W) to itself, scaled."""
        if max(x.shape[-2:]) <= CONTEXT_CELLS:
            mean = x.mean((2, 3), keepdim=True)
        else:
            reach = CONTEXT_CELLS // 2
            mean = functional.avg_pool2d(
                x, 2 * reach + 1, 1, reach, count_include_pad=False
            )
        return x * torch.sigmoid(self.mlp(mean.movedim(1, -1))).movedim(-1, 1)


class PocketImageEncoder(nn.Module):
    """Residual stages at strides 2 to 32, fused top-down to strides 8, 4 and 2.

    Parameters
    ----------
    width : int
        Channels of the embedding.
    """

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__()
        self.width = width
        self.stages = nn.ModuleList()
        inputs = 3
        for widths, depth in zip(STAGE_WIDTHS, STAGE_DEPTHS, strict=True):
            blocks: list[nn.Module] = []
            for index in range(depth):
                stride = 2 if index == 0 else 1
                block = ResidualBlock if inputs > 3 else _convolution
                blocks.append(block(inputs, widths, stride=stride))
                inputs = widths
            self.stages.append(nn.Sequential(*blocks))
        self.context = Context(STAGE_WIDTHS[-1])
        half, quarter, eighth = width // 2, width // 4, width // 8
        self.lateral = nn.ModuleList(
            _convolution(channels, width, size=1, act=False)
            for channels in STAGE_WIDTHS[2:]
        )
        self.fuse16 = _convolution(width, width)
        self.fuse8 = _convolution(width, width)
        self.neck = nn.Sequential(nn.Conv2d(width, width, 1), LayerNorm2d(width))
        self.lateral4 = _convolution(STAGE_WIDTHS[1], half, size=1, act=False)
        self.down4 = _convolution(width, half, size=1, act=False)
        self.fuse4 = _convolution(half, half)
        self.skip4 = nn.Conv2d(half, quarter, 1)
        self.skip2 = nn.Sequential(
            _convolution(STAGE_WIDTHS[0], quarter), nn.Conv2d(quarter, eighth, 1)
        )
        self.dense_head = nn.Sequential(
            _convolution(half, half),
            nn.Conv2d(half, 4 * len(DENSE_CHANNELS), 1),
            nn.PixelShuffle(2),
        )

    def forward(self, x: Tensor) -> PocketFeatures:
        """Encode windows (B, 3, H, W) in 0..1; H and W are multiples of 32."""
        levels = []
        x = (x - 0.5).mul_(4)
        for stage in self.stages:
            x = stage(x)
            levels.append(x)
        top = _upsample(self.lateral[2](self.context(x)))
        middle = self.fuse16(_relu_of_sum(top, self.lateral[1](levels[3])))
        fused = _relu_of_sum(_upsample(middle), self.lateral[0](levels[2]))
        fused = self.fuse8(fused)
        fine = _relu_of_sum(_upsample(self.down4(fused)), self.lateral4(levels[1]))
        fine = self.fuse4(fine)
        return PocketFeatures(
            self.neck(fused),
            self.skip4(fine),
            self.skip2(levels[0]),
            self.dense_head(fine),
        )


def _relu_of_sum(x: Tensor, y: Tensor) -> Tensor:
    # In place of x: of a large image fresh memory costs as much as the sum.
    return functional.relu(x.add_(y), inplace=True)


def _upsample(x: Tensor) -> Tensor:
    # Nearest would leave steps of 8 to 32 pixels in the masks of large objects.
    return functional.interpolate(x, scale_factor=2.0, mode="bilinear")
