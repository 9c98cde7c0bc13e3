"""The overview picture of a demo: a panel for each sample."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

PANEL = 256
COLUMNS = 3
GAP = 6

Picture = NDArray[np.uint8]


def half_and_half(left: Picture, right: Picture) -> Picture:
    """Show the left half of one picture beside the right half of another.

    Parameters
    ----------
    left, right : ndarray of uint8, shape (H, W, 3)

    Returns
    -------
    ndarray of uint8, shape (PANEL, PANEL, 3)
        Their middle; small pictures are enlarged by a whole number first.
    """
    before, after = _square(left), _square(right)
    middle = PANEL // 2
    before[:, middle:] = after[:, middle:]
    before[:, middle - 1 : middle + 1] = 255
    return before


def contact_sheet(panels: list[Picture]) -> Picture:
    """Lay panels out in rows of `COLUMNS` on white.

    Parameters
    ----------
    panels : list of ndarray of uint8, shape (PANEL, PANEL, 3)
        At least one.

    Returns
    -------
    ndarray of uint8, shape (H, W, 3)
    """
    columns = min(COLUMNS, len(panels))
    rows = -(-len(panels) // columns)
    pitch = PANEL + GAP
    sheet = np.full((rows * pitch - GAP, columns * pitch - GAP, 3), 255, np.uint8)
    for number, panel in enumerate(panels):
        top, left = (pitch * each for each in divmod(number, columns))
        sheet[top : top + PANEL, left : left + PANEL] = panel
    return sheet


def _square(picture: Picture) -> Picture:
    """Cut the middle out, or fill up with black where even enlarging is too small."""
    zoom = max(1, PANEL // min(picture.shape[:2]))
    large = picture.repeat(zoom, axis=0).repeat(zoom, axis=1)
    top, left = (max(0, (side - PANEL) // 2) for side in large.shape[:2])
    crop = large[top : top + PANEL, left : left + PANEL]
    square = np.zeros((PANEL, PANEL, 3), np.uint8)
    square[: crop.shape[0], : crop.shape[1]] = crop
    return square
