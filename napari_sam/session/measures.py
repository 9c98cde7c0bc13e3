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


def columns(
    objects: Iterable[SegmentedObject], sizes: PixelSizes = PIXELS
) -> dict[str, list[Any]]:
    """Return a table of objects as columns, for ``Labels.features``."""
    found = list(objects)
    measured = [sizes.measure(each) for each in found]
    return {
        "index": [each.id for each in found],
        "class": [each.class_name for each in found],
        "phrase": [each.phrase for each in found],
        "text_score": [_or_nan(each.text_score) for each in found],
        "predicted_iou": [each.predicted_iou for each in found],
        "stability_score": [each.stability_score for each in found],
        "area": [each.area for each in measured],
        "volume": [each.volume for each in measured],
        "prompts": [each.prompts_text for each in found],
    }


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value
