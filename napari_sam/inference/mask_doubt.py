"""Masks that negative clicks contradict, as prompts that leave room for them.

A drawn mask is sure of itself everywhere, and `pocket` keeps what is sure, so that a
click on what does not belong there would change next to nothing.
"""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_sam.geometry import frame_to_image, image_to_frame, mask_to_box
from napari_sam.structures import Frame, MaskPrompt, PointPrompt, PromptSet

# A doubted mask as logits: the distance from its edge, as if its area's root had so
# many samples, up to a limit. On 89 masks of five `train` sets one negative click so
# raised IoU by .04 to .11; by .04 to .09 with a limit of 6, by .00 to .02 as drawn.
SAMPLES, DEEPEST = 8.0, 2.0
# A longer mask is looked at in larger samples; a window shows it smaller yet.
LONGEST = 256


def doubt_mask(prompts: PromptSet) -> PromptSet:
    """Let negative clicks count beside a mask prompt.

    A drawn mask, as sure everywhere as anywhere, becomes one that is sure only far from
    its edge. Where there is neither a positive click nor a box, one is added on what
    lies deepest in the mask and farthest from the negative clicks.

    Parameters
    ----------
    prompts : PromptSet

    Returns
    -------
    PromptSet
        The same without a mask or without negative clicks.
    """
    negative = [each.position for each in prompts.points if not each.positive]
    if prompts.mask is None or not negative:
        return prompts
    drawn = is_drawn(prompts.mask)
    lost = prompts.box is None and len(negative) == len(prompts.points)
    # Most corrections are of a predicted mask that was clicked on: they need no cut.
    cut = _cut(prompts.mask) if drawn or lost else None
    if cut is None:
        return prompts
    inside, frame = cut
    if drawn:
        values = depth_logits(inside, SAMPLES, DEEPEST)
        prompts = replace(prompts, mask=MaskPrompt(values, frame))
    if lost:
        click = PointPrompt(_innermost(inside, frame, negative))
        prompts = replace(prompts, points=(click, *prompts.points))
    return prompts


def is_drawn(mask: MaskPrompt) -> bool:
    """Whether a mask says only yes and no, unlike what a model predicts."""
    values = np.asarray(mask.values)
    return values.dtype == bool or float(np.ptp(np.abs(values))) == 0.0


def depth_logits(
    mask: NDArray[np.bool_], samples: float, deepest: float
) -> NDArray[np.float32]:
    """The distance from a mask's edge as logits, negative outside.

    Parameters
    ----------
    mask : ndarray of bool, shape (h, w)
        With some background.
    samples : float
        What the root of its area counts for, in samples.
    deepest : float
        Larger values are cut off.

    Returns
    -------
    ndarray of float32, shape (h, w)
    """
    depth = ndimage.distance_transform_edt(mask)
    depth = np.where(mask, depth, -ndimage.distance_transform_edt(~mask))
    scale = samples / math.sqrt(np.count_nonzero(mask))
    logits: NDArray[np.float32] = np.clip(scale * depth, -deepest, deepest).astype(
        np.float32
    )
    return logits


def _cut(mask: MaskPrompt) -> tuple[NDArray[np.bool_], Frame] | None:
    """A mask with a rim as wide as itself, and where that lies; None if it is empty."""
    inside = np.asarray(mask.values) > 0
    box = mask_to_box(inside)
    if box is None:
        return None
    row0, col0, row1, col1 = box
    part = inside[row0:row1, col0:col1]
    apart = math.ceil(max(part.shape) / LONGEST)
    if apart > 1:
        # Read late: the first click does without.
        from skimage.measure import block_reduce

        # Any, or a thin line would be lost.
        part = block_reduce(part, apart, np.any)  # type: ignore[no-untyped-call]
    rim = max(part.shape)
    cut = np.pad(part, rim)
    whole = mask.frame or Frame((0.0, 0.0), (1.0, 1.0), inside.shape)
    corner = np.array([row0, col0]) - rim * apart
    row, col = frame_to_image(corner, whole)
    step = whole.step[0] * apart, whole.step[1] * apart
    return cut, Frame((float(row), float(col)), step, cut.shape)


def _innermost(
    inside: NDArray[np.bool_], frame: Frame, negative: list[tuple[float, float]]
) -> tuple[float, float]:
    """Image position of the sample that is farthest from a mask's edge and clicks."""
    rows, cols = np.indices(inside.shape)
    depth = ndimage.distance_transform_edt(inside)
    for row, col in image_to_frame(np.array(negative) + 0.5, frame) - 0.5:
        depth = np.minimum(depth, np.hypot(rows - row, cols - col))
    sample = np.unravel_index(int(depth.argmax()), depth.shape)
    place = frame_to_image(np.array(sample) + 0.5, frame) - 0.5
    return float(place[0]), float(place[1])
