"""Points, shapes and labels of the user as prompts, an object each."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_sam._napari.layer_prompts import prompts_of, refining_of
from napari_sam._napari.panels.prompts_panel import PromptsPanel
from napari_sam.errors import PromptError
from napari_sam.session.plane import Plane
from napari_sam.structures import BoxPrompt

SQUARE = np.array([[9.5, 9.5], [9.5, 29.5], [19.5, 29.5], [19.5, 9.5]])
PLANE = Plane.whole((60, 70))


@pytest.fixture
def viewer() -> ViewerModel:
    model = ViewerModel()
    model.add_image(np.zeros((60, 70), np.uint8), name="cells", scale=(2, 2))
    return model


def test_points_of_another_scale(viewer: ViewerModel) -> None:
    points = viewer.add_points([[20, 30], [500, 500]], scale=(1, 1))
    (found,) = prompts_of(points, viewer.layers["cells"], PLANE)
    assert [each.position for each in found.points] == [(10, 15)]


@pytest.mark.parametrize("kind", ["rectangle", "ellipse", "polygon", "path"])
def test_each_shape_is_an_object(viewer: ViewerModel, kind: str) -> None:
    shapes = viewer.add_shapes([SQUARE], shape_type=kind, scale=(2, 2))
    (found,) = prompts_of(shapes, viewer.layers["cells"], PLANE)
    if kind == "path":
        assert len(found.points) == 6
        return
    assert found.box == BoxPrompt((10, 10), (20, 30))
    if kind == "rectangle":
        assert found.mask is None
        return
    area = np.count_nonzero(found.mask.values > 0)
    expected = 200 * (np.pi / 4 if kind == "ellipse" else 1)
    assert area == pytest.approx(expected, rel=0.08)


def test_labels_are_refined_and_keep_their_ids(viewer: ViewerModel) -> None:
    data = np.zeros((60, 70), int)
    data[5:15, 5:15] = 7
    data[30:40, 30:40] = 3
    labels = viewer.add_labels(data)
    image = viewer.layers["cells"]
    found = prompts_of(labels, image, PLANE)
    assert refining_of(labels, image, PLANE) == [3, 7]
    assert [np.count_nonzero(each.mask.values > 0) for each in found] == [100, 100]
    assert [each.mask.frame.origin for each in found] == [(29, 29), (4, 4)]
    with pytest.raises(PromptError, match="must be the same"):
        prompts_of(viewer.add_labels(data[:9]), image, PLANE)


def test_other_slices_are_left_out() -> None:
    viewer = ViewerModel()
    image = viewer.add_image(np.zeros((4, 30, 40), np.uint8))
    points = viewer.add_points([[1, 5, 5], [2, 8, 9]])
    plane = Plane((4, 30, 40), 1, 2, (2, 0, 0))
    (found,) = prompts_of(points, image, plane)
    assert found.points[0].position == (8, 9)
    empty = Plane((4, 30, 40), 1, 2, (3, 0, 0))
    with pytest.raises(PromptError, match="nothing on this slice"):
        prompts_of(points, image, empty)


def test_the_panel_segments_a_layer(
    viewer: ViewerModel, make_link: Callable[..., Any], qtbot: Any
) -> None:
    data = np.zeros((60, 70), int)
    data[5:15, 5:15] = 7
    data[30:40, 30:40] = 3
    viewer.add_labels(data, name="cellpose")
    link = make_link(viewer)
    panel = PromptsPanel(link.session, link)
    qtbot.addWidget(panel)
    panel.layers.setCurrentText("cellpose")
    panel.use.click()
    np.testing.assert_array_equal(link.session.document.store.data, data)
    link.session.undo()
    assert not link.session.document.store.data.any()
    panel.close_panel()
