"""Objects as rows: what tables and annotation files hold of each."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from napari_sam.structures import MaskRecord


@dataclass(frozen=True, eq=False)
class ExportedObject:
    """One object with its name.

    Attributes
    ----------
    id : int
        As in the label image.
    record : MaskRecord
    name : str
        Of its class.
    class_id : int
        From 1.
    text_score : float or None
        How well it answers its phrase, if it was found by one.
    """

    id: int
    record: MaskRecord
    name: str = "object"
    class_id: int = 1
    text_score: float | None = None

    @property
    def area(self) -> int:
        """Its pixels."""
        return int(np.count_nonzero(self.record.mask))

    @property
    def box(self) -> tuple[int, int, int, int]:
        """(row0, col0, row1, col1), the stop exclusive."""
        (row, col), (height, width) = self.record.origin, self.record.mask.shape
        return row, col, row + height, col + width

    @property
    def centroid(self) -> tuple[float, float]:
        """Mean (row, col) of its pixels' centres."""
        rows, cols = np.nonzero(self.record.mask)
        row, col = self.record.origin
        return float(rows.mean()) + row + 0.5, float(cols.mean()) + col + 0.5


def objects_of(labels: NDArray[np.integer]) -> list[ExportedObject]:
    """Split a label image (H, W) into its objects, in the order of their ids."""
    ids, index = np.unique(labels, return_inverse=True)
    dense = index.reshape(labels.shape) + 1
    objects = []
    for which, (number, box) in enumerate(
        zip(ids, find_objects(dense), strict=True), start=1
    ):
        if number:
            mask, origin = dense[box] == which, (box[0].start, box[1].start)
            objects.append(ExportedObject(int(number), MaskRecord(mask, origin, 1, 1)))
    return objects
