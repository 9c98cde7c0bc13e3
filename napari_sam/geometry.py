"""Coordinates, frames, boxes and masks; no torch.

Everything is in array order, (row, col), in pixels of the full image, with one
crossing: (x, y), which models take. Edges and centres follow `napari_sam.structures`:
pixel (r, c) covers [r, r + 1) x [c, c + 1).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_sam.structures import Frame

if TYPE_CHECKING:
    from scipy import sparse

Box = tuple[int, int, int, int]


def swap_xy(positions: NDArray[np.float64]) -> NDArray[np.float64]:
    """Turn (row, col) pairs, shape (..., 2), into (x, y) ones, or back."""
    return positions[..., ::-1]


def longest_side_shape(shape: tuple[int, int], longest: int) -> tuple[int, int]:
    """Return the shape of an image once its longest side is resized to ``longest``.

    The short side is rounded half up, as SAM does, and is at least 1.
    """
    scale = longest / max(shape)
    height, width = (max(1, int(side * scale + 0.5)) for side in shape)
    return height, width


def resized_frame(image_shape: tuple[int, int], shape: tuple[int, int]) -> Frame:
    """Return the frame of a grid of ``shape`` stretched over the whole image."""
    (height, width), (rows, cols) = image_shape, shape
    return Frame((0.0, 0.0), (height / rows, width / cols), shape)


def image_to_frame(positions: NDArray[Any], frame: Frame) -> NDArray[np.float64]:
    """Express image positions (..., 2) in samples of a frame."""
    return (np.asarray(positions, np.float64) - frame.origin) / frame.step


def frame_to_image(positions: NDArray[Any], frame: Frame) -> NDArray[np.float64]:
    """Express positions (..., 2) in samples of a frame in image pixels."""
    return np.asarray(positions, np.float64) * frame.step + frame.origin


def resample(
    values: NDArray[Any], source: Frame, target: Frame, fill: float = 0.0
) -> NDArray[np.float32]:
    """Resample a grid of values on another frame.

    Bilinear, with the kernel widened to the target's step where that is coarser, so
    that nothing falls between samples.

    Parameters
    ----------
    values : ndarray, shape ``source.shape``
    source, target : Frame
        Where the values lie and where they are wanted.
    fill : float
        Value of target samples whose centre is outside the source.

    Returns
    -------
    ndarray of float32, shape ``target.shape``
    """
    rows = _axis_weights(source, target, 0)
    cols = _axis_weights(source, target, 1)
    filled = values.astype(np.float32) - np.float32(fill)
    result: NDArray[np.float32] = (cols @ (rows @ filled).T).T + np.float32(fill)
    return result


def _axis_weights(source: Frame, target: Frame, axis: int) -> sparse.csr_array:
    """Weight of each source sample in each target sample, along one axis."""
    from scipy import sparse

    count, wanted = source.shape[axis], target.shape[axis]
    scale = target.step[axis] / source.step[axis]
    offset = (target.origin[axis] - source.origin[axis]) / source.step[axis]
    centres = (np.arange(wanted) + 0.5) * scale + offset
    support = max(scale, 1.0)
    first = np.floor(centres - support).astype(int)
    taps = first[:, None] + np.arange(int(2 * support) + 2)
    weights = np.clip(1 - np.abs(taps + 0.5 - centres[:, None]) / support, 0, None)
    weights[(taps < 0) | (taps >= count)] = 0
    weights /= np.maximum(weights.sum(axis=1, keepdims=True), 1e-12)
    weights[(centres < 0) | (centres > count)] = 0
    cols = np.clip(taps, 0, count - 1).ravel()
    starts = np.arange(wanted + 1) * taps.shape[1]
    # Every row has equally many entries, so that nothing needs sorting.
    entries = (weights.ravel().astype(np.float32), cols, starts)
    return sparse.csr_array(entries, shape=(wanted, count))


def mask_to_box(mask: NDArray[np.bool_]) -> Box | None:
    """Return the (row0, col0, row1, col1) box of a mask, the stop exclusive.

    Parameters
    ----------
    mask : ndarray of bool, shape (H, W)

    Returns
    -------
    tuple of int or None
        None if the mask is empty.
    """
    rows = np.flatnonzero(mask.any(axis=1))
    if not rows.size:
        return None
    cols = np.flatnonzero(mask[rows[0] : rows[-1] + 1].any(axis=0))
    return int(rows[0]), int(cols[0]), int(rows[-1]) + 1, int(cols[-1]) + 1


def box_iou(boxes: NDArray[Any], others: NDArray[Any]) -> NDArray[np.float64]:
    """Return the IoU of each box with each other one.

    Parameters
    ----------
    boxes, others : ndarray, shapes (N, 4) and (M, 4)
        (row0, col0, row1, col1), the stop exclusive.

    Returns
    -------
    ndarray of float64, shape (N, M)
        0 where both boxes have no area.
    """
    a = np.asarray(boxes, np.float64).reshape(-1, 1, 4)
    b = np.asarray(others, np.float64).reshape(1, -1, 4)
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    common = np.clip(sides, 0, None).prod(axis=-1)
    union = _areas(a) + _areas(b) - common
    iou: NDArray[np.float64] = np.divide(
        common, union, out=np.zeros_like(common), where=union > 0
    )
    return iou


def _areas(boxes: NDArray[np.float64]) -> NDArray[np.float64]:
    sides = np.clip(boxes[..., 2:] - boxes[..., :2], 0, None)
    areas: NDArray[np.float64] = sides.prod(axis=-1)
    return areas


def mask_iou(mask: NDArray[np.bool_], other: NDArray[np.bool_]) -> float:
    """Return the IoU of two bool masks of one shape; 1 if both are empty."""
    union = np.count_nonzero(mask | other)
    return np.count_nonzero(mask & other) / union if union else 1.0


def encode_rle(mask: NDArray[np.bool_]) -> list[int]:
    """Run lengths of a mask, column by column, starting with background.

    The uncompressed form of COCO's annotations.

    Parameters
    ----------
    mask : ndarray of bool, shape (H, W)
    """
    flat = np.concatenate([[False], mask.ravel(order="F"), [True]])
    flat[-1] = not flat[-2]
    changes = np.flatnonzero(flat[1:] != flat[:-1])
    counts: list[int] = np.diff(changes, prepend=0).tolist()
    return counts


def decode_rle(counts: list[int], shape: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the (H, W) bool mask of run lengths made by `encode_rle`.

    Raises
    ------
    ValueError
        If the runs do not fill ``shape``.
    """
    if sum(counts) != shape[0] * shape[1] or min(counts, default=0) < 0:
        raise ValueError(f"The run lengths do not fill a mask of the shape {shape}.")
    values = np.arange(len(counts)) % 2 == 1
    return np.repeat(values, counts).reshape(shape, order="F")
