"""How large objects are, in the units of their image."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from napari_sam.session.axes import is_time
from napari_sam.session.objects import SegmentedObject

NO_UNITS = ("pixel", "pixels", "")


@dataclass(frozen=True)
class Size:
    """How large an object is.

    Attributes
    ----------
    area : float
        In a plane; of an object in several, the mean of them.
    volume : float
        NaN for an object in a single plane, or in the frames of a movie.
    """

    area: float
    volume: float = float("nan")


@dataclass(frozen=True)
class PixelSizes:
    """How large the pixels of an array are.

    Attributes
    ----------
    lengths : tuple of float
        Along each axis; empty if all are 1.
    names : tuple of str
        Of the axes; empty if they have none.
    units : tuple of str
        Of the lengths; empty or "pixel" if they have none.
    """

    lengths: tuple[float, ...] = ()
    names: tuple[str, ...] = ()
    units: tuple[str, ...] = ()

    def measure(self, found: SegmentedObject) -> Size:
        """Return how large an object is."""
        plane = found.plane
        points = {region.plane.point for region in found.regions}
        in_plane = found.area * self._length(plane.rows) * self._length(plane.cols)
        area = in_plane / len(points)
        along = [
            axis for axis in plane.hidden if len({point[axis] for point in points}) > 1
        ]
        if len(along) != 1 or is_time(self.names, along[0]):
            return Size(area)
        return Size(area, in_plane * self._length(along[0]))

    def unit(self, power: int) -> str:
        """Return the unit of areas (2) or volumes (3); "" if there is no such unit."""
        # The last axes are those of space.
        wanted = set(self.units[-power:])
        if len(wanted) != 1 or wanted <= set(NO_UNITS):
            return ""
        return f"{wanted.pop()}{'²' if power == 2 else '³'}"

    def _length(self, axis: int) -> float:
        return self.lengths[axis] if axis < len(self.lengths) else 1.0


PIXELS = PixelSizes()


NAMES = (
    "index",
    "class",
    "phrase",
    "text_score",
    "predicted_iou",
    "stability_score",
    "area",
    "volume",
    "prompts",
)


class Columns:
    """A table of objects as columns; objects that stay are not measured anew."""

    def __init__(self) -> None:
        self._sizes = PIXELS
        self._rows: dict[SegmentedObject, tuple[Any, ...]] = {}

    def of(
        self, objects: Iterable[SegmentedObject], sizes: PixelSizes = PIXELS
    ) -> dict[str, list[Any]]:
        """Return the columns, for ``Labels.features``."""
        known = self._rows if sizes == self._sizes else {}
        self._sizes = sizes
        self._rows = {each: known.get(each) or _row(each, sizes) for each in objects}
        rows = self._rows.values()
        return {name: [row[place] for row in rows] for place, name in enumerate(NAMES)}


def columns(
    objects: Iterable[SegmentedObject], sizes: PixelSizes = PIXELS
) -> dict[str, list[Any]]:
    """Return a table of objects as columns, for ``Labels.features``."""
    return Columns().of(objects, sizes)


def _row(each: SegmentedObject, sizes: PixelSizes) -> tuple[Any, ...]:
    size = sizes.measure(each)
    return (
        each.id,
        each.class_name,
        each.phrase,
        _or_nan(each.text_score),
        each.predicted_iou,
        each.stability_score,
        size.area,
        size.volume,
        each.prompts_text,
    )


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value
