"""What a drawn line means: a box, points along it, or the region it encloses."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from skimage.draw import polygon

from napari_sam.session.mask_prompts import prompt_of_mask
from napari_sam.structures import BoxPrompt, MaskPrompt

SCRIBBLE_POINTS = 6


def box_of(places: NDArray[np.float64]) -> BoxPrompt | None:
    """Return the box around (N, 2) pixel positions; None if it has no area.

    Position 3 is the centre of pixel 3, which reaches from edge 3 to edge 4.
    """
    low, high = places.min(axis=0) + 0.5, places.max(axis=0) + 0.5
    if (high - low < 1).any():
        return None
    return BoxPrompt((float(low[0]), float(low[1])), (float(high[0]), float(high[1])))


def points_along(
    places: NDArray[np.float64], count: int = SCRIBBLE_POINTS
) -> list[tuple[float, float]]:
    """Return up to ``count`` positions, evenly spaced along a line (N, 2)."""
    steps = np.linalg.norm(np.diff(places, axis=0), axis=1)
    length = np.concatenate([[0.0], np.cumsum(steps)])
    wanted = np.linspace(0, length[-1], count)
    rows, cols = (np.interp(wanted, length, places[:, axis]) for axis in (0, 1))
    return [(float(r), float(c)) for r, c in zip(rows, cols, strict=True)]


def lasso_prompt(
    places: NDArray[np.float64], shape: tuple[int, int]
) -> MaskPrompt | None:
    """Return the region that a line (N, 2) encloses; None if it has no pixel.

    Parameters
    ----------
    places : ndarray of float, shape (N, 2)
        (row, col) in pixels.
    shape : tuple of int
        (H, W) of the plane; what lies outside is left out.
    """
    rows, cols = polygon(  # type: ignore[no-untyped-call]
        places[:, 0], places[:, 1], shape
    )
    if not len(rows):
        return None
    row, col = int(rows.min()), int(cols.min())
    mask = np.zeros((rows.max() - row + 1, cols.max() - col + 1), bool)
    mask[rows - row, cols - col] = True
    return prompt_of_mask(mask, (row, col))
