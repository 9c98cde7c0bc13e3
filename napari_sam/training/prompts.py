"""The prompts that training shows: a first one, then corrections of the errors."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from napari_sam.nn.pocket_prompts import MASK_LOGIT


@dataclass(frozen=True)
class PromptConfig:
    """How the first prompt is drawn.

    Attributes
    ----------
    box, mask : float
        Chance that an object is first shown by a box, or by a damaged mask; else by a
        click.
    centre : float
        Share of first clicks near the object's innermost point; the rest are uniform.
    box_noise : float
        Standard deviation of box corners, as a share of the side.
    box_noise_limit : float
        Largest shift of a corner, in pixels.
    repeat : float
        Chance that a correction adds no click, only the previous mask.
    """

    box: float = 0.35
    mask: float = 0.08
    centre: float = 0.6
    box_noise: float = 0.1
    box_noise_limit: float = 8.0
    repeat: float = 0.1


@dataclass
class PromptBatch:
    """Prompts of a batch of objects, as `Pocket.decode` takes them.

    Attributes
    ----------
    coords : Tensor
        (B, N, 2) as (x, y) window pixels.
    point_labels : Tensor
        (B, N): 1, 0 or -1 for padding.
    boxes : Tensor
        (B, 4) as x0, y0, x1, y1; zeros where there is none.
    logits : Tensor
        (B, 1, n, n) at half resolution; zeros where there is none.
    ambiguous : Tensor
        (B,) bool: a single click and nothing else.
    """

    coords: Tensor
    point_labels: Tensor
    boxes: Tensor
    logits: Tensor
    ambiguous: Tensor


def first_prompts(
    masks: NDArray[np.bool_], rng: np.random.Generator, config: PromptConfig
) -> PromptBatch:
    """Draw the first prompt of each object, masks (B, N, N)."""
    count, size = len(masks), masks.shape[-1]
    coords = np.zeros((count, 1, 2), np.float32)
    kinds = np.full((count, 1), -1, np.int64)
    boxes = np.zeros((count, 4), np.float32)
    logits = np.zeros((count, 1, size // 2, size // 2), np.float32)
    for index, mask in enumerate(masks):
        draw = rng.random()
        if draw < config.box:
            boxes[index] = noisy_box(mask, rng, config)
        elif draw < config.box + config.mask:
            damaged = damage(mask, rng)[1::2, 1::2]
            logits[index, 0] = np.where(damaged, MASK_LOGIT, -MASK_LOGIT)
        else:
            coords[index, 0] = first_click(mask, rng, config.centre)
            kinds[index, 0] = 1
    return PromptBatch(
        torch.from_numpy(coords),
        torch.from_numpy(kinds),
        torch.from_numpy(boxes),
        torch.from_numpy(logits),
        torch.from_numpy(kinds[:, 0] == 1),
    )


def first_click(
    mask: NDArray[np.bool_], rng: np.random.Generator, centre: float
) -> tuple[float, float]:
    """Return (x, y) of a click inside the mask."""
    if rng.random() >= centre:
        rows, cols = np.nonzero(mask)
        chosen = rng.integers(len(rows))
        return float(cols[chosen]), float(rows[chosen])
    depth = inner_depth(mask)
    # Anywhere well inside: a person aims at the middle, but not exactly.
    rows, cols = np.nonzero(depth >= rng.uniform(0.6, 1.0) * depth.max())
    chosen = rng.integers(len(rows))
    return float(cols[chosen]), float(rows[chosen])


def inner_depth(mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Distance of each pixel to the outside; the border of the array is outside."""
    padded: NDArray[np.float64] = ndimage.distance_transform_edt(np.pad(mask, 1))
    return padded[1:-1, 1:-1]


def noisy_box(
    mask: NDArray[np.bool_], rng: np.random.Generator, config: PromptConfig
) -> NDArray[np.float32]:
    """Return x0, y0, x1, y1 of the mask's box with shifted corners."""
    rows, cols = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    box = np.array([cols[0], rows[0], cols[-1] + 1, rows[-1] + 1], np.float32)
    sides = np.tile(box[2:] - box[:2], 2)
    shift = rng.normal(0, config.box_noise, 4) * sides
    limit = config.box_noise_limit
    box += np.clip(shift, -limit, limit)
    box[2:] = np.maximum(box[2:], box[:2] + 2)
    return box


def damage(mask: NDArray[np.bool_], rng: np.random.Generator) -> NDArray[np.bool_]:
    """Move a mask's outline in and out at random, as a poor first try would."""
    depth = inner_depth(mask)
    signed = np.where(mask, depth, -ndimage.distance_transform_edt(~mask))
    waves = ndimage.gaussian_filter(rng.standard_normal(mask.shape), rng.uniform(3, 12))
    waves *= rng.uniform(0.1, 0.6) * depth.max() / max(float(waves.std()), 1e-6)
    shift = rng.normal(0, 0.15) * depth.max()
    damaged = signed + waves + shift > 0
    return damaged if damaged.any() else mask


def correct(
    prompts: PromptBatch,
    chosen: Tensor,
    truth: Tensor,
    rng: np.random.Generator,
    config: PromptConfig,
) -> PromptBatch:
    """Add a click in each object's error, and give the chosen mask back.

    Parameters
    ----------
    prompts : PromptBatch
    chosen : Tensor
        (B, n, n) logits at half resolution, of the mask to correct.
    truth : Tensor
        (B, n, n) in 0..1.
    rng : numpy Generator
    config : PromptConfig

    Returns
    -------
    PromptBatch
    """
    predicted, wanted = (chosen > 0).numpy(), (truth > 0.5).numpy()
    coords = np.zeros((len(wanted), 1, 2), np.float32)
    kinds = np.full((len(wanted), 1), -1, np.int64)
    if rng.random() >= config.repeat:
        for index, (mask, true) in enumerate(zip(predicted, wanted, strict=True)):
            click = error_click(mask, true, rng)
            if click is not None:
                x, y, positive = click
                coords[index, 0] = 2 * x + rng.integers(2), 2 * y + rng.integers(2)
                kinds[index, 0] = positive
    return PromptBatch(
        torch.cat([prompts.coords, torch.from_numpy(coords)], dim=1),
        torch.cat([prompts.point_labels, torch.from_numpy(kinds)], dim=1),
        prompts.boxes,
        chosen[:, None].float(),
        torch.zeros_like(prompts.ambiguous),
    )


def error_click(
    mask: NDArray[np.bool_], truth: NDArray[np.bool_], rng: np.random.Generator
) -> tuple[int, int, bool] | None:
    """Return (x, y, positive) in the error, half the time where it is widest."""
    error = mask != truth
    if not error.any():
        return None
    if rng.random() < 0.5:
        depth = np.maximum(inner_depth(error & truth), inner_depth(error & mask))
        row, col = np.unravel_index(int(depth.argmax()), depth.shape)
    else:
        rows, cols = np.nonzero(error)
        pick = rng.integers(len(rows))
        row, col = rows[pick], cols[pick]
    return int(col), int(row), bool(truth[row, col])


def half_resolution(masks: NDArray[np.bool_]) -> Tensor:
    """Masks (B, N, N) as covered shares (B, N / 2, N / 2), float32."""
    return functional.avg_pool2d(torch.from_numpy(masks).float(), 2)
