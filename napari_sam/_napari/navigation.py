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
    camera_of(viewer).center = tuple(world[[axis - extra for axis in shown]])


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


def _set_sliders(viewer: ViewerModel, world: np.ndarray, axes: Sequence[int]) -> None:
    extra = viewer.dims.ndim - len(world)
    for axis in axes:
        viewer.dims.set_point(axis + extra, world[axis])
