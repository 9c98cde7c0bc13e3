"""Points, shapes and labels of the user's own layers, as prompts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from napari.layers import Image, Labels, Points, Shapes
from numpy.typing import NDArray
from scipy import ndimage

from napari_sam._napari.strokes import box_of, lasso_prompt, points_along
from napari_sam.errors import PromptError
from napari_sam.session.mask_prompts import prompt_of_mask
from napari_sam.session.plane import Plane
from napari_sam.structures import MaskPrompt, PointPrompt, PromptSet


def can_prompt(layer: Any) -> bool:
    """Whether a layer can be used as prompts."""
    return isinstance(layer, Points | Shapes | Labels)


def prompts_of(layer: Any, image: Image, plane: Plane) -> list[PromptSet]:
    """Return one set of prompts for each thing that a layer has in a plane.

    Parameters
    ----------
    layer : Points, Shapes or Labels
    image : Image
        Whose pixels the prompts are in.
    plane : Plane
        Of the image; things elsewhere are left out.

    Raises
    ------
    PromptError
        If nothing of the layer lies in the plane.
    """
    if isinstance(layer, Points):
        found = _points(layer, image, plane)
    elif isinstance(layer, Shapes):
        found = _shapes(layer, image, plane)
    else:
        values, ids = _labels(layer, image, plane)
        found = [PromptSet(mask=each) for each in _masks(values, ids)]
    if not found:
        raise PromptError(f"The layer {layer.name!r} has nothing on this slice.")
    return found


def refining_of(layer: Any, image: Image, plane: Plane) -> list[int] | None:
    """Return the ids that the refined objects of a Labels layer keep."""
    if not isinstance(layer, Labels):
        return None
    return _labels(layer, image, plane)[1]


def _points(layer: Points, image: Image, plane: Plane) -> list[PromptSet]:
    places = _in_plane(layer, image, plane, np.asarray(layer.data))
    return [
        PromptSet(points=(PointPrompt((float(row), float(col))),))
        for row, col in places
        if _inside(plane, row, col)
    ]


def _shapes(layer: Shapes, image: Image, plane: Plane) -> list[PromptSet]:
    found = []
    for vertices, kind in zip(layer.data, layer.shape_type, strict=True):
        places = _in_plane(layer, image, plane, np.asarray(vertices))
        if len(places) < len(vertices):
            continue
        prompts = _shape(places, str(kind), plane)
        if prompts is not None:
            found.append(prompts)
    return found


def _shape(places: NDArray[np.float64], kind: str, plane: Plane) -> PromptSet | None:
    if kind in ("path", "line"):
        inside = [p for p in points_along(places) if _inside(plane, *p)]
        points = tuple(PointPrompt(place) for place in inside)
        return PromptSet(points=points) if points else None
    box = box_of(places)
    if box is None or kind == "rectangle":
        return None if box is None else PromptSet(box=box)
    outline = _ellipse(places) if kind == "ellipse" else places
    mask = lasso_prompt(outline, plane.size)
    return None if mask is None else PromptSet(box=box, mask=mask)


def _ellipse(corners: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the outline of the ellipse in four corners."""
    centre = corners.mean(axis=0)
    one, other = (corners[1] - corners[0]) / 2, (corners[3] - corners[0]) / 2
    angles = np.linspace(0, 2 * np.pi, 64)[:, None]
    outline: NDArray[np.float64] = (
        centre + np.cos(angles) * one + np.sin(angles) * other
    )
    return outline


def _labels(
    layer: Labels, image: Image, plane: Plane
) -> tuple[NDArray[Any], list[int]]:
    """Return a plane of labels, in the image's pixels, and the ids in it."""
    if layer.multiscale or layer.data.shape != plane.shape:
        raise PromptError(
            f"The labels {layer.name!r} have the shape {layer.data.shape}, the image "
            f"{plane.shape}: they must be the same."
        )
    values = plane.read(layer.data, (0, 0, *plane.size))
    return values, [int(each) for each in np.unique(values) if each > 0]


def _masks(values: NDArray[Any], ids: list[int]) -> Iterator[MaskPrompt]:
    """Return the mask of each id, in its box."""
    # Ids may be large: their places in the list are not.
    ranks = np.searchsorted([0, *ids], values.clip(0))
    for rank, box in enumerate(ndimage.find_objects(ranks), start=1):
        origin = (box[0].start, box[1].start)
        yield prompt_of_mask(ranks[box] == rank, origin)


def _in_plane(
    layer: Any, image: Image, plane: Plane, positions: NDArray[Any]
) -> NDArray[np.float64]:
    """Return the (row, col) of those positions of a layer that lie in the plane."""
    placed = [image.world_to_data(_world(layer, image, each)) for each in positions]
    kept = [np.asarray(each) for each in placed if plane.holds(np.asarray(each))]
    return plane.from_array(np.array(kept).reshape(-1, len(plane.shape)))


def _world(layer: Any, image: Image, position: NDArray[Any]) -> NDArray[np.float64]:
    world = np.asarray(layer.data_to_world(position), np.float64)
    missing = image.ndim - len(world)
    return np.concatenate([np.zeros(max(missing, 0)), world])


def _inside(plane: Plane, row: float, col: float) -> bool:
    height, width = plane.size
    return -0.5 <= row < height - 0.5 and -0.5 <= col < width - 0.5
