"""How much an object stands out from its surroundings, and what is left as it fades."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import (
    binary_fill_holes,
    distance_transform_edt,
    gaussian_filter,
)

from napari_sam.geometry import mask_to_box
from napari_sam.inference.postprocess import largest_part
from napari_sam.inference.volume_result import SliceMask

# What stands out less, in brightness of 0 to 1, is known by its outline alone.
FAINT = 0.08
# An object has waned where its bulk is less than this share of the most.
WANED = 0.8
# It fades where it stands out by less than this share of the most.
FADING = 0.7
# Single pixels are judged after smoothing over so many.
SMOOTHING = 1.0


@dataclass(frozen=True)
class Bulk:
    """How much of an object there was on its way.

    Attributes
    ----------
    most : float
        In one slice.
    least : float
        Since then.
    place : int
        Slice of the least.
    """

    most: float
    least: float
    place: int

    def after(self, index: int, bulk: float) -> Bulk:
        """Return what is known after a further slice.

        Parameters
        ----------
        index : int
        bulk : float
            In that slice.
        """
        if bulk >= self.most:
            return Bulk(bulk, bulk, index)
        if bulk <= self.least:
            return replace(self, least=bulk, place=index)
        return self

    def revives(self, bulk: float, factor: float) -> bool:
        """Whether an object that has waned is so much bulkier again.

        Parameters
        ----------
        bulk : float
            In a further slice.
        factor : float
            0 says that it never is.
        """
        has_waned = self.least < WANED * self.most
        return factor > 0 and has_waned and bulk > factor * self.least


def bulk_of(found: SliceMask, stands_out: float, contrast: float) -> float:
    """How much of an object a mask holds: its width, times how much it stands out.

    Parameters
    ----------
    found : SliceMask
    stands_out : float
        See `stand_out`.
    contrast : float
        The most that the object did so; where that is 0, the area alone counts.
    """
    if not contrast:
        return float(found.area)
    seen = max(math.copysign(stands_out, stands_out * contrast), 0.0)
    return math.sqrt(found.area) * seen


def first_contrast(found: SliceMask, plane: NDArray[np.float32]) -> float:
    """`stand_out` of a prompted mask; 0 if it is too faint to judge others by.

    Parameters
    ----------
    found : SliceMask
    plane : ndarray of float32, shape (rows, columns)
    """
    contrast = stand_out(found, plane)
    return contrast if abs(contrast) >= FAINT else 0.0


def stand_out(found: SliceMask, plane: NDArray[np.float32]) -> float:
    """Brightness of a mask minus that of a ring around it.

    Parameters
    ----------
    found : SliceMask
    plane : ndarray of float32, shape (rows, columns)

    Returns
    -------
    float
        Negative for an object darker than its surroundings.
    """
    crop, inside, ring = _surrounded(found, plane)
    if not ring.any() or not inside.any():
        return 0.0
    return float(crop[inside].mean() - crop[ring].mean())


def clearest_part(
    found: SliceMask, plane: NDArray[np.float32], least: float
) -> SliceMask | None:
    """Keep of a mask the largest part whose pixels stand out themselves.

    Towards its end a round object gets narrower, and out of focus it gets fainter; a
    mask that came from a slice where it was wide stays as wide.

    Parameters
    ----------
    found : SliceMask
    plane : ndarray of float32, shape (rows, columns)
    least : float
        By how much a pixel, smoothed a little, must be brighter than the ring around
        the mask; darker if this is negative.

    Returns
    -------
    SliceMask or None
        None if nothing is left.
    """
    crop, inside, ring = _surrounded(found, plane)
    if not ring.any():
        return found
    excess = gaussian_filter(crop, SMOOTHING) - crop[ring].mean()
    is_clear = inside & (excess * math.copysign(1.0, least) > abs(least))
    if not is_clear.any():
        return None
    part = binary_fill_holes(largest_part(is_clear)) & inside
    (row, col), width = found.record.origin, _ring_width(found)
    corner = max(row - width, 0), max(col - width, 0)
    top, left, bottom, right = mask_to_box(part) or (0, 0, 0, 0)
    origin = corner[0] + top, corner[1] + left
    record = replace(found.record, mask=part[top:bottom, left:right], origin=origin)
    return replace(found, record=record)


def _ring_width(found: SliceMask) -> int:
    return max(2, round(math.sqrt(found.area) / 6))


def _surrounded(
    found: SliceMask, plane: NDArray[np.float32]
) -> tuple[NDArray[np.float32], NDArray[np.bool_], NDArray[np.bool_]]:
    """A crop of the slice around a mask, the mask in it, and a ring around that."""
    width = _ring_width(found)
    (top, left), (height, width_) = found.record.origin, found.record.mask.shape
    row0, col0 = max(top - width, 0), max(left - width, 0)
    row1 = min(top + height + width, plane.shape[0])
    col1 = min(left + width_ + width, plane.shape[1])
    inside = np.zeros((row1 - row0, col1 - col0), dtype=bool)
    inside[top - row0 :, left - col0 :][:height, :width_] = found.record.mask
    ring = (distance_transform_edt(~inside) <= width) & ~inside
    return plane[row0:row1, col0:col1], inside, ring
