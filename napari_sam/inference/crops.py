"""Overlapping crops of an image, for small objects; boxes are (row0, col0, row1, col1).

The layout is that of Kirillov et al., "Segment Anything" (2023), appendix B.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_sam.geometry import Box

# A box this near to the edge of a crop, in pixels, counts as cut off by it.
EDGE_DISTANCE = 20.0


@dataclass(frozen=True)
class Crop:
    """A part of the image; layer 0 is the whole image."""

    box: Box
    layer: int

    @property
    def shape(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        row0, col0, row1, col1 = self.box
        return row1 - row0, col1 - col0


def make_crops(
    image_shape: tuple[int, int], layers: int, overlap_ratio: float
) -> list[Crop]:
    """Lay out the whole image and then, layer by layer, twice as many crops a side.

    Parameters
    ----------
    image_shape : tuple of int
        (H, W).
    layers : int
        Layers of crops beyond the whole image.
    overlap_ratio : float
        How much neighbours in the first layer overlap, as a fraction of the image's
        short side; half of it in the next layer, and so on.

    Returns
    -------
    list of Crop
    """
    crops = [Crop((0, 0, *image_shape), 0)]
    for layer in range(1, layers + 1):
        count = 2**layer
        overlap = int(overlap_ratio * min(image_shape) * 2 / count)
        rows, cols = (_spans(side, count, overlap) for side in image_shape)
        crops += [
            Crop((row0, col0, row1, col1), layer)
            for col0, col1 in cols
            for row0, row1 in rows
        ]
    return crops


def _spans(side: int, count: int, overlap: int) -> list[tuple[int, int]]:
    """Start and stop of ``count`` overlapping pieces of one axis."""
    length = math.ceil((overlap * (count - 1) + side) / count)
    starts = [(length - overlap) * index for index in range(count)]
    return [(start, min(start + length, side)) for start in starts]


def point_grid(points_per_side: int) -> NDArray[np.float64]:
    """Evenly spaced (x, y) positions, row by row, in fractions of the image.

    Returns
    -------
    ndarray of float64, shape (points_per_side ** 2, 2)
    """
    centres = (np.arange(points_per_side) + 0.5) / points_per_side
    x, y = np.meshgrid(centres, centres)
    return np.stack([x.ravel(), y.ravel()], axis=-1)


def is_cut_off(
    boxes: NDArray[np.int64], crop: Box, image_shape: tuple[int, int]
) -> NDArray[np.bool_]:
    """Whether boxes end at a crop's edge where the image goes on.

    Parameters
    ----------
    boxes : ndarray, shape (N, 4)
        First and last row and column, (row0, col0, row1, col1), of the full image.
    crop : tuple of int
    image_shape : tuple of int

    Returns
    -------
    ndarray of bool, shape (N,)
    """
    at_crop = np.abs(boxes - np.array(crop)) <= EDGE_DISTANCE
    at_image = np.abs(boxes - np.array((0, 0, *image_shape))) <= EDGE_DISTANCE
    cut: NDArray[np.bool_] = (at_crop & ~at_image).any(axis=1)
    return cut
