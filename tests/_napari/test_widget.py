"""The whole dock widget over a viewer's model, without loading a model."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.utils.colormaps import DirectLabelColormap
from qtpy.QtCore import QPoint, QPointF, Qt
from qtpy.QtGui import QWheelEvent
from qtpy.QtWidgets import (
    QAbstractButton,
    QAbstractSlider,
    QAbstractSpinBox,
    QApplication,
    QComboBox,
    QLineEdit,
    QPlainTextEdit,
    QScrollBar,
    QTableView,
    QWidget,
)

import napari_sam._napari
from napari_sam._napari.keybindings import KEYS
from napari_sam._napari.layers import Colours, value_colormap
from napari_sam._napari.preferences import read_preferences
from napari_sam._napari.widget import VOLUME, SamWidget
from napari_sam.errors import ModelError
from napari_sam.session.model_files import delete_model, import_model, verify_model

pytestmark = pytest.mark.widget

NARROW = 340
MOST_LINES = 250
CONTROLS = (
    QAbstractButton,
    QAbstractSlider,
    QAbstractSpinBox,
    QComboBox,
    QLineEdit,
    QPlainTextEdit,
    QTableView,
)
SOURCE = Path(napari_sam._napari.__file__).parent


@pytest.fixture
def viewer() -> ViewerModel:
    model = ViewerModel()
    model.add_image(np.zeros((6, 60, 70), np.uint8), name="stack")
    return model


@pytest.fixture
def widget(
    viewer: ViewerModel, qtbot: Any, monkeypatch: pytest.MonkeyPatch
) -> Iterator[SamWidget]:
    monkeypatch.setattr(SamWidget, "_load", lambda self, wanted: None)
    made = SamWidget(viewer)
    qtbot.addWidget(made)
    yield made
    made.close_session()


def controls(widget: QWidget) -> list[Any]:
    """Return what a person can touch, without the parts that Qt makes itself."""
    found = [each for kind in CONTROLS for each in widget.findChildren(kind)]
    return [
        each
        for each in found
        if not isinstance(each, QScrollBar)
        and not each.objectName().startswith("qt_")
        and not isinstance(each.parent(), QTableView)
    ]


def test_everything_has_a_tooltip_and_keys_are_in_it(widget: SamWidget) -> None:
    tips = []
    for each in controls(widget):
        text = getattr(each, "text", lambda: "")
        assert each.toolTip(), f"{type(each).__name__} {text()!r}"
        tips.append(each.toolTip())
    for key, words, _ in KEYS:
        if key != "Shift-Tab":
            assert any(f"[{key}]" in tip for tip in tips), words


def test_the_wheel_changes_no_field_that_it_passes(widget: SamWidget) -> None:
    fields = [
        each
        for each in widget.findChildren(QWidget)
        if isinstance(each, QAbstractSlider | QAbstractSpinBox | QComboBox)
        and not isinstance(each, QScrollBar)
    ]
    assert len(fields) > 12

    def value(field: Any) -> Any:
        is_list = isinstance(field, QComboBox)
        return field.currentIndex() if is_list else field.value()

    before = [value(each) for each in fields]
    for each in fields:
        middle, turn = QPointF(5, 5), QPoint(0, -120)
        event = QWheelEvent(
            *(middle, middle, turn, turn),
            *(Qt.MouseButton.NoButton, Qt.KeyboardModifier.NoModifier),
            *(Qt.ScrollPhase.NoScrollPhase, False),
        )
        QApplication.sendEvent(each, event)
    assert [value(each) for each in fields] == before


def test_it_fits_a_narrow_dock_with_all_sections_open(widget: SamWidget) -> None:
    for title, section in widget.sections.items():
        section.open()
        assert section.minimumSizeHint().width() <= NARROW - 20, title


def test_the_section_for_stacks_comes_and_goes(
    widget: SamWidget, viewer: ViewerModel
) -> None:
    assert not widget.sections[VOLUME].isHidden()
    viewer.add_image(np.zeros((30, 40), np.uint8), name="flat")
    assert widget.sections[VOLUME].isHidden()
    viewer.layers.remove("flat")
    assert not widget.sections[VOLUME].isHidden()
    viewer.dims.ndisplay = 3
    widget.link.sync()
    assert not widget.sections[VOLUME].isHidden(), "one must get back to 2D"


@pytest.mark.parametrize(
    "path", sorted((SOURCE / "panels").glob("*.py")), ids=lambda path: path.stem
)
def test_panels_are_small(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) < MOST_LINES


def test_only_the_link_touches_the_viewers_layers() -> None:
    users = {
        path.name
        for path in SOURCE.rglob("*.py")
        if "viewer.layers" in path.read_text(encoding="utf-8")
        and path.name != "show_demo.py"
    }
    assert users == {"viewer_link.py"}


@pytest.mark.parametrize("binding", ["PyQt6", "PySide6"])
def test_all_modules_import_with(binding: str) -> None:
    if importlib.util.find_spec(binding) is None:
        pytest.skip(f"{binding} is not installed")
    modules = [
        f"napari_sam._napari.{'.'.join(path.relative_to(SOURCE).with_suffix('').parts)}"
        for path in SOURCE.rglob("*.py")
        if path.stem != "__init__"
    ]
    code = (
        "import importlib, qtpy\n"
        f"for name in {modules}: importlib.import_module(name)\n"
        f"assert qtpy.API_NAME == {binding!r}, qtpy.API_NAME"
    )
    environment = os.environ | {
        "QT_API": binding.lower(),
        "QT_QPA_PLATFORM": "offscreen",
    }
    subprocess.run([sys.executable, "-c", code], check=True, env=environment)


class Settings:
    """What napari has for us, with a colour that does not exist."""

    default_model = "pocket"
    device, dtype = "cpu", "float32"
    overlap = "overwrite"
    hover_preview = True
    data_folder = ""
    cache_megabytes = 64
    mask_colour, positive_colour, negative_colour = "yellow", "#00ff00", "no colour"


def test_preferences_are_taken_and_nonsense_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("napari_sam._napari.preferences._settings", Settings)
    wanted = read_preferences()
    assert wanted.cache_bytes == 64_000_000
    assert wanted.colours == Colours("yellow", "#00ff00", Colours.negative)
    assert (wanted.overlap, wanted.hover) == ("overwrite", True)


def test_model_files(make_link: Any, viewer: ViewerModel, tmp_path: Path) -> None:
    session = make_link(viewer).session
    said: list[str] = []
    failed: list[Exception] = []
    session.events.status.connect(said.append)
    session.events.failed.connect(failed.append)
    verify_model(session, "pocket")
    assert said[-1].startswith("pocket is good")
    with pytest.raises(ModelError, match="cannot be deleted"):
        delete_model(session, "pocket")
    with pytest.raises(ModelError, match="not on this machine"):
        delete_model(session, "sam_vit_b")
    (tmp_path / "notes.pt").write_text("no model")
    import_model(session, tmp_path / "notes.pt", "mine")
    assert "notes.pt" in str(failed[-1])


def test_colours_of_values_need_no_compiling() -> None:
    found = value_colormap(("red", "#0000ff"))
    np.testing.assert_allclose(
        found.map(np.array([0, 1, 2], np.uint8)),
        [(0, 0, 0, 0), (1, 0, 0, 1), (0, 0, 1, 1)],
    )
    # A direct colormap makes numba compile for seconds when the widget opens.
    assert not isinstance(found, DirectLabelColormap)


def test_the_box_layer_waits_until_it_is_wanted(
    widget: SamWidget, viewer: ViewerModel
) -> None:
    names = [layer.name for layer in viewer.layers]
    assert names == ["stack", "SAM points", "SAM mask"]
    widget.link.pointing.tool = "box"
    names = [layer.name for layer in viewer.layers]
    assert names == ["stack", "SAM box", "SAM points", "SAM mask"]
