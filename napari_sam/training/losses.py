"""Losses of masks, their predicted IoU, and the dense head."""

from __future__ import annotations

import torch
import torch.nn.functional as functional
from torch import Tensor


def normalised_focal_loss(
    logits: Tensor, truth: Tensor, alpha: float = 0.5, gamma: float = 2.0
) -> Tensor:
    """Focal loss whose weights sum to one in each mask.

    After Sofiiuk et al., "Reviving Iterative Training with Mask Guidance" (2021): the
    gradient of a mask does not fade as most of its pixels become right.

    Parameters
    ----------
    logits, truth : Tensor
        (..., H, W); truth is 0 or 1.
    alpha : float
        Weight of the object against the background.
    gamma : float
        How much easy pixels are ignored.

    Returns
    -------
    Tensor
        (...), one loss a mask.
    """
    cross_entropy = functional.binary_cross_entropy_with_logits(
        logits, truth, reduction="none"
    )
    miss = 1 - torch.exp(-cross_entropy)
    focus = miss.detach() ** gamma
    # A finished mask has hardly any focus left; the clamp keeps its gradient small.
    total = focus.sum((-2, -1), keepdim=True).clamp(min=8.0)
    balance = torch.where(truth > 0.5, alpha, 1 - alpha)
    return 2 * (balance * focus * cross_entropy / total).sum((-2, -1))


def dice_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """One minus the soft Dice overlap of each mask, (..., H, W) to (...)."""
    share = torch.sigmoid(logits)
    overlap = (share * truth).sum((-2, -1))
    size = share.sum((-2, -1)) + truth.sum((-2, -1))
    return 1 - (2 * overlap + 1) / (size + 1)


def mask_loss(logits: Tensor, truth: Tensor) -> Tensor:
    """Dice plus half the normalised focal loss, one value a mask."""
    return dice_loss(logits, truth) + 0.5 * normalised_focal_loss(logits, truth)


@torch.no_grad()
def mask_iou(logits: Tensor, truth: Tensor) -> Tensor:
    """IoU of each thresholded mask with its truth, (..., H, W) to (...)."""
    mask, wanted = logits > 0, truth > 0.5
    both = (mask & wanted).sum((-2, -1)).float()
    return both / (mask | wanted).sum((-2, -1)).clamp(min=1)


def dense_loss(predicted: Tensor, target: Tensor, complete: Tensor) -> Tensor:
    """Loss of the dense head.

    Parameters
    ----------
    predicted : Tensor
        (B, 4, H, W), logits of the foreground and raw distances and sizes.
    target : Tensor
        (B, 4, H, W), from `napari_sam.training.targets.dense_targets`.
    complete : Tensor
        (B,) bool; background counts only where every object is labelled.

    Returns
    -------
    Tensor
        Scalar.
    """
    inside = target[:, 0]
    counted = torch.maximum(inside, complete.float()[:, None, None])
    foreground = functional.binary_cross_entropy_with_logits(
        predicted[:, 0], inside, weight=counted, reduction="sum"
    ) / counted.sum().clamp(min=1)
    # Counted by the pixel, one large object would outweigh dozens of small ones.
    weight = inside * torch.exp2(-8 * target[:, 3])
    weight = weight / (weight.sum() / inside.sum().clamp(min=1)).clamp(min=1e-6)
    # Distances are also asked to be 0 outside; size has no meaning there.
    distances = functional.smooth_l1_loss(
        predicted[:, 1:3], target[:, 1:3], reduction="none", beta=0.1
    ).sum(1)
    distances = distances * (counted - inside + 0.5 * inside + 0.5 * weight)
    distances = distances.sum() / counted.sum().clamp(min=1)
    # A whole octave of size is only 1 / 8 here, so it needs more weight. It is read
    # where people click, near the middle.
    weight = weight * (0.2 + target[:, 1])
    size = (predicted[:, 3] - target[:, 3]).abs() * weight
    size = size.sum() / weight.sum().clamp(min=1e-6)
    return foreground + 2 * distances + 8 * size
