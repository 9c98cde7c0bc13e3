"""The section for volumes, with a predictor of bright pieces and a viewer's model."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from numpy.typing import NDArray
from qtpy.QtCore import QPointF, Qt
from qtpy.QtGui import QMouseEvent
from qtpy.QtWidgets import QApplication

from napari_sam import SamPredictor, create_model
from napari_sam._napari.panels.strip import ConfidenceStrip, colour_of
from napari_sam._napari.panels.volume_panel import VolumePanel
from napari_sam.inference.volume_steps import PropagationSettings
from napari_sam.samples import load_sample
from napari_sam.session.propagation import Propagation

from .conftest import load_test_module

stack_fakes = load_test_module("session", "stack_fakes")
pytestmark = pytest.mark.widget

MakeLink = Callable[..., Any]
SHAPE = (20, 40, 48)


@pytest.fixture
def labels() -> NDArray[np.int32]:
    found: NDArray[np.int32] = stack_fakes.balls(
        SHAPE, [(8, 10, 12), (12, 28, 32)], 5.5
    )
    return found


def bright(labels: NDArray[np.int32]) -> NDArray[np.uint16]:
    return np.where(labels > 0, 3000, 200).astype(np.uint16)


@pytest.fixture
def open_panel(make_link: MakeLink, qtbot: Any) -> Callable[..., Any]:
    def make(viewer: ViewerModel) -> Any:
        link = make_link(viewer, stack_fakes.StackPredictor())
        propagation = Propagation(link.session)
        propagation.settings = PropagationSettings(max_area_ratio=6, min_overlap=0.1)
        link.propagation = propagation
        panel = VolumePanel(link.session, link, propagation)
        qtbot.addWidget(panel)
        return panel

    return make


def settle(panel: Any) -> None:
    panel._link.flush()
    panel._list_soon.flush()
    panel._update.flush()


def click(panel: Any, *pixel: float) -> None:
    panel._link.pointing.clicked(panel._link.image.data_to_world(pixel), True)


def test_a_click_and_a_press_fill_the_stack(
    open_panel: Callable[..., Any], labels: NDArray[np.int32]
) -> None:
    viewer = ViewerModel()
    image = viewer.add_image(bright(labels), name="balls", scale=(2, 1, 1))
    viewer.dims.set_current_step(0, 8)
    panel = open_panel(viewer)
    assert panel.is_wanted
    assert not panel.propagate.isEnabled()
    click(panel, 8, 10, 12)
    settle(panel)
    panel.propagate.click()
    settle(panel)
    layer = viewer.layers["balls objects"]
    np.testing.assert_array_equal(layer.data == 1, labels == 1)
    assert layer.scale == pytest.approx(image.scale)
    assert panel.objects.currentData() == 1
    assert panel.words.text() == "In slices 3 to 13. Slice 8: yours."
    assert panel._propagation.settings.spacing is None, "the image's, not kept"
    panel.worst.click()
    settle(panel)
    assert viewer.dims.current_step[0] in (3, 13)
    assert "confidence" in panel.words.text()
    panel._session.undo()
    settle(panel)
    assert not layer.data.any()


def test_axes_of_a_5d_image_and_the_range(
    open_panel: Callable[..., Any], labels: NDArray[np.int32]
) -> None:
    viewer = ViewerModel()
    movie = np.broadcast_to(bright(labels)[None, None], (3, 2, *SHAPE))
    viewer.add_image(movie, name="movie", axis_labels=("t", "c", "z", "y", "x"))
    for axis, step in ((0, 2), (1, 1), (2, 8)):
        viewer.dims.set_current_step(axis, step)
    panel = open_panel(viewer)
    assert [panel.axis.itemText(n) for n in range(3)] == ["z (20)", "t (3)", "c (2)"]
    panel.first.setValue(7)
    panel.last.setValue(9)
    click(panel, 2, 1, 8, 10, 12)
    settle(panel)
    panel.all.click()
    settle(panel)
    found = viewer.layers["movie objects"].data
    np.testing.assert_array_equal(found[2, 1, 7:10] == 1, labels[7:10] == 1)
    assert np.count_nonzero(found) == np.count_nonzero(found[2, 1, 7:10])
    panel.axis.setCurrentIndex(1)
    panel.axis.activated.emit(1)
    assert (panel.first.value(), panel.last.value()) == (0, 2)


def test_no_stack_no_section(open_panel: Callable[..., Any]) -> None:
    viewer = ViewerModel()
    viewer.add_image(np.zeros((30, 40), np.uint8), name="flat")
    panel = open_panel(viewer)
    assert not panel.is_wanted
    viewer.add_image(np.zeros((5, 30, 40), np.uint8), name="stack")
    settle(panel)
    assert panel.is_wanted


def test_3d_and_back_to_a_slice(
    open_panel: Callable[..., Any], labels: NDArray[np.int32]
) -> None:
    viewer = ViewerModel()
    movie = np.broadcast_to(bright(labels)[None], (3, *SHAPE))
    viewer.add_image(movie, name="movie")
    viewer.dims.set_current_step(1, 8)
    panel = open_panel(viewer)
    click(panel, 0, 8, 10, 12)
    settle(panel)
    panel.propagate.click()
    settle(panel)
    panel.view_3d.click()
    settle(panel)
    assert viewer.dims.ndisplay == 3
    assert viewer.dims.displayed == (1, 2, 3)
    assert not panel.propagate.isEnabled()
    assert panel.view_3d.text() == "2D view"
    assert "3D" in panel.words.text()
    panel.strip.picked.emit(5)
    settle(panel)
    assert viewer.dims.ndisplay == 2
    assert viewer.dims.current_step[1] == 5


def test_keys_correct_and_rerun(
    open_panel: Callable[..., Any], labels: NDArray[np.int32]
) -> None:
    viewer = ViewerModel()
    viewer.add_image(bright(labels), name="balls")
    viewer.dims.set_current_step(0, 8)
    panel = open_panel(viewer)
    keys = panel._link._tools.mask.keymap
    failures: list[Exception] = []
    panel._session.events.failed.connect(failures.append)
    press(keys, "Shift-P", panel)
    assert "Click on an object" in str(failures.pop())
    click(panel, 8, 10, 12)
    press(keys, "Shift-P", panel)
    press(keys, "Shift-W", panel)
    click(panel, viewer.dims.current_step[0], 10, 12)
    assert panel._session.draft.object_id == 1, "the slice's own mask is taken up"
    press(keys, "Shift-R", panel)
    settle(panel)
    sure = panel._propagation.confidences(1)
    assert [n for n, each in sure.items() if each is None] == sorted(
        (8, viewer.dims.current_step[0])
    )
    assert not failures


def press(keymap: Any, key: str, panel: Any) -> None:
    from app_model.types import KeyBinding

    keymap[KeyBinding.from_str(key)](None)
    settle(panel)


def test_stop_rules(open_panel: Callable[..., Any]) -> None:
    viewer = ViewerModel()
    viewer.add_image(np.zeros((5, 30, 40), np.uint8))
    panel = open_panel(viewer)
    rules = panel.rules.content
    rules.shares["min_predicted_iou"].setValue(0.5)
    rules.patience.setValue(3)
    assert panel._propagation.settings.min_predicted_iou == 0.5
    assert panel._propagation.settings.patience == 3


def test_time_has_its_own_stop_rules(open_panel: Callable[..., Any]) -> None:
    viewer = ViewerModel()
    data = np.zeros((4, 5, 30, 40), np.uint8)
    viewer.add_image(data, axis_labels=("t", "z", "y", "x"))
    panel = open_panel(viewer)
    propagation, rules = panel._propagation, panel.rules.content
    z = rules.shares["min_predicted_iou"].value()
    assert not propagation.is_movie
    propagation.axis = 0
    settle(panel)
    assert propagation.settings == PropagationSettings.for_movie()
    assert rules.shares["min_predicted_iou"].value() == 0.0 != z
    rules.patience.setValue(7)
    propagation.axis = 1
    settle(panel)
    assert rules.shares["min_predicted_iou"].value() == z
    propagation.axis = 0
    settle(panel)
    assert rules.patience.value() == 7
    rules._reset()
    assert rules.patience.value() == PropagationSettings.for_movie().patience


def test_the_strip(qtbot: Any) -> None:
    strip = ConfidenceStrip()
    qtbot.addWidget(strip)
    strip.resize(206, 44)
    strip.show_slices(20, 3, {3: None, 4: 0.9, 5: 0.6, 6: 0.2})
    picture = strip.grab().toImage()
    ratio = picture.width() / 206
    for index, sure in ((4, 0.9), (5, 0.6), (6, 0.2)):
        x, y = round((3 + 10 * index + 5) * ratio), round(42 * ratio)
        assert picture.pixelColor(x, y).name().upper() == colour_of(sure)
    assert strip.words(7) == "Slice 7: the object is not here"
    picked: list[int] = []
    strip.picked.connect(picked.append)
    place = QPointF(3 + 10 * 6 + 4, 20)
    left, none = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
    kind = QMouseEvent.Type.MouseButtonPress
    event = QMouseEvent(kind, place, strip.mapToGlobal(place), left, left, none)
    QApplication.sendEvent(strip, event)
    assert picked == [6]


def test_words_fill_a_movie_and_show_its_tracks(
    make_link: MakeLink, qtbot: Any
) -> None:
    pytest.importorskip("laptrack")
    viewer = ViewerModel()
    movie = load_sample("dividing_cells").image[6:12]
    viewer.add_image(movie, name="movie", axis_labels=("t", "y", "x"), scale=(3, 2, 2))
    link = make_link(viewer, SamPredictor(create_model("pocket", dtype="float32")))
    propagation = Propagation(link.session)
    link.propagation = propagation
    panel = VolumePanel(link.session, link, propagation)
    qtbot.addWidget(panel)
    said: list[str] = []
    link.session.events.status.connect(said.append)
    panel.named.setText("nuclei")
    panel.search.click()
    settle(panel)
    objects = link.session.document.objects
    assert said[-1] == f"Found {len(objects)} nuclei."
    tracks = viewer.layers["SAM tracks"]
    assert set(tracks.data[:, 0]) == {each.id for each in objects}
    np.testing.assert_array_equal(tracks.scale, (3, 2, 2))
    assert viewer.layers.selection.active is not tracks
    link.session.undo()
    settle(panel)
    assert not tracks.visible and not len(objects)
    link.session.redo()
    settle(panel)
    assert tracks.visible
    panel.search.click()
    settle(panel)
    assert said[-1].endswith("All are objects already.")
    panel.close_panel()
