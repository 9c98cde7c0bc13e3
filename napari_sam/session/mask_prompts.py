"""Masks that someone has already, as prompts no larger than what they enclose."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam.structures import Frame, MaskPrompt

# As sure as the masks that models are trained to take up.
SURE_LOGIT = 6.0


def prompt_of_mask(mask: NDArray[Any], origin: tuple[int, int]) -> MaskPrompt:
    """Return a mask in a part of the plane as a prompt.

    Every step of the history keeps the prompts it was made with: a mask of the whole
    plane in each would fill the memory.

    Parameters
    ----------
    mask : ndarray, shape (h, w)
        Above 0 on the object.
    origin : tuple of int
        (row, col) of its upper left pixel in the plane.

    Returns
    -------
    MaskPrompt
        Logits of float32 with a rim of background, shape (h + 2, w + 2).
    """
    inside = np.pad(np.asarray(mask) > 0, 1)
    logits = np.where(inside, SURE_LOGIT, -SURE_LOGIT).astype(np.float32)
    corner = (float(origin[0]) - 1, float(origin[1]) - 1)
    return MaskPrompt(logits, Frame(corner, (1.0, 1.0), inside.shape))
