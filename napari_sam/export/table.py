"""A table of objects as comma-separated values."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from napari_sam.export.files import replacing
from napari_sam.export.objects import ExportedObject


@dataclass(frozen=True)
class PixelSize:
    """What a pixel measures.

    Attributes
    ----------
    row, col : float
        Height and width of a pixel, in ``unit``.
    unit : str
    """

    row: float
    col: float
    unit: str


def write_table(
    path: Path, objects: Sequence[ExportedObject], pixel: PixelSize | None = None
) -> None:
    """Write one row for each object.

    Parameters
    ----------
    path : Path
    objects : sequence of ExportedObject
    pixel : PixelSize, optional
        Adds the area in physical units.

    Raises
    ------
    ExportError
        The file cannot be written.
    """
    rows = [_row(each, pixel) for each in objects]
    names = list(rows[0]) if rows else list(_row_names(pixel))
    with (
        replacing(path) as partial,
        partial.open("w", newline="", encoding="utf-8") as file,
    ):
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows(rows)


def _row_names(pixel: PixelSize | None) -> list[str]:
    physical = [] if pixel is None else [f"area_{pixel.unit}2"]
    return [
        *("id", "class", "text_score", "predicted_iou", "stability_score", "area_px"),
        *physical,
        *("centroid_row", "centroid_col", "row0", "col0", "row1", "col1"),
    ]


def _row(each: ExportedObject, pixel: PixelSize | None) -> dict[str, Any]:
    row, col = each.centroid
    physical = [] if pixel is None else [f"{each.area * pixel.row * pixel.col:.6g}"]
    score = "" if each.text_score is None else f"{each.text_score:.4f}"
    values = [
        each.id,
        each.name,
        score,
        f"{each.record.predicted_iou:.4f}",
        f"{each.record.stability_score:.4f}",
        each.area,
        *physical,
        f"{row:.2f}",
        f"{col:.2f}",
        *each.box,
    ]
    return dict(zip(_row_names(pixel), values, strict=True))
