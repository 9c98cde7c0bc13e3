"""Which true object a mask meets."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from napari_sam.structures import MaskRecord


def best_match(record: MaskRecord, labels: NDArray[np.integer]) -> tuple[float, int]:
    """The highest IoU of a mask with an object, and the object.

    Parameters
    ----------
    record : MaskRecord
        Not empty.
    labels : ndarray of int, shape (H, W)
        Of the whole image.

    Returns
    -------
    tuple of float and int
        0 and 0 if it meets none.
    """
    (row, col), (height, width) = record.origin, record.mask.shape
    covered = labels[row : row + height, col : col + width][record.mask]
    shared = np.bincount(covered)
    shared[0] = 0
    best = int(shared.argmax())
    if best == 0:
        return 0.0, 0
    union = len(covered) + np.count_nonzero(labels == best) - shared[best]
    return float(shared[best] / union), best
