"""What propagation finds: a mask of each object in each slice, and how sure it is."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam.structures import MaskRecord


@dataclass(frozen=True, eq=False)
class SliceMask:
    """One object in one slice.

    Attributes
    ----------
    record : MaskRecord
        Its mask, cut to its box, in pixels of the slice.
    confidence : float
        0..1: the predicted IoU, less where the mask disagrees with its neighbour. 1
        where a person confirmed the mask.
    rank : int
        What wins where objects overlap, before confidence does: 0 propagated, 1
        prompted here, 2 confirmed.
    """

    record: MaskRecord
    confidence: float
    rank: int = 0

    @property
    def area(self) -> int:
        """Pixels of the mask."""
        return int(np.count_nonzero(self.record.mask))

    @property
    def region(self) -> tuple[slice, slice]:
        """The mask's box as slices of the plane."""
        (row, col), (height, width) = self.record.origin, self.record.mask.shape
        return slice(row, row + height), slice(col, col + width)

    def full(self, shape: tuple[int, int]) -> NDArray[np.bool_]:
        """Return the mask in a plane of ``shape``, bool (rows, columns)."""
        canvas = np.zeros(shape, dtype=bool)
        canvas[self.region] = self.record.mask
        return canvas


def slice_iou(
    mask: SliceMask, other: SliceMask, shift: tuple[int, int] = (0, 0)
) -> float:
    """IoU of two masks, the first moved by (rows, columns).

    Parameters
    ----------
    mask, other : SliceMask
    shift : tuple of int
    """
    shared = shared_pixels(mask, other, shift)
    union = mask.area + other.area - shared
    return shared / union if union else 0.0


def shared_pixels(
    mask: SliceMask, other: SliceMask, shift: tuple[int, int] = (0, 0)
) -> int:
    """Number of pixels that two masks share, the first moved by (rows, columns).

    Parameters
    ----------
    mask, other : SliceMask
    shift : tuple of int
    """
    (row, col), (top, left) = mask.record.origin, other.record.origin
    row, col = row + shift[0], col + shift[1]
    (h, w), (height, width) = mask.record.mask.shape, other.record.mask.shape
    row0, col0 = max(row, top), max(col, left)
    row1, col1 = min(row + h, top + height), min(col + w, left + width)
    if row0 >= row1 or col0 >= col1:
        return 0
    one = mask.record.mask[row0 - row : row1 - row, col0 - col : col1 - col]
    two = other.record.mask[row0 - top : row1 - top, col0 - left : col1 - left]
    return int(np.count_nonzero(one & two))


@dataclass(eq=False)
class VolumeObject:
    """One object through the slices.

    Attributes
    ----------
    slices : dict of int to SliceMask
        By slice index; a slice without the object is missing.
    anchors : set of int
        Slices where it was prompted or confirmed, or confirmed to be absent.
    ended : dict of str to (int, str)
        Where "forward" and "backward" stopped, and in words why; missing where the
        volume's end or another anchor was reached.
    class_name : str
        What words called it; "" if none was asked for.
    text_score : float
        Mean over its pixels that answered, 0 to 1; nan without a class.
    """

    slices: dict[int, SliceMask] = field(default_factory=dict)
    anchors: set[int] = field(default_factory=set)
    ended: dict[str, tuple[int, str]] = field(default_factory=dict)
    class_name: str = ""
    text_score: float = math.nan

    @property
    def confidence(self) -> dict[int, float]:
        """Confidence by slice index, in order."""
        return {n: self.slices[n].confidence for n in sorted(self.slices)}

    @property
    def voxels(self) -> int:
        """Number of voxels."""
        return sum(each.area for each in self.slices.values())

    def worst_slice(self) -> int | None:
        """The least confident slice that no prompt is on; None if there is none."""
        free = [(c, n) for n, c in self.confidence.items() if n not in self.anchors]
        return min(free)[1] if free else None


@dataclass(eq=False)
class VolumeSegmentation:
    """Objects of a volume, kept as one small mask a slice.

    Attributes
    ----------
    shape : tuple of int
        Of the volume, three axes, without channels.
    axis : int
        The axis that was walked along: slice indices count along it.
    objects : dict of int to VolumeObject
        By id.
    complete : bool
        False if it was cancelled: what had been found by then is kept.
    message : str
        What to tell a user who asked by words; "" if nobody did.
    """

    shape: tuple[int, ...]
    axis: int = 0
    objects: dict[int, VolumeObject] = field(default_factory=dict)
    complete: bool = True
    message: str = ""

    @property
    def slice_shape(self) -> tuple[int, int]:
        """(rows, columns) of a slice."""
        rows, cols = (side for n, side in enumerate(self.shape) if n != self.axis)
        return rows, cols

    @property
    def indices(self) -> list[int]:
        """Slices with at least one object, in order."""
        return sorted({n for each in self.objects.values() for n in each.slices})

    def at(self, index: int) -> dict[int, SliceMask]:
        """The objects of one slice, by id."""
        return {
            identifier: each.slices[index]
            for identifier, each in self.objects.items()
            if index in each.slices
        }

    def plane(self, index: int) -> NDArray[np.int32]:
        """Return the ids of one slice, int32 (rows, columns), 0 for background."""
        canvas = np.zeros(self.slice_shape, np.int32)
        for identifier, each in self.at(index).items():
            canvas[each.region][each.record.mask] = identifier
        return canvas

    def labels(self) -> NDArray[np.int32]:
        """Return the ids of the whole volume, int32, in the volume's own axis order."""
        canvas = np.zeros(self.shape, np.int32)
        self.paint(canvas)
        return canvas

    def paint(self, out: Any) -> None:
        """Write the ids into an array, one slice at a time.

        Parameters
        ----------
        out : array-like, of the volume's shape
            numpy or zarr; slices without objects are not touched.
        """
        for index in self.indices:
            out[(slice(None),) * self.axis + (index,)] = self.plane(index)


def iterate_masks(
    result: VolumeSegmentation,
) -> Iterator[tuple[int, int, SliceMask]]:
    """Yield (id, slice index, mask) of everything found, in order."""
    for identifier in sorted(result.objects):
        slices: Mapping[int, SliceMask] = result.objects[identifier].slices
        for index in sorted(slices):
            yield identifier, index, slices[index]
