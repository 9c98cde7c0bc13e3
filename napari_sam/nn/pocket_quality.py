"""How good each of pocket's masks is, judged by what the mask covers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from napari_sam.nn.mask_decoder import MLP

# Shape and confidence of a mask: see `_shape_of`.
SHAPE_FEATURES = 4


class MaskQualityHead(nn.Module):
    """Correct SAM's predicted IoU by looking at the mask.

    SAM predicts the IoU of a mask from a token alone, before the mask is drawn. This
    head sees the mask: how large and how sure it is, and what image features and dense
    maps lie inside it and around it, as in Huang et al., "Mask Scoring R-CNN" (2019).
    It changes no mask: no gradient flows back through one.

    Parameters
    ----------
    token_width : int
        Width of a mask token.
    pixel_width : int
        Channels of the upscaled features.
    dense_width : int
        Channels of the dense maps.
    """

    def __init__(self, token_width: int, pixel_width: int, dense_width: int) -> None:
        super().__init__()
        seen = SHAPE_FEATURES + pixel_width + 2 * dense_width
        self.mlp = MLP(token_width + seen, token_width, 1, 3)
        # Begins as no correction at all.
        nn.init.zeros_(self.mlp.layers[-1].weight)
        nn.init.zeros_(self.mlp.layers[-1].bias)

    def forward(
        self, tokens: Tensor, logits: Tensor, upscaled: Tensor, dense: Tensor
    ) -> Tensor:
        """Return what to add to each mask's predicted IoU.

        Parameters
        ----------
        tokens : Tensor
            (B, K, C), of the masks.
        logits : Tensor
            (B, K, H, W).
        upscaled, dense : Tensor
            (B, C', H, W), image features and dense maps.

        Returns
        -------
        Tensor
            (B, K).
        """
        with torch.no_grad():
            seen = look(logits.float(), upscaled, dense)
        return self.mlp(torch.cat([tokens, seen.to(tokens.dtype)], -1))[..., 0]


def look(logits: Tensor, upscaled: Tensor, dense: Tensor) -> Tensor:
    """What masks (B, K, H, W) cover and border on, (B, K, F).

    F is the width of `MaskQualityHead.mlp` less that of a token; the other parameters
    are those of `MaskQualityHead.forward`.
    """
    inside = _above(logits, 0.0)
    # As max pooling of 2 x 2 and then of 3 x 3, in a fourth of its time on a CPU.
    rows = torch.maximum(inside[:, :, ::2], inside[:, :, 1::2])
    coarse = torch.maximum(rows[..., ::2], rows[..., 1::2])
    ring = _grow(_grow(coarse, 2), 3) - coarse
    return torch.cat(
        [
            _shape_of(logits, inside),
            _mean(upscaled, inside),
            _mean(dense, inside),
            _mean(_halve(dense), ring),
        ],
        -1,
    )


def _above(x: Tensor, threshold: float) -> Tensor:
    """1 where ``x`` is larger, else 0; comparing would be slower by its conversion."""
    return (x - threshold).sign_().clamp_(min=0)


def _halve(x: Tensor) -> Tensor:
    """Mean of each 2 x 2 samples: average pooling that is fast for few channels."""
    rows = x[:, :, ::2] + x[:, :, 1::2]
    return (rows[..., ::2] + rows[..., 1::2]) / 4


def _grow(masks: Tensor, axis: int) -> Tensor:
    """Let masks grow by one pixel to both sides along an axis."""
    grown, last = masks.clone(), masks.shape[axis] - 1
    for to, source in ((0, 1), (1, 0)):
        part = grown.narrow(axis, to, last)
        torch.maximum(part, masks.narrow(axis, source, last), out=part)
    return grown


def _shape_of(logits: Tensor, inside: Tensor) -> Tensor:
    """Log area, mean probability, stability and soft area of each mask, (B, K, 4)."""
    share = torch.sigmoid(logits)
    area = inside.sum((2, 3))
    stable = _above(logits, 1.0).sum((2, 3)) / _above(logits, -1.0).sum((2, 3)).clamp(
        min=1
    )
    soft = share.sum((2, 3))
    sure = share.mul_(inside).sum((2, 3)) / area.clamp(min=1)
    return torch.stack(
        [torch.log2(area + 1) / 16, sure, stable, torch.log2(soft + 1) / 16], -1
    )


def _mean(maps: Tensor, masks: Tensor) -> Tensor:
    """Mean of maps (B, C, H, W) over each of the masks (B, K, H, W), (B, K, C)."""
    total = masks.flatten(2) @ maps.float().flatten(2).transpose(1, 2)
    return total / masks.sum((2, 3))[..., None].clamp(min=1)
