"""Where things lie: a layer's shown plane, and layers laid over a part of it.

World coordinates exist only here and in `viewer_link`: the rest works in pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam.session.plane import Plane
from napari_sam.structures import Frame


def image_shape(layer: Any) -> tuple[int, ...]:
    """Return an image layer's shape at full resolution, without its colour axis."""
    data = layer.data[0] if layer.multiscale else layer.data
    return tuple(int(side) for side in data.shape[: layer.ndim])


def shown_plane(layer: Any, dims: Any) -> Plane | None:
    """Return the plane of a layer that a viewer shows in 2D.

    Parameters
    ----------
    layer : Layer
    dims : Dims
        Of the viewer.

    Returns
    -------
    Plane or None
        None in 3D, where the layer lacks a shown axis, or has only one.
    """
    if dims.ndisplay != 2 or layer.ndim < 2:
        return None
    # The viewer's last axes are the layer's.
    extra = dims.ndim - layer.ndim
    rows, cols = (axis - extra for axis in dims.displayed)
    if min(rows, cols) < 0:
        return None
    shape = image_shape(layer)
    position = np.asarray(layer.world_to_data(dims.point))
    point = np.clip(np.round(position).astype(int), 0, np.array(shape) - 1)
    point[[rows, cols]] = 0
    return Plane(shape, rows, cols, tuple(int(each) for each in point))


def common_transform(layer: Any) -> dict[str, Any]:
    """Return what places a layer over another of the same pixels."""
    return {
        "scale": tuple(layer.scale),
        "translate": tuple(layer.translate),
        "rotate": layer.rotate,
        "shear": layer.shear,
        "affine": layer.affine,
        "units": layer.units,
        "axis_labels": layer.axis_labels,
    }


def frame_transform(layer: Any, plane: Plane, frame: Frame) -> dict[str, Any]:
    """Return what places a layer of a frame's samples over an image layer.

    Parameters
    ----------
    layer : Image
    plane : Plane
        Of the image.
    frame : Frame
        In the plane.
    """
    place = common_transform(layer)
    step = np.ones(layer.ndim)
    step[[plane.rows, plane.cols]] = frame.step
    # Napari's position 0 is the centre of pixel 0, a frame's is its edge.
    first = np.array(frame.origin) + np.array(frame.step) / 2 - 0.5
    corner = plane.to_array(first[None])[0]
    world = np.asarray(layer.data_to_world(corner))
    place["scale"] = tuple(np.asarray(layer.scale) * step)
    place["translate"] = tuple(np.asarray(layer.affine.inverse(world)).ravel())
    return place


def frame_shape(plane: Plane, frame: Frame) -> tuple[int, ...]:
    """Return the array shape of a frame's samples, one along each hidden axis."""
    shape = [1] * len(plane.shape)
    shape[plane.rows], shape[plane.cols] = frame.shape
    return tuple(shape)


def to_pixels(layer: Any, plane: Plane, world: Sequence[float]) -> tuple[float, float]:
    """Return the (row, col) in a plane of a world position."""
    position = np.asarray(layer.world_to_data(world), np.float64)[None]
    row, col = plane.from_array(position)[0]
    return float(row), float(col)


def shown_box(layer: Any, plane: Plane) -> tuple[int, int, int, int]:
    """Return the (row0, col0, row1, col1) pixels of a plane that are on screen."""
    corners: NDArray[np.float64] = np.asarray(layer.corner_pixels, np.float64)
    if layer.multiscale:
        corners = corners * layer.downsample_factors[layer.data_level]
    low, high = plane.from_array(corners)
    size = np.array(plane.size)
    start = np.clip(np.floor(low), 0, size - 1).astype(int)
    stop = np.clip(np.ceil(high) + 1, start + 1, size).astype(int)
    return int(start[0]), int(start[1]), int(stop[0]), int(stop[1])
