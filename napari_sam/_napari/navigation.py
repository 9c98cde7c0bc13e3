"""Sliders and camera, moved to what the user wants to see; no layer is touched."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from napari.layers import Image

from napari_sam.session.objects import SegmentedObject
from napari_sam.session.plane import Plane

if TYPE_CHECKING:
    from napari.components import ViewerModel


# The part of the window that an object takes: where it is well seen, and wanted.
SMALLEST_SEEN, WANTED_SEEN, LARGEST_SEEN = 0.04, 0.25, 0.9
# Looked at straight on, a stack seems flat.
ANGLES = (-20.0, 25.0, 0.0)


def camera_of(viewer: ViewerModel) -> Any:
    """Return the camera: napari 0.9 moved it, and the old place will go."""
    return getattr(viewer, "scene", viewer).camera


def show_object(viewer: ViewerModel, image: Image, found: SegmentedObject) -> None:
    """Move to an object, in the plane where it was made."""
    centre = found.plane.to_array(np.array([found.centre]))[0]
    world = np.asarray(image.data_to_world(centre))
    extra = viewer.dims.ndim - image.ndim
    shown = viewer.dims.displayed
    _set_sliders(
        viewer, world, [n for n in range(image.ndim) if n + extra not in shown]
    )
    camera = camera_of(viewer)
    camera.center = tuple(world[[axis - extra for axis in shown]])
    _zoom_to(viewer, image, found)


def _zoom_to(viewer: ViewerModel, image: Image, found: SegmentedObject) -> None:
    """Zoom where an object would be hard to see, or larger than the window."""
    canvas = getattr(viewer, "canvas", None)
    if canvas is None or viewer.dims.ndisplay != 2:
        return
    row0, col0, row1, col1 = found.box
    ends = found.plane.to_array(np.array([(row0, col0), (row1, col1)]))
    one, other = (np.asarray(image.data_to_world(each)) for each in ends)
    size, camera = float(np.abs(other - one).max()), camera_of(viewer)
    seen = size * camera.zoom / min(canvas.size)
    if size > 0 and not SMALLEST_SEEN < seen < LARGEST_SEEN:
        camera.zoom = WANTED_SEEN * min(canvas.size) / size


def show_slice(
    viewer: ViewerModel, image: Image, plane: Plane, axis: int, index: int
) -> None:
    """Show a plane of a stack in 2D; the camera stays where it is.

    Parameters
    ----------
    viewer : ViewerModel
    image : Image
    plane : Plane
        Of the stack.
    axis, index : int
        Of the image, and the place along it.
    """
    viewer.dims.ndisplay = 2
    middle = np.array([plane.size]) / 2 - 0.5
    place = plane.moved(axis, index).to_array(middle)[0]
    _set_sliders(viewer, np.asarray(image.data_to_world(place)), [axis])


def toggle_3d(viewer: ViewerModel, image: Image, axis: int | None) -> None:
    """Show the image in 3D, with an axis of it among the shown ones; or in 2D again."""
    dims = viewer.dims
    if dims.ndisplay == 3:
        dims.ndisplay = 2
        return
    if axis is not None:
        wanted = axis + dims.ndim - image.ndim
        shown = list(dims.order[-2:])
        others = [n for n in dims.order if n not in (*shown, wanted)]
        dims.order = (*others, wanted, *shown)
    dims.ndisplay = 3
    camera = camera_of(viewer)
    if not np.any(camera.angles):
        camera.angles = ANGLES


def _set_sliders(viewer: ViewerModel, world: np.ndarray, axes: Sequence[int]) -> None:
    extra = viewer.dims.ndim - len(world)
    for axis in axes:
        viewer.dims.set_point(axis + extra, world[axis])
