"""What the axes of an image are called and how far apart its voxels are."""

from __future__ import annotations

from napari_sam.session.plane import Stack
from napari_sam.session.view import ImageView


def axis_name(names: tuple[str, ...], axis: int) -> str:
    """Return the name of an axis in lower case; "" if it has none.

    Parameters
    ----------
    names : tuple of str
        Of all axes. Numbers, napari's default, are no names.
    axis : int
    """
    name = names[axis].strip().lower() if axis < len(names) else ""
    return "" if name.lstrip("-").isdigit() else name


def is_time(names: tuple[str, ...], axis: int) -> bool:
    """Whether an axis is named as time."""
    return axis_name(names, axis).startswith("t")


def voxel_size(view: ImageView, stack: Stack) -> tuple[float, float, float] | None:
    """Return the size of a voxel: along a stack, its rows and its columns.

    Parameters
    ----------
    view : ImageView
    stack : Stack

    Returns
    -------
    tuple of float or None
        None if it is not known, or the stack is a movie.
    """
    if not view.spacing or is_time(view.axis_names, stack.axis):
        return None
    along, rows, cols = (
        abs(float(view.spacing[axis]))
        for axis in (stack.axis, stack.plane.rows, stack.plane.cols)
    )
    return (along, rows, cols) if min(along, rows, cols) > 0 else None
