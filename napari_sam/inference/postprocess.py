"""From mask logits on a coarse frame to bool masks of the full image, and cleaning."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from napari_sam.geometry import Box, frame_to_image, mask_to_box
from napari_sam.structures import Frame

# Logits above it are object.
MASK_THRESHOLD = 0.0
# A stable mask hardly changes when the threshold moves by this much.
STABILITY_OFFSET = 1.0
# Pixels interpolated at a time; a mask of a whole slide takes several bands.
BAND_PIXELS = 4_000_000
EIGHT_NEIGHBOURS = np.ones((3, 3), dtype=bool)


def stability_score(
    logits: NDArray[np.float32],
    threshold: float = MASK_THRESHOLD,
    offset: float = STABILITY_OFFSET,
) -> float:
    """IoU of a mask cut above and below its threshold (Kirillov et al., 2023).

    Parameters
    ----------
    logits : ndarray
        Of one mask, in any shape.
    threshold, offset : float
        The two cuts are at ``threshold`` plus and minus ``offset``.

    Returns
    -------
    float
        0 where nothing is above the lower cut.
    """
    inner = np.count_nonzero(logits > threshold + offset)
    outer = np.count_nonzero(logits > threshold - offset)
    return inner / outer if outer else 0.0


@dataclass(frozen=True, eq=False)
class DrawnMask:
    """One mask in image pixels, cut to its box.

    Attributes
    ----------
    mask : ndarray of bool, shape (h, w)
    box : tuple of int
        (row0, col0, row1, col1) of the mask in the full image, the stop exclusive.
    stability_score : float
    """

    mask: NDArray[np.bool_]
    box: Box
    stability_score: float


def draw_mask(
    logits: Tensor,
    frame: Frame,
    image_shape: tuple[int, int],
    offset: float = STABILITY_OFFSET,
) -> DrawnMask | None:
    """Interpolate one mask to image pixels, inside its own box alone.

    Parameters
    ----------
    logits : Tensor, shape ``frame.shape``
        Best cropped by `crop_logits` first.
    frame : Frame
    image_shape : tuple of int
        (H, W) of the full image.
    offset : float
        Of the stability score.

    Returns
    -------
    DrawnMask or None
        None if no pixel is on the mask.
    """
    top, left, bottom, right = frame_box(frame, image_shape)
    part = np.zeros((max(bottom - top, 0), max(right - left, 0)), dtype=bool)
    origin = (frame.origin[0] - top, frame.origin[1] - left)
    moved = Frame(origin, frame.step, frame.shape)
    inner, outer = paste_logits(logits, moved, part, offset)
    box = mask_to_box(part)
    if box is None:
        return None
    row0, col0, row1, col1 = box
    placed = (top + row0, left + col0, top + row1, left + col1)
    return DrawnMask(part[row0:row1, col0:col1].copy(), placed, inner / outer)


def paste_logits(
    logits: Tensor,
    frame: Frame,
    out: NDArray[np.bool_],
    offset: float = STABILITY_OFFSET,
) -> tuple[int, int]:
    """Interpolate one mask to the full image and cut it at 0.

    Parameters
    ----------
    logits : Tensor, shape ``frame.shape``
        What is outside the frame counts as background.
    frame : Frame
        Where the logits lie in the image.
    out : ndarray of bool, shape (H, W)
        The full image's mask, written inside the frame.
    offset : float
        Of the stability score.

    Returns
    -------
    tuple of int
        Number of pixels above plus and above minus ``offset``, whose ratio is the
        stability score.
    """
    box = frame_box(frame, (out.shape[0], out.shape[1]))
    row0, col0, row1, col1 = box
    inner = outer = 0
    if row0 == row1 or col0 == col1:
        return inner, outer
    rows = max(1, BAND_PIXELS // (col1 - col0))
    for start in range(row0, row1, rows):
        stop = min(start + rows, row1)
        values = sample_logits(logits, frame, (start, col0, stop, col1))
        np.greater(values, MASK_THRESHOLD, out=out[start:stop, col0:col1])
        inner += int(np.count_nonzero(values > MASK_THRESHOLD + offset))
        outer += int(np.count_nonzero(values > MASK_THRESHOLD - offset))
    return inner, outer


def frame_box(frame: Frame, image_shape: tuple[int, int]) -> Box:
    """Return the image pixels whose centres lie in a frame, as a box."""
    corners = frame_to_image(np.array([(0, 0), frame.shape]), frame)
    # Pixel r has its centre at r + 0.5.
    edges = np.clip(np.ceil(corners - 0.5), 0, image_shape)
    row0, col0, row1, col1 = (int(edge) for edge in edges.ravel())
    return row0, col0, row1, col1


def sample_logits(logits: Tensor, frame: Frame, box: Box) -> NDArray[np.float32]:
    """Interpolate logits bilinearly at the pixels of a box of the image.

    Parameters
    ----------
    logits : Tensor, shape ``frame.shape``
    frame : Frame
    box : tuple of int
        (row0, col0, row1, col1) in image pixels.

    Returns
    -------
    ndarray of float32, shape (row1 - row0, col1 - col0)
    """
    values = logits.float()
    if frame.step == (1.0, 1.0) and all(edge.is_integer() for edge in frame.origin):
        top, left = (int(edge) for edge in frame.origin)
        row0, col0, row1, col1 = box
        same: NDArray[np.float32] = (
            values[row0 - top : row1 - top, col0 - left : col1 - left].cpu().numpy()
        )
        return same
    grid = _sampling_grid(frame, box).to(values.device)
    sampled = functional.grid_sample(
        values[None, None], grid, padding_mode="border", align_corners=False
    )
    result: NDArray[np.float32] = sampled[0, 0].cpu().numpy()
    return result


def _sampling_grid(frame: Frame, box: Box) -> Tensor:
    """Return the (1, rows, cols, 2) positions of a box's pixels in torch's -1..1."""
    axes = []
    for axis in (0, 1):
        centres = np.arange(box[axis], box[axis + 2]) + 0.5
        extent = frame.step[axis] * frame.shape[axis]
        axes.append((centres - frame.origin[axis]) / extent * 2 - 1)
    y, x = np.meshgrid(*(axis.astype(np.float32) for axis in axes), indexing="ij")
    return torch.from_numpy(np.stack([x, y], axis=-1))[None]


def crop_logits(
    logits: Tensor, frame: Frame, offset: float = STABILITY_OFFSET
) -> tuple[Tensor, Frame] | None:
    """Cut a mask's frame down to what matters for the mask and its stability.

    Interpolating the cropped logits gives the same mask and the same counts above
    the stability cuts as interpolating all of them.

    Parameters
    ----------
    logits : Tensor, shape ``frame.shape``
    frame : Frame
    offset : float
        Of the stability score.

    Returns
    -------
    tuple of Tensor and Frame, or None
        None if no logit is above the lower stability cut.
    """
    above = (logits > MASK_THRESHOLD - offset).cpu().numpy()
    box = mask_to_box(above)
    if box is None:
        return None
    # One sample more on each side: up to there the inner ones reach.
    row0, col0 = (max(edge - 1, 0) for edge in box[:2])
    row1, col1 = (min(e + 1, n) for e, n in zip(box[2:], frame.shape, strict=True))
    origin = frame_to_image(np.array([row0, col0]), frame)
    cropped = logits[row0:row1, col0:col1]
    shape = (row1 - row0, col1 - col0)
    return cropped, Frame((float(origin[0]), float(origin[1])), frame.step, shape)


def enlarge_logits(logits: Tensor, frame: Frame, factor: int) -> tuple[Tensor, Frame]:
    """Interpolate all logits of a frame to a grid ``factor`` times as fine."""
    height, width = (side * factor for side in frame.shape)
    fine = functional.interpolate(
        logits[None, None].float(), (height, width), mode="bilinear"
    )
    step = (frame.step[0] / factor, frame.step[1] / factor)
    return fine[0, 0], Frame(frame.origin, step, (height, width))


def fill_holes(
    mask: NDArray[np.bool_], max_area: float = math.inf
) -> NDArray[np.bool_]:
    """Return a mask without its holes of up to ``max_area`` pixels.

    A hole is background, connected by edges, that does not reach the image's border.

    Parameters
    ----------
    mask : ndarray of bool, shape (H, W)
    max_area : float
        In pixels; all holes by default.
    """
    filled = mask.copy()
    box = mask_to_box(mask)
    if box is None:
        return filled
    inside = filled[box[0] : box[2], box[1] : box[3]]
    labels, count = ndimage.label(~inside)
    areas = np.bincount(labels.ravel(), minlength=count + 1)
    is_hole = areas <= max_area
    # What touches the box's edge is open, or would have enlarged the box.
    is_hole[_edge_values(labels)] = False
    is_hole[0] = False
    inside |= is_hole[labels]
    return filled


def remove_small_parts(mask: NDArray[np.bool_], min_area: float) -> NDArray:
    """Return a mask without its parts of fewer than ``min_area`` pixels.

    Parts are connected by edges or corners. If all are small the largest stays.

    Parameters
    ----------
    mask : ndarray of bool, shape (H, W)
    min_area : float
        In pixels.
    """
    labels, count = ndimage.label(mask, structure=EIGHT_NEIGHBOURS)
    if count <= 1:
        return mask.copy()
    areas = np.bincount(labels.ravel())
    areas[0] = 0  # background
    kept = areas >= max(1, min(min_area, areas.max()))
    result: NDArray[np.bool_] = kept[labels]
    return result


def largest_part(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Return only the largest part of a mask, connected by edges or corners.

    Parameters
    ----------
    mask : ndarray of bool, shape (H, W)
    """
    labels, count = ndimage.label(mask, structure=EIGHT_NEIGHBOURS)
    if count <= 1:
        return mask.copy()
    areas = np.bincount(labels.ravel())
    areas[0] = 0  # background
    largest: NDArray[np.bool_] = labels == areas.argmax()
    return largest


def _edge_values(labels: NDArray[np.int32]) -> NDArray[np.int32]:
    """Return the values that occur on the border of a label image."""
    edges = (labels[0], labels[-1], labels[:, 0], labels[:, -1])
    return np.unique(np.concatenate(edges))
