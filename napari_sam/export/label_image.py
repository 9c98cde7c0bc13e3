"""Many masks as one label image."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from napari_sam.structures import MaskRecord


def paint_records(
    records: Sequence[MaskRecord], ids: Sequence[int], shape: tuple[int, int]
) -> NDArray[np.int32]:
    """Paint masks into a label image.

    Of two on one pixel, the one with the higher predicted IoU wins; of equal ones, the
    earlier.

    Parameters
    ----------
    records : sequence of MaskRecord
    ids : sequence of int
        Id of each, above 0.
    shape : tuple of int
        (H, W) of the full image.

    Returns
    -------
    ndarray of int32, shape (H, W)
        0 where there is no mask.
    """
    labels = np.zeros(shape, np.int32)
    scores = np.array([-record.predicted_iou for record in records])
    for index in np.argsort(scores, kind="stable")[::-1]:
        record = records[index]
        row, col = record.origin
        height, width = record.mask.shape
        window = labels[row : row + height, col : col + width]
        window[record.mask] = ids[index]
    return labels
