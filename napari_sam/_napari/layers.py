"""The layers that we make: prompts, boxes, the mask in hand, and the objects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from napari.layers import Image, Labels, Points, Shapes
from napari.utils.colormaps import CyclicLabelColormap
from napari.utils.colormaps.standardize_color import transform_color
from numpy.typing import NDArray

from napari_sam._napari.placement import (
    common_transform,
    frame_shape,
    frame_transform,
    image_shape,
)
from napari_sam.session.sparse import SparseLabels
from napari_sam.session.view import ImageView
from napari_sam.structures import BoxPrompt, PointPrompt

MASK_NAME = "SAM mask"
POINTS_NAME = "SAM points"
BOXES_NAME = "SAM box"
OBJECTS_NAME = "SAM objects"
HOVER_COLOUR = "#fbbf24"
MASK_VALUE, HOVER_VALUE = 1, 2
# Labels above this size are kept sparsely.
LARGEST_DENSE = 2 << 30
POINT_PIXELS = 10
POSITIVE_SYMBOL, NEGATIVE_SYMBOL = "disc", "x"


@dataclass(frozen=True)
class Colours:
    """Colours of what we draw, as names or #rrggbb.

    Attributes
    ----------
    mask : str
        Of the mask in hand, and of the box.
    positive, negative : str
        Of points.
    """

    mask: str = "#38bdf8"
    positive: str = "#21c55d"
    negative: str = "#ef4444"


def value_colormap(colours: Sequence[str]) -> CyclicLabelColormap:
    """Return a colormap in which 0 is transparent and i has the i-th colour.

    Napari's map from values to colours, a dict, is compiled for seconds when the first
    layer of a session has one.
    """
    return CyclicLabelColormap(colors=transform_color(["transparent", *colours]))


def make_mask_layer(image: Image, view: ImageView, colours: Colours) -> Labels:
    """Return the layer of the mask in hand, over a view's region."""
    return Labels(
        np.zeros(frame_shape(view.plane, view.frame), np.uint8),
        name=MASK_NAME,
        opacity=0.55,
        colormap=value_colormap((colours.mask, HOVER_COLOUR)),
        **frame_transform(image, view.plane, view.frame),
    )


def place_mask_layer(layer: Labels, image: Image, view: ImageView) -> None:
    """Move the mask layer over another region, empty."""
    layer.data = np.zeros(frame_shape(view.plane, view.frame), np.uint8)
    place = frame_transform(image, view.plane, view.frame)
    for name in ("scale", "translate", "rotate", "shear", "affine"):
        setattr(layer, name, place[name])


def draw_mask(layer: Labels, view: ImageView, mask: NDArray[Any] | None) -> None:
    """Show a mask (values of samples, shape ``frame.shape``), or nothing."""
    data = layer.data
    if mask is None:
        if not data.any():
            return
        data[...] = 0
    else:
        shown = mask.T if view.plane.is_transposed else mask
        data[...] = shown.reshape(data.shape)
    layer.refresh(thumbnail=False, extent=False)


def make_points_layer(image: Image, colours: Colours) -> Points:
    """Return the layer of the draft's points, empty."""
    layer = Points(
        np.zeros((0, image.ndim)),
        ndim=image.ndim,
        name=POINTS_NAME,
        size=POINT_PIXELS,
        canvas_size_limits=(9, 14),
        face_color=colours.positive,
        border_color="white",
        border_width=0.15,
        **common_transform(image),
    )
    # Of points that are added with napari's own tool.
    layer.current_symbol, layer.current_face_color = POSITIVE_SYMBOL, colours.positive
    return layer


def draw_points(
    layer: Points,
    positions: NDArray[Any],
    points: tuple[PointPrompt, ...],
    colours: Colours,
) -> None:
    """Show a draft's points.

    Parameters
    ----------
    layer : Points
    positions : ndarray, shape (N, ndim)
    points : tuple of PointPrompt
        Of the same length.
    colours : Colours
    """
    signs = [each.positive for each in points]
    if signs == signs_of(layer) and np.array_equal(layer.data, positions):
        return
    # At each event the viewer draws, or even measures all layers anew, which takes
    # longer than all the rest; prompts lie inside the image, so that its extent stays.
    with layer.events.blocker_all():
        layer.selected_data = set()
        layer.data = positions
        if points and signs != signs_of(layer):
            layer.face_color = [
                colours.positive if sign else colours.negative for sign in signs
            ]
            layer.symbol = [
                POSITIVE_SYMBOL if sign else NEGATIVE_SYMBOL for sign in signs
            ]
    layer.refresh(thumbnail=False, extent=False)


def signs_of(layer: Points) -> list[bool]:
    """Return whether each point of our layer is positive: its symbol says so."""
    return [str(symbol) != NEGATIVE_SYMBOL for symbol in layer.symbol]


def make_boxes_layer(image: Image, colours: Colours) -> Shapes:
    """Return the layer of the draft's box, empty."""
    return Shapes(
        ndim=image.ndim,
        name=BOXES_NAME,
        edge_color=colours.mask,
        face_color="transparent",
        edge_width=2,
        **common_transform(image),
    )


def draw_box(
    layer: Shapes, corners: NDArray[Any] | None, width: float, colours: Colours
) -> None:
    """Show a rectangle of four corners (4, ndim), or none."""
    with layer.events.data.blocker():
        if layer.nshapes:
            layer.data = []
        if corners is not None:
            layer.add_rectangles(
                corners,
                edge_color=colours.mask,
                face_color="transparent",
                edge_width=width,
            )
    layer.selected_data = set()


def box_corners(box: BoxPrompt) -> NDArray[np.float64]:
    """Return the (4, 2) corners in napari's pixels, whose centres are whole numbers."""
    (row0, col0), (row1, col1) = box.start, box.stop
    corners = [(row0, col0), (row0, col1), (row1, col1), (row1, col0)]
    return np.array(corners, np.float64) - 0.5


def make_label_array(image: Image) -> Any:
    """Return zeros for the objects of an image, sparse where they are too many."""
    shape = image_shape(image)
    if image.multiscale or 4 * np.prod(shape, dtype=np.int64) > LARGEST_DENSE:
        return SparseLabels(shape)
    return np.zeros(shape, np.int32)


def make_objects_layer(image: Image, labels: Any) -> Labels:
    """Return the layer of the committed objects, over an image."""
    name = f"{image.name} objects"
    place = common_transform(image)
    if not image.multiscale:
        return Labels(labels, name=name, opacity=0.6, **place)
    levels: list[Any] = [labels]
    for level in image.data[1:]:
        levels.append(labels.level(level.shape[: image.ndim]))
    return Labels(levels, multiscale=True, name=name, opacity=0.6, **place)
