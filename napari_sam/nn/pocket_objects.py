"""Whether a mask is one whole object, as `pocket` judges its own suggestions.

Predicted IoU says how well a mask answers its prompt; half a cell in half a cell's box
is a good answer. When the model itself suggests objects, the suggestion has to be
judged.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from napari_sam.nn.mask_decoder import MLP
from napari_sam.nn.pocket_encoder import DENSE_CHANNELS, PocketFeatures

# What the caller knows of a mask beside its logits; see
# `napari_sam.inference.object_rating`.
HINTS = 7
# Of a mask's shape and of the dense maps on it; see `describe_masks`.
SHAPE = 3 * len(DENSE_CHANNELS) + 4 + 4
# Width that the pooled embedding is squeezed to, and of the hidden layers.
SQUEEZED, HIDDEN = 12, 32
# While it learns, so much of the pooled embedding is left out.
DROPPED = 0.3
# Standardised values are cut off here: an unknown kind of image may be far outside.
FARTHEST = 4.0


class ObjectHead(nn.Module):
    """Rate masks as objects: the mean of two opinions.

    One sees shape and dense maps, which mean the same in all kinds of images; the other
    also sees what the image looks like, and knows the kinds it has learnt better.

    Parameters
    ----------
    channels : int
        Of the embedding.

    Attributes
    ----------
    channels : int
    width : int
        Of what it sees of a mask.
    is_fitted : Tensor of bool
        Whether ratings mean anything.
    """

    is_fitted: Tensor
    mean: Tensor
    scale: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        known = HINTS + SHAPE
        self.channels, self.width = channels, known + 2 * channels
        self.register_buffer("is_fitted", torch.tensor(False))
        self.register_buffer("mean", torch.zeros(self.width))
        self.register_buffer("scale", torch.ones(self.width))
        self.squeeze = nn.Linear(2 * channels, SQUEEZED)
        self.by_shape = MLP(known, HIDDEN, 1, 3)
        self.by_look = MLP(known + SQUEEZED, HIDDEN, 1, 3)

    def forward(self, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Return both opinions as logits (N,).

        Parameters
        ----------
        seen : Tensor
            (N, HINTS + SHAPE + 2 C): hints, then what `describe_masks` returns.
        """
        standard = ((seen - self.mean) / self.scale).clamp(-FARTHEST, FARTHEST)
        known, look = standard.split([HINTS + SHAPE, 2 * self.channels], 1)
        look = functional.dropout(look, DROPPED, self.training)
        both = torch.cat([known, self.squeeze(look)], 1)
        return self.by_shape(known)[:, 0], self.by_look(both)[:, 0]

    def rate(self, seen: Tensor) -> Tensor:
        """IoU (N,) that each mask is expected to have with a true object."""
        one, other = self(seen)
        return (one.sigmoid() + other.sigmoid()) / 2


def describe_masks(features: PocketFeatures, logits: Tensor) -> Tensor:
    """What masks cover, end at and border on.

    Parameters
    ----------
    features : PocketFeatures
        Of N windows.
    logits : Tensor
        (N, 1, h, w), of one mask in each.

    Returns
    -------
    Tensor
        (N, SHAPE + 2 C). The dense maps' mean in the mask, on its rim and in a ring
        around it, sizes as octaves from the mask's own; the mean distance on the rim,
        the highest inside and around, and the highest foreground around; log area,
        sureness, stability and roundness; the embedding's mean inside and around.
    """
    inside = (logits > 0).float()
    rim = inside - _shrink(inside)
    near = _grow(inside, 1)
    ring = _grow(near, 2) - near
    area = inside.sum((2, 3))
    dense = _readable(features.dense, area)
    depth = dense[:, 1:3].mean(1, keepdim=True)
    return torch.cat(
        [
            *(_mean(dense, part) for part in (inside, rim, ring)),
            _mean(depth, rim),
            _highest(depth * dense[:, :1], inside),
            _highest(depth, ring),
            _highest(dense[:, :1], ring),
            torch.log2(area + 1) / 2,
            _mean(logits.sigmoid(), inside),
            _count(logits > 1) / _count(logits > -1).clamp(min=1),
            4 * math.pi * area / rim.sum((2, 3)).clamp(min=1) ** 2,
            *(
                _mean(features.embedding, functional.avg_pool2d(part, 4))
                for part in (inside, ring)
            ),
        ],
        1,
    )


def _readable(dense: Tensor, area: Tensor) -> Tensor:
    """Probability, distances in 0..1, and octaves from a mask of so many samples."""
    foreground, distances, size = dense.split([1, 2, 1], 1)
    own = torch.log2(2 * area.clamp(min=1).sqrt())[..., None, None]
    return torch.cat([foreground.sigmoid(), distances.clamp(0, 1), 8 * size - own], 1)


def _shrink(masks: Tensor) -> Tensor:
    """Masks without their outermost samples; beyond the window they go on."""
    return 1 - _grow(1 - masks, 1)


def _grow(masks: Tensor, reach: int) -> Tensor:
    """Masks of 0 and 1 (N, 1, h, w) with all samples so near to them."""
    # Ten times as fast as pooling, which is not vectorised for a single channel.
    for axis in (2, 3):
        grown, length = masks.clone(), masks.shape[axis]
        for shift in range(1, min(reach, length - 1) + 1):
            for to, start in ((0, shift), (shift, 0)):
                moved = masks.narrow(axis, start, length - shift)
                grown.narrow(axis, to, length - shift).clamp_(min=moved)
        masks = grown
    return masks


def _mean(maps: Tensor, masks: Tensor) -> Tensor:
    """Mean of maps (N, C, h, w) over one mask (N, 1, h, w) each, (N, C)."""
    total = masks.flatten(2) @ maps.flatten(2).transpose(1, 2)
    return total[:, 0] / masks.sum((2, 3)).clamp(min=1)


def _highest(values: Tensor, masks: Tensor) -> Tensor:
    """Largest of values (N, 1, h, w), all at least 0, on a mask each, (N, 1)."""
    return (values * masks).amax((2, 3))


def _count(masks: Tensor) -> Tensor:
    return masks.float().sum((2, 3))
