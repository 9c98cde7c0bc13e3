"""A session and a viewer's model: any image, any slice, any order of events."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import dask.array as da
import numpy as np
import pytest
from napari.components import ViewerModel
from napari.layers import Image, Labels

from napari_sam.structures import BoxPrompt

MakeLink = Callable[..., Any]
RADIUS = 6.0


def place_of(image: Any, *pixel: float) -> tuple[float, ...]:
    """Return the world position of a pixel."""
    return tuple(image.data_to_world(pixel))


def objects_layer(viewer: ViewerModel, image: Any, link: Any) -> Any:
    link.flush()
    return viewer.layers[f"{image.name} objects"]


def test_nothing_has_to_be_set_up(make_link: MakeLink) -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((60, 70), np.uint8), name="cells")
    link = make_link(viewer)
    assert link.image is image
    assert viewer.layers.selection.active is link._tools.mask
    link.pointing.clicked(place_of(image, 20, 30), True)
    mask = link._tools.mask.data
    assert mask.shape == (60, 70)
    assert mask[20, 30] == 1
    assert np.count_nonzero(mask) == pytest.approx(np.pi * RADIUS**2, rel=0.1)
    assert len(link._tools.points.data) == 1


@pytest.mark.parametrize(
    "transform",
    [
        {"scale": (0.5, 0.2), "rotate": 35},
        {"scale": (3, 1), "translate": (100, -20)},
        {"affine": np.array([[0, -1, 5], [1, 0, 7], [0, 0, 1.0]])},
    ],
)
def test_a_transform_changes_no_mask(
    make_link: MakeLink, transform: dict[str, Any]
) -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((60, 70), np.uint8), name="cells", **transform)
    link = make_link(viewer)
    link.pointing.clicked(place_of(image, 20, 30), True)
    link.session.commit()
    result = objects_layer(viewer, image, link)
    rows, cols = np.nonzero(result.data)
    assert (rows.mean(), cols.mean()) == pytest.approx((20, 30), abs=0.2)
    assert result.data_to_world((3, 4)) == pytest.approx(image.data_to_world((3, 4)))


def test_every_slice_of_a_5d_image_is_an_image(make_link: MakeLink) -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((2, 3, 4, 40, 50), np.uint8), name="movie")
    link = make_link(viewer)
    for axis, step in ((0, 1), (1, 2), (2, 3)):
        viewer.dims.set_current_step(axis, step)
    link.pointing.clicked(place_of(image, 1, 2, 3, 20, 30), True)
    assert link._tools.points.data.tolist() == [[1, 2, 3, 20, 30]]
    link.session.commit()
    labels = objects_layer(viewer, image, link).data
    assert labels.shape == (2, 3, 4, 40, 50)
    assert set(np.argwhere(labels)[:, :3].ravel()) == {1, 2, 3}
    assert np.count_nonzero(labels) == np.count_nonzero(labels[1, 2, 3])
    viewer.dims.set_current_step(2, 0)
    link.sync()
    assert link.session.draft.is_empty


def test_a_transposed_volume(make_link: MakeLink, predictor: Any) -> None:
    viewer = ViewerModel()
    data = np.zeros((30, 40, 50), np.uint8)
    image = viewer.add_image(data, name="volume", scale=(3, 1, 1))
    viewer.dims.order = (1, 2, 0)
    viewer.dims.set_current_step(1, 17)
    link = make_link(viewer)
    link.pointing.clicked(place_of(image, 12, 17, 33), True)
    assert predictor.encoded[-1].shape == (50, 30)
    mask = link._tools.mask.data
    assert mask.shape == (30, 1, 50)
    assert mask[12, 0, 33] == 1
    link.session.commit()
    labels = objects_layer(viewer, image, link).data
    assert labels[12, 17, 33] == 1
    assert np.count_nonzero(labels) == np.count_nonzero(labels[:, 17])


def test_three_dimensions_are_no_plane(make_link: MakeLink) -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((9, 30, 40), np.uint8))
    link = make_link(viewer)
    viewer.dims.ndisplay = 3
    link.pointing.clicked(place_of(image, 4, 10, 10), True)
    assert link.session.view is None
    viewer.dims.ndisplay = 2
    link.pointing.clicked(place_of(image, 4, 10, 10), True)
    assert len(link.session.draft.prompts.points) == 1


def test_a_click_outside_the_image_is_nothing(make_link: MakeLink) -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((30, 40), np.uint8))
    link = make_link(viewer)
    link.pointing.clicked(place_of(image, -3, 10), True)
    assert link.session.draft.is_empty


def test_colour_and_channels_as_displayed(make_link: MakeLink, predictor: Any) -> None:
    viewer = ViewerModel()
    rgb = np.zeros((30, 40, 3), np.uint8)
    rgb[..., 1] = 200
    viewer.add_image(rgb, name="colour", rgb=True)
    make_link(viewer)
    assert predictor.encoded[-1].shape == (30, 40, 3)

    viewer = ViewerModel()
    ramp = np.tile(np.arange(40, dtype=np.uint16) * 100, (30, 1))
    limits = {"contrast_limits": (0, 3900), "blending": "additive"}
    viewer.add_image(ramp, colormap="red", **limits)
    viewer.add_image(ramp[:, ::-1], colormap="green", **limits)
    link = make_link(viewer)
    link.show_as_displayed(as_displayed=True, mixed=True)
    seen = predictor.encoded[-1]
    assert seen[0, 0].tolist() == [0, 255, 0]
    assert seen[0, -1].tolist() == [255, 0, 0]
    link.image.contrast_limits = (0, 1950)
    link.sync()
    assert predictor.encoded[-1][0, -20].tolist()[1] > seen[0, -20].tolist()[1]


class Counting:
    """A huge lazy array that counts what is read of it."""

    def __init__(self, shape: tuple[int, int]) -> None:
        self.read = 0

        def block(block_info: Any = None) -> Any:
            place = block_info[None]["array-location"]
            sides = [stop - start for start, stop in place]
            self.read += sides[0] * sides[1]
            return np.zeros(sides, np.uint8)

        chunks = tuple(
            tuple(min(512, side - start) for start in range(0, side, 512))
            for side in shape
        )
        self.array = da.map_blocks(
            block, chunks=chunks, dtype=np.uint8, meta=np.zeros((0, 0), np.uint8)
        )


def test_a_huge_multiscale_image_is_read_where_it_is_seen(
    make_link: MakeLink, predictor: Any
) -> None:
    side = 100_000
    levels = [Counting((side >> k, side >> k)) for k in (0, 3, 6, 8)]
    viewer = ViewerModel()
    image = Image([each.array for each in levels], multiscale=True, name="slide")
    viewer.add_layer(image)
    link = make_link(viewer)
    assert link.session.view.frame.step == pytest.approx((256, 256), rel=0.01)
    link.pointing.clicked(place_of(image, 50_000, 60_000), True)
    assert levels[0].read == 0
    assert predictor.encoded[-1].shape[0] <= 400
    link.session.commit()
    store = link.session.document.store.data
    assert store.nbytes < 200e6
    assert store[50_000, 60_000] == 1
    result = objects_layer(viewer, image, link)
    assert result.multiscale
    assert [level.shape for level in result.data] == [
        level.shape for level in image.data
    ]


def test_two_viewers_are_two_sessions(make_link: MakeLink) -> None:
    viewers = [ViewerModel(), ViewerModel()]
    images = [each.add_image(np.zeros((30, 40), np.uint8)) for each in viewers]
    one, other = (make_link(each) for each in viewers)
    one.pointing.clicked(place_of(images[0], 10, 10), True)
    one.session.commit()
    assert len(other.session.document.objects) == 0
    assert len(viewers[1].layers) == 3


def test_each_image_keeps_its_objects(make_link: MakeLink) -> None:
    viewer = ViewerModel()
    first = viewer.add_image(np.zeros((30, 40), np.uint8), name="first")
    link = make_link(viewer)
    link.pointing.clicked(place_of(first, 10, 10), True)
    link.session.commit()
    second = viewer.add_image(np.zeros((50, 60), np.uint8), name="second")
    assert link.image is second, "a new image is taken up"
    assert len(link.session.document.objects) == 0
    link.pointing.clicked(place_of(second, 40, 50), True)
    link.session.commit()
    link.flush()
    link.choose_image(first)
    assert [each.box for each in link.session.document.objects] == [(4, 4, 17, 17)]
    link.session.undo()
    assert not objects_layer(viewer, first, link).data.any()
    assert objects_layer(viewer, second, link).data.any()


def test_layers_may_be_renamed_and_deleted(make_link: MakeLink) -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((30, 40), np.uint8), name="cells")
    link = make_link(viewer)
    for layer in list(viewer.layers):
        layer.name = f"renamed {layer.name}"
    link.pointing.clicked(place_of(image, 10, 10), True)
    link.session.commit()
    link.flush()
    result = next(x for x in viewer.layers if isinstance(x, Labels) and x.data.max())
    for layer in [*link._tools.layers, result]:
        viewer.layers.remove(layer)
    link.pointing.clicked(place_of(image, 20, 30), True)
    link.flush()
    assert link._tools.mask in viewer.layers, "it comes back when it is needed"
    link.session.commit()
    shown = objects_layer(viewer, image, link)
    assert set(np.unique(shown.data)) == {0, 1, 2}
    viewer.layers.remove(image)
    assert link.image is None
    assert link.session.view is None


def test_the_users_layers_stay_as_they_are(make_link: MakeLink) -> None:
    viewer = ViewerModel()
    data = np.arange(1200, dtype=np.uint16).reshape(30, 40)
    image = viewer.add_image(data.copy(), name="cells", scale=(2, 3))
    points = viewer.add_points([[1, 2]], name="mine")
    link = make_link(viewer)
    link.pointing.clicked(place_of(image, 10, 10), True)
    link.session.commit()
    link.flush()
    link.close()
    np.testing.assert_array_equal(image.data, data)
    assert tuple(image.scale) == (2, 3)
    assert points.data.tolist() == [[1, 2]]
    assert [layer.name for layer in viewer.layers] == ["cells", "mine", "cells objects"]


def test_closing_disconnects_everything(make_link: MakeLink, predictor: Any) -> None:
    viewer = ViewerModel()
    viewer.add_image(np.zeros((5, 30, 40), np.uint8))
    link = make_link(viewer)
    seen = len(predictor.encoded)
    link.close()
    viewer.dims.set_current_step(0, 3)
    viewer.add_image(np.zeros((20, 20), np.uint8))
    viewer.layers.clear()
    assert len(predictor.encoded) == seen


def test_napari_tools_edit_the_prompts(make_link: MakeLink) -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((60, 70), np.uint8))
    link = make_link(viewer)
    link.pointing.clicked(place_of(image, 20, 30), True)
    link.pointing.clicked(place_of(image, 24, 30), False)
    points = link._tools.points
    points.selected_data = {0}
    points.remove_selected()
    assert [p.positive for p in link.session.draft.prompts.points] == [False]
    points.add([[40, 40]])
    prompts = link.session.draft.prompts.points
    assert [(p.position, p.positive) for p in prompts] == [
        ((24, 30), False),
        ((40, 40), True),
    ]
    link.pointing.tool = "box"
    link._tools.boxes.add_rectangles(np.array([[9.5, 9.5], [29.5, 39.5]]))
    assert link.session.draft.prompts.box == BoxPrompt((10, 10), (30, 40))
    link.session.undo()
    assert link.session.draft.prompts.box is None
    assert link._tools.boxes.nshapes == 0


def test_drags_are_boxes_scribbles_and_lassos(make_link: MakeLink) -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((60, 70), np.uint8))
    link = make_link(viewer)
    corners = [place_of(image, *at) for at in ((9.5, 9.5), (20, 20), (29.5, 39.5))]
    link.pointing.tool = "box"
    assert not link._tools.mask.mouse_pan
    link.pointing.dragging(corners)
    assert link._tools.boxes.nshapes == 1
    link.pointing.dragged(corners, True)
    assert link.session.draft.prompts.box == BoxPrompt((10, 10), (30, 40))
    link.session.clear_prompts()
    link.pointing.tool = "scribble"
    link.pointing.dragged(corners, False)
    flags = [point.positive for point in link.session.draft.prompts.points]
    assert flags == [False] * 6
    link.session.clear_prompts()
    link.pointing.tool = "lasso"
    triangle = [place_of(image, *at) for at in ((5, 5), (5, 45), (45, 5))]
    link.pointing.dragged(triangle, True)
    mask = link.session.draft.prompts.mask
    row, col = (10 - int(each) for each in mask.frame.origin)
    assert mask.values[row, col] > 0
    assert mask.values[row + 30, col + 30] < 0
    link.pointing.tool = "point"
    assert link._tools.mask.mouse_pan


def test_what_was_found_is_no_layer_of_the_user(make_link: MakeLink) -> None:
    viewer = ViewerModel()
    viewer.add_image(np.zeros((60, 70), np.uint8))
    mine = viewer.add_labels(np.zeros((60, 70), int))
    link = make_link(viewer)
    found = Labels(np.ones((60, 70), int))
    link.add_under_tools(found)
    assert found in viewer.layers
    assert [each for each in link.layers if isinstance(each, Labels)] == [mine]
    viewer.layers.remove(found)
    assert found not in link._found_layers


def test_a_click_on_an_object_takes_it_up(make_link: MakeLink) -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((60, 70), np.uint8))
    link = make_link(viewer)
    link.pointing.clicked(place_of(image, 20, 30), True)
    link.session.commit()
    link.pointing.clicked(place_of(image, 21, 31), True)
    assert link.session.draft.object_id == 1
    link.pointing.clicked(place_of(image, 20, 25), False)
    made = link.session.commit()
    assert made.id == 1
    assert objects_layer(viewer, image, link).data[20, 25] == 0


def test_polarity_can_be_swapped(make_link: MakeLink) -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((60, 70), np.uint8))
    link = make_link(viewer)
    link.pointing.positive = False
    link.pointing.clicked(place_of(image, 20, 30), True)
    link.pointing.clicked(place_of(image, 30, 30), False)
    flags = [point.positive for point in link.session.draft.prompts.points]
    assert flags == [False, True]


def test_the_brush_makes_objects(make_link: MakeLink, qtbot: Any) -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((60, 70), np.uint8))
    link = make_link(viewer)
    link.pointing.clicked(place_of(image, 20, 30), True)
    link.session.commit()
    layer = objects_layer(viewer, image, link)
    layer.mode = "paint"
    layer.selected_label = 9
    layer.brush_size = 5
    layer.paint((45, 50), 9)
    qtbot.waitUntil(lambda: 9 in link.session.document.objects)
    found = link.session.document.objects[9]
    assert found.area == np.count_nonzero(layer.data == 9) > 0
    link.session.undo()
    assert not (layer.data == 9).any()


def test_the_table_is_in_the_layers_features(make_link: MakeLink) -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((60, 70), np.uint8), scale=(0.5, 0.5))
    link = make_link(viewer)
    link.pointing.clicked(place_of(image, 20, 30), True)
    made = link.session.commit("cell")
    features = objects_layer(viewer, image, link).features
    assert features["class"].tolist() == ["cell"]
    assert features["area"].tolist() == [made.area / 4]
    assert features["prompts"].tolist() == ["+1"]


def test_changed_data_are_read_again(make_link: MakeLink, predictor: Any) -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((30, 40), np.uint8))
    link = make_link(viewer)
    image.data = np.full((30, 40), 7, np.uint8)
    link.sync()
    assert predictor.encoded[-1].max() == 7


def test_hover_shows_and_hides(make_link: MakeLink) -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((60, 70), np.uint8))
    link = make_link(viewer)
    link.pointing.hovered(place_of(image, 20, 30))
    assert not link._tools.mask.data.any(), "it is off at first"
    link.pointing.hover = True
    link.pointing.hovered(place_of(image, 20, 30))
    assert link._tools.mask.data[20, 30] == 2
    assert link.session.draft.is_empty
