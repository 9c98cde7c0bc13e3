"""Objects as rows: what tables and annotation files hold of each."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from napari_sam.export.registry import Table
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


def objects_of(
    labels: NDArray[np.integer], table: Table | None = None
) -> list[ExportedObject]:
    """Split a label image (H, W) into its objects, in the order of their ids.

    Parameters
    ----------
    labels : ndarray of int, shape (H, W)
    table : mapping of str to sequence, optional
        As an `Exporter` takes; what it does not tell is 1, or the class "object".
    """
    known = _rows(table)
    ids, index = np.unique(labels, return_inverse=True)
    dense = index.reshape(labels.shape) + 1
    objects: list[ExportedObject] = []
    class_ids: dict[str, int] = {}
    for which, (number, box) in enumerate(
        zip(ids, find_objects(dense), strict=True), start=1
    ):
        if number:
            mask, origin = dense[box] == which, (box[0].start, box[1].start)
            row = known.get(int(number), {})
            objects.append(_described(int(number), mask, origin, row, class_ids))
    return objects


def _rows(table: Table | None) -> dict[int, dict[str, Any]]:
    """Return the row of each id."""
    if table is None or "index" not in table:
        return {}
    columns = {name: list(table[name]) for name in table}
    return {
        int(number): {name: values[place] for name, values in columns.items()}
        for place, number in enumerate(columns["index"])
    }


def _described(
    number: int,
    mask: NDArray[np.bool_],
    origin: tuple[int, int],
    row: dict[str, Any],
    class_ids: dict[str, int],
) -> ExportedObject:
    """Return an object as its row tells; a class that is new gets the next number."""
    iou, stability = (
        _number(row, name) for name in ("predicted_iou", "stability_score")
    )
    record = MaskRecord(
        mask, origin, 1 if iou is None else iou, 1 if stability is None else stability
    )
    name = str(row.get("class", "object"))
    class_id = class_ids.setdefault(name, len(class_ids) + 1)
    return ExportedObject(number, record, name, class_id, _number(row, "text_score"))


def _number(row: dict[str, Any], name: str) -> float | None:
    """Return a number of a row; None if it is missing or not a number."""
    value = row.get(name)
    return None if value is None or value != value else float(value)
