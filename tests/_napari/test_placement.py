"""World and pixels agree for any transform, slice and order of axes."""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from napari.components import ViewerModel
from napari.layers import Image, Labels

from napari_sam._napari.placement import (
    common_transform,
    frame_shape,
    frame_transform,
    shown_plane,
    to_pixels,
)
from napari_sam.session.plane import Plane
from napari_sam.structures import Frame

SHAPE = (3, 4, 12, 15)
TURN = np.eye(4)
TURN[2:, 2:] = [[0.8, -0.6], [0.6, 0.8]]
TRANSFORMS: tuple[dict[str, Any], ...] = (
    {},
    {"scale": (2, 1, 0.5, 0.2)},
    {"scale": (1, 3, 1, 2), "translate": (5, -3, 10, 0.25)},
    {"rotate": TURN},
    {
        "scale": (1, 1, 0.5, 0.2),
        "rotate": TURN,
        "translate": (0, 2, -7, 3),
        "affine": np.diag([1, 1, -1, 2, 1.0]),
    },
)


@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("order", list(itertools.permutations(range(4)))[::7])
def test_a_pixel_is_found_again(transform: dict[str, Any], order: Any) -> None:
    viewer = ViewerModel()
    layer = viewer.add_image(np.zeros(SHAPE, np.uint8), **transform)
    viewer.dims.order = order
    wanted = np.array([1, 2, 7, 4])
    for axis, place in enumerate(layer.data_to_world(wanted)):
        viewer.dims.set_point(axis, place)
    plane = shown_plane(layer, viewer.dims)
    assert plane is not None
    assert (plane.rows, plane.cols) == tuple(viewer.dims.displayed)
    position = wanted.astype(float)
    position[[plane.rows, plane.cols]] = (2.25, 3.5)
    world = layer.data_to_world(position)
    row, col = to_pixels(layer, plane, tuple(world))
    assert (row, col) == pytest.approx((2.25, 3.5))


def test_the_slice_is_the_one_that_is_shown() -> None:
    viewer = ViewerModel()
    layer = viewer.add_image(np.zeros(SHAPE, np.uint8), scale=(1, 5, 1, 1))
    viewer.dims.set_current_step(0, 2)
    viewer.dims.set_current_step(1, 3)
    plane = shown_plane(layer, viewer.dims)
    assert plane == Plane(SHAPE, 2, 3, (2, 3, 0, 0))


def test_no_plane_in_3d_or_of_a_flat_layer_that_is_seen_from_the_side() -> None:
    viewer = ViewerModel()
    viewer.add_image(np.zeros(SHAPE, np.uint8))
    flat = viewer.add_image(np.zeros((12, 15), np.uint8))
    assert shown_plane(flat, viewer.dims) is not None
    viewer.dims.order = (2, 3, 0, 1)
    assert shown_plane(flat, viewer.dims) is None
    viewer.dims.order = (0, 1, 2, 3)
    viewer.dims.ndisplay = 3
    assert shown_plane(flat, viewer.dims) is None


def numbers(low: float, high: float) -> st.SearchStrategy[float]:
    return st.floats(low, high, allow_nan=False)


@settings(max_examples=30, deadline=None)
@given(
    st.tuples(numbers(0.1, 5), numbers(0.1, 5)),
    st.tuples(numbers(-50, 50), numbers(-50, 50)),
    numbers(-180, 180),
    st.tuples(numbers(0, 9), numbers(0, 9)),
    st.integers(1, 8),
)
def test_a_frames_samples_lie_over_their_pixels(
    scale: Any, translate: Any, angle: float, origin: Any, step: int
) -> None:
    affine = np.array([[1.0, 0.3, 2], [0, 1.5, -1], [0, 0, 1]])
    image = Image(
        np.zeros((40, 50), np.uint8),
        scale=scale,
        translate=translate,
        rotate=angle,
        affine=affine,
    )
    plane = Plane.whole((40, 50))
    frame = Frame(origin, (float(step), float(step)), (4, 3))
    layer = Labels(
        np.zeros(frame_shape(plane, frame), np.uint8),
        **frame_transform(image, plane, frame),
    )
    for sample in ((0, 0), (3, 2), (1, 0)):
        middle = np.array(origin) + (np.array(sample) + 0.5) * step - 0.5
        assert layer.data_to_world(sample) == pytest.approx(
            image.data_to_world(middle), abs=1e-6
        )


def test_a_result_keeps_scale_units_and_axis_names() -> None:
    image = Image(
        np.zeros((4, 5), np.uint8),
        scale=(0.5, 0.2),
        units=("um", "um"),
        axis_labels=("y", "x"),
        rotate=30,
    )
    labels = Labels(np.zeros((4, 5), int), **common_transform(image))
    assert labels.units == image.units
    assert labels.axis_labels == ("y", "x")
    assert labels.data_to_world((2, 3)) == pytest.approx(image.data_to_world((2, 3)))
