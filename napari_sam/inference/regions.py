"""Objects that dense maps suggest: seeds, and the region around each."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from napari_sam.geometry import Box, frame_to_image
from napari_sam.inference.basins import find_basins
from napari_sam.inference.postprocess import DrawnMask, draw_mask
from napari_sam.structures import Frame

# A pixel is foreground from this probability on.
FOREGROUND = 0.5
# The distances of a region reach at least this.
PEAK_HEIGHT = 0.3
# Regions that overlap by a higher IoU are the same suggestion.
SAME_REGION = 0.85

Map = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class DenseMaps:
    """What a dense head says of an image, or of part of it.

    Attributes
    ----------
    foreground, centre, boundary : ndarray of float32, shape (h, w)
        Probability; nearness to the object's centre and distance from its boundary,
        both 0 to 1 in each object.
    frame : Frame
        Where the samples lie in the full image.
    log_size : ndarray of float32, shape (h, w), or None
        log2 of the square root of the area, in image pixels, of the object that each
        sample belongs to; None if the head does not say.
    """

    foreground: Map
    centre: Map
    boundary: Map
    frame: Frame
    log_size: Map | None = None


@dataclass(frozen=True)
class Splitting:
    """How finely touching objects are told apart.

    Attributes
    ----------
    smoothing : float
        Standard deviation of the filter before seeds are looked for, in samples.
    prominence : float
        How much a seed stands out from what joins it to a higher one.
    """

    smoothing: float
    prominence: float


@dataclass(frozen=True, eq=False)
class Region:
    """One suggested object.

    Attributes
    ----------
    mask : ndarray of bool, shape (h, w)
        In samples, inside ``box``.
    box : tuple of int
        (row0, col0, row1, col1) in samples.
    seed : tuple of int
        (row, col) of its peak, in samples.
    frame : Frame
        Of the maps it comes from.
    certainty : float
        Mean foreground probability inside.
    log_size : float or None
        The median of what the maps say of the object's size inside.
    """

    mask: NDArray[np.bool_]
    box: Box
    seed: tuple[int, int]
    frame: Frame
    certainty: float
    log_size: float | None

    @property
    def size_mismatch(self) -> float:
        """Octaves between the region's own size and the one that its pixels tell."""
        if self.log_size is None:
            return 0.0
        return abs(math.log2(self.area) / 2 - self.log_size)

    @property
    def area(self) -> float:
        """In image pixels."""
        down, right = self.frame.step
        return float(np.count_nonzero(self.mask)) * down * right

    @property
    def corners(self) -> NDArray[np.float64]:
        """Box in image pixels, [[row0, col0], [row1, col1]]."""
        return frame_to_image(np.reshape(self.box, (2, 2)), self.frame)

    @property
    def centre(self) -> tuple[float, float]:
        """(row, col) of the pixel under the seed, in the image."""
        row, col = frame_to_image(np.array(self.seed) + 0.5, self.frame) - 0.5
        return float(row), float(col)


def draw_region(region: Region, image_shape: tuple[int, int]) -> DrawnMask | None:
    """Draw a region in image pixels; None if no pixel is on it.

    Parameters
    ----------
    region : Region
    image_shape : tuple of int
        (H, W) of the full image.
    """
    sides = np.where(np.pad(region.mask, 1), 1.0, -1.0).astype(np.float32)
    corner = frame_to_image(np.array(region.box[:2]) - 1, region.frame)
    origin = (float(corner[0]), float(corner[1]))
    shape = (sides.shape[0], sides.shape[1])
    frame = Frame(origin, region.frame.step, shape)
    return draw_mask(torch.from_numpy(sides), frame, image_shape)


def usual_size(maps: DenseMaps) -> float | None:
    """Median side, in samples, of the objects that the foreground's samples belong to.

    None if there is no foreground, or the maps do not tell sizes.
    """
    inside = maps.foreground > FOREGROUND
    if maps.log_size is None or not inside.any():
        return None
    return float(2 ** np.median(maps.log_size[inside])) / maps.frame.step[0]


def find_regions(maps: DenseMaps, splitting: Splitting) -> list[Region]:
    """Split the foreground at the valleys between seeds.

    Parameters
    ----------
    maps : DenseMaps
    splitting : Splitting

    Returns
    -------
    list of Region
        In the order of their seeds, row by row.
    """
    inside = maps.foreground > FOREGROUND
    if not inside.any():
        return []
    distance = (maps.centre + maps.boundary) / 2
    height: Map = (maps.foreground * distance).astype(np.float32)
    smooth = ndimage.gaussian_filter(height, splitting.smoothing)
    labels, seeds = find_basins(smooth, inside, splitting.prominence)
    return list(_cut_out(labels, seeds, height, maps))


def drop_repeats(regions: Sequence[Region]) -> list[Region]:
    """Leave out regions that are nearly the same as an earlier one.

    Parameters
    ----------
    regions : sequence of Region
        Of the same maps.
    """
    boxes = np.array([each.box for each in regions]).reshape(-1, 4)
    kept: list[int] = []
    for index, region in enumerate(regions):
        earlier = np.array(kept, int)
        low = np.maximum(boxes[earlier, :2], boxes[index, :2])
        high = np.minimum(boxes[earlier, 2:], boxes[index, 2:])
        near = earlier[(low < high).all(axis=1)]
        if all(_iou(region, regions[other]) <= SAME_REGION for other in near):
            kept.append(index)
    return [regions[index] for index in kept]


def _iou(one: Region, other: Region) -> float:
    """IoU of two regions whose boxes overlap."""
    a, b = one.box, other.box
    row0, col0, row1, col1 = (*map(max, a[:2], b[:2]), *map(min, a[2:], b[2:]))
    parts = [
        each.mask[row0 - box[0] : row1 - box[0], col0 - box[1] : col1 - box[1]]
        for each, box in ((one, a), (other, b))
    ]
    both = np.count_nonzero(parts[0] & parts[1])
    return both / (np.count_nonzero(one.mask) + np.count_nonzero(other.mask) - both)


def _cut_out(
    labels: NDArray[np.int32],
    seeds: Sequence[tuple[int, int]],
    height: Map,
    maps: DenseMaps,
) -> Iterator[Region]:
    size = maps.log_size
    places = ndimage.find_objects(labels)
    for index, (place, seed) in enumerate(zip(places, seeds, strict=True), start=1):
        mask = labels[place] == index
        if height[place][mask].max() < PEAK_HEIGHT:
            continue
        rows, cols = place
        yield Region(
            mask,
            (rows.start, cols.start, rows.stop, cols.stop),
            seed,
            maps.frame,
            float(maps.foreground[place][mask].mean()),
            None if size is None else float(np.median(size[place][mask])),
        )
