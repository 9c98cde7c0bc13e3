"""Prompts as the bundled model's windows see them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_sam.geometry import image_to_frame, mask_to_box, resample, resized_frame
from napari_sam.nn.pocket_prompts import MASK_LOGIT, MASK_STRIDE
from napari_sam.structures import Frame, MaskPrompt, PromptSet

# (row, col) of a box's upper left and lower right corner, in image pixels.
Corners = tuple[tuple[float, float], tuple[float, float]]


def known_box(prompts: PromptSet) -> Corners | None:
    """The image box that a box or mask prompt gives, grown to hold the clicks on it."""
    if prompts.box is not None:
        corners = [prompts.box.start, prompts.box.stop]
    elif prompts.mask is not None:
        found = _mask_corners(prompts.mask)
        if found is None:
            return None
        corners = list(found)
    else:
        return None
    corners += [point.position for point in prompts.points if point.positive]
    array = np.array(corners, dtype=float)
    low, high = array.min(0), array.max(0)
    return (float(low[0]), float(low[1])), (float(high[0]), float(high[1]))


def _mask_corners(mask: MaskPrompt) -> Corners | None:
    box = mask_to_box(np.asarray(mask.values) > 0)
    if box is None:
        return None
    frame = mask.frame or Frame((0.0, 0.0), (1.0, 1.0), mask.values.shape)
    (row, col), (down, right) = frame.origin, frame.step
    start = (row + box[0] * down, col + box[1] * right)
    return start, (row + box[2] * down, col + box[3] * right)


Placed = list[tuple[PromptSet, Frame]]


def place_prompts(
    prompts: Sequence[PromptSet], frames: Sequence[Frame], device: torch.device
) -> tuple[tuple[Tensor, Tensor] | None, Tensor, Tensor | None]:
    """Clicks, boxes and masks as the decoder takes them, one window a prompt.

    Parameters
    ----------
    prompts : sequence of PromptSet
        B that make equally many tokens.
    frames : sequence of Frame
        Of the windows' mask logits.
    device : torch.device

    Returns
    -------
    tuple
        What `window_points`, `window_boxes` and `window_masks` give.
    """
    placed = list(zip(prompts, frames, strict=True))
    return (
        window_points(placed, device),
        window_boxes(placed, device),
        window_masks(placed, device),
    )


def window_points(placed: Placed, device: torch.device) -> tuple[Tensor, Tensor] | None:
    """Clicks as (x, y) window pixels (B, N, 2) and labels (B, N), or None."""
    if not placed[0][0].points:
        return None
    coords = [
        _to_window([point.position for point in prompts.points], frame, centre=0.5)
        for prompts, frame in placed
    ]
    labels = [[int(p.positive) for p in prompts.points] for prompts, _ in placed]
    return (
        torch.from_numpy(np.stack(coords)).to(device),
        torch.tensor(labels, device=device),
    )


def window_boxes(placed: Placed, device: torch.device) -> Tensor:
    """Boxes as x0, y0, x1, y1 in window pixels (B, 4); zeros where there is none."""
    boxes = np.zeros((len(placed), 4), np.float32)
    for index, (prompts, frame) in enumerate(placed):
        if prompts.box is not None:
            corners = [prompts.box.start, prompts.box.stop]
            # `_to_window` gives pixel indices; a box lies on the edges between them.
            boxes[index] = _to_window(corners, frame, centre=0.0).ravel() + 0.5
    return torch.from_numpy(boxes).to(device)


def _to_window(
    positions: Sequence[tuple[float, float]], frame: Frame, centre: float
) -> NDArray[np.float32]:
    """Window pixel indices (x, y) of image positions (row, col)."""
    inner = image_to_frame(np.array(positions) + centre, frame) * MASK_STRIDE - 0.5
    return np.ascontiguousarray(inner[:, ::-1], dtype=np.float32)


def window_masks(placed: Placed, device: torch.device) -> Tensor | None:
    """Mask prompts as logits (B, 1, h, w), zeros where there is none, or None."""
    if all(prompts.mask is None for prompts, _ in placed):
        return None
    drawn = np.zeros((len(placed), 1, *placed[0][1].shape), np.float32)
    for index, (prompts, frame) in enumerate(placed):
        if prompts.mask is not None:
            drawn[index, 0] = _mask_logits(prompts.mask, frame)
    return torch.from_numpy(drawn).to(device)


def _mask_logits(mask: MaskPrompt, frame: Frame) -> NDArray[np.float32]:
    if mask.frame == frame:
        return mask.values
    if mask.frame is not None:
        return resample(mask.values, mask.frame, frame, fill=-MASK_LOGIT)
    whole = resized_frame(mask.values.shape, mask.values.shape)
    share = resample(mask.values.astype(np.float32), whole, frame)
    return MASK_LOGIT * (2 * share - 1)
