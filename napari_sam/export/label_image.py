"""Many masks as one label image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray


def paint_masks(
    masks: Sequence[NDArray[np.bool_]],
    ids: Sequence[int],
    scores: Sequence[float],
    shape: tuple[int, ...],
) -> NDArray[np.int32]:
    """Paint masks into a label image; of two on one pixel the higher score wins.

    Parameters
    ----------
    masks : sequence of ndarray of bool, shape ``shape``
    ids : sequence of int
        Id of each mask, above 0.
    scores : sequence of float
        Such as the predicted IoU. Of equal ones the earlier mask wins.
    shape : tuple of int
        (H, W) or more axes.

    Returns
    -------
    ndarray of int32, shape ``shape``
        0 where there is no mask.
    """
    labels = np.zeros(shape, np.int32)
    order = np.argsort(-np.asarray(scores, np.float64), kind="stable")
    for index in order[::-1]:
        labels[masks[index]] = ids[index]
    return labels
