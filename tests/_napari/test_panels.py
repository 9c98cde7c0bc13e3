"""Panels show the session and call its verbs; no viewer is open."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtGui import QColor, QPalette
from qtpy.QtWidgets import QLabel, QVBoxLayout, QWidget

from napari_sam._napari.keybindings import KEYS
from napari_sam._napari.models import model_states
from napari_sam._napari.panels.candidates_panel import CandidatesPanel
from napari_sam._napari.panels.everything_panel import EverythingPanel
from napari_sam._napari.panels.export_panel import ExportPanel
from napari_sam._napari.panels.help_panel import HelpPanel
from napari_sam._napari.panels.image_panel import ImagePanel
from napari_sam._napari.panels.objects_model import COLUMNS, VOLUME_COLUMN
from napari_sam._napari.panels.objects_panel import ObjectsPanel
from napari_sam._napari.panels.parts import label, red_on
from napari_sam._napari.panels.prompts_panel import PromptsPanel
from napari_sam._napari.panels.section import Section
from napari_sam._napari.panels.status_panel import StatusPanel
from napari_sam._napari.panels.still import Still
from napari_sam._napari.preferences import Preferences, read_preferences
from napari_sam.errors import PromptError
from napari_sam.session.findings import Proposals
from napari_sam.session.journal import Journal

NARROW = 300


@pytest.fixture
def viewer() -> ViewerModel:
    model = ViewerModel()
    model.add_image(np.zeros((60, 70), np.uint8), name="cells", scale=(0.5, 0.5))
    return model


@pytest.fixture
def link(viewer: ViewerModel, make_link: Callable[..., Any]) -> Any:
    return make_link(viewer)


def commit_two(link: Any) -> None:
    for place in ((20, 20), (40, 50)):
        link.session.add_point(place)
        link.session.commit()


def test_candidates_show_their_confidence_and_are_chosen(link: Any, qtbot: Any) -> None:
    panel = CandidatesPanel(link.session)
    qtbot.addWidget(panel)
    assert not panel.commit.isEnabled()
    link.session.add_point((20, 30))
    assert [each.text() for each in panel.choices] == ["0.50", "0.90", "0.50"]
    assert panel.choices[1].isChecked()
    panel.choices[2].click()
    assert link.session.candidates.chosen == 2
    panel.class_name.setText("cell")
    panel.commit.click()
    assert link.session.document.objects[1].class_name == "cell"
    assert "commit object 1" in panel.undo.toolTip()
    panel.undo.click()
    panel.redo.click()
    assert len(link.session.document.objects) == 1
    panel.overlap.setCurrentIndex(1)
    panel.overlap.activated.emit(1)
    assert link.session.overlap == "overwrite"
    panel.close_panel()


def test_table_sorts_names_and_deletes(
    link: Any, viewer: ViewerModel, qtbot: Any
) -> None:
    commit_two(link)
    panel = ObjectsPanel(link.session, link)
    qtbot.addWidget(panel)
    assert panel.count.text() == "2 objects"
    area = link.session.document.objects[1].area
    shown = panel.model.data(panel.model.index(0, 3))
    assert float(shown) == pytest.approx(area / 4, abs=0.5)
    panel.model.setData(panel.model.index(1, 1), "debris")
    assert link.session.document.objects[2].class_name == "debris"
    panel.select(2)
    assert panel.selected_ids() == [2]
    panel.buttons[0].click()
    assert [each.id for each in link.session.document.objects] == [1]
    panel.close_panel()


def test_merge_split_and_review_by_button(link: Any, qtbot: Any) -> None:
    commit_two(link)
    panel = ObjectsPanel(link.session, link)
    qtbot.addWidget(panel)
    panel.table.selectAll()
    panel.buttons[1].click()
    assert len(link.session.document.objects) == 1
    qtbot.waitUntil(lambda: panel.model.rowCount() == 1)
    panel.select(1)
    panel.buttons[2].click()
    assert len(link.session.document.objects) == 2
    qtbot.waitUntil(lambda: panel.model.rowCount() == 2)
    panel.review()
    assert len(panel.selected_ids()) == 1
    panel.close_panel()


def test_the_table_has_columns_for_words_where_there_are_some(
    link: Any, qtbot: Any
) -> None:
    commit_two(link)
    panel = ObjectsPanel(link.session, link)
    qtbot.addWidget(panel)
    hidden = [n for n in range(len(COLUMNS)) if panel.table.isColumnHidden(n)]
    assert [COLUMNS[n] for n in hidden] == ["volume", "text", "phrase"]
    table = link.session.document.objects
    table.replace(table[1], replace(table[1], text_score=0.7, phrase="cells"))
    link.session.events.objects.emit()
    panel._update.flush()
    hidden = [n for n in range(len(COLUMNS)) if panel.table.isColumnHidden(n)]
    assert [COLUMNS[n] for n in hidden] == ["volume"]
    panel.close_panel()


def test_the_table_takes_over_only_what_changed(link: Any, qtbot: Any) -> None:
    commit_two(link)
    panel = ObjectsPanel(link.session, link)
    qtbot.addWidget(panel)
    told: list[Any] = []
    model = panel.model
    model.modelReset.connect(lambda: told.append("all"))
    model.rowsInserted.connect(lambda _, *rows: told.append(("in", *rows)))
    model.rowsRemoved.connect(lambda _, *rows: told.append(("out", *rows)))
    model.dataChanged.connect(lambda one, other: told.append((one.row(), other.row())))
    panel.select(2)
    link.session.add_point((10, 60))
    link.session.commit()
    panel._update.flush()
    link.session.set_class([1, 2], "cell")
    panel._update.flush()
    link.session.delete([1, 3])
    panel._update.flush()
    assert told == [("in", 2, 2), (0, 1), ("out", 2, 2), ("out", 0, 0)]
    assert panel.selected_ids() == [2], "it stays selected"
    assert model.data(model.index(0, 1)) == "cell"
    panel.close_panel()


def test_the_table_of_another_image_starts_with_nothing_selected(
    link: Any, qtbot: Any
) -> None:
    commit_two(link)
    panel = ObjectsPanel(link.session, link)
    qtbot.addWidget(panel)
    panel.select(1)
    first = link.session.document
    link.session.start(np.zeros((60, 70), np.int32))
    commit_two(link)
    panel._update.flush()
    assert link.session.document is not first
    assert panel.model.rowCount() == 2
    assert panel.selected_ids() == []
    panel.close_panel()


def test_buttons_say_what_to_select(link: Any, qtbot: Any) -> None:
    panel = ObjectsPanel(link.session, link)
    qtbot.addWidget(panel)
    delete, merge, split, refine, review = panel.buttons
    assert not any(each.isEnabled() for each in panel.buttons)
    assert "no object yet" in review.toolTip()
    commit_two(link)
    panel._update.flush()
    assert review.isEnabled()
    assert not delete.isEnabled()
    assert "select a row" in delete.toolTip()
    panel.select(1)
    assert all(each.isEnabled() for each in (delete, split, refine))
    assert not merge.isEnabled()
    assert "two rows" in merge.toolTip()
    panel.table.selectAll()
    assert merge.isEnabled()
    assert merge.toolTip() == "Make the selected objects one"
    panel.close_panel()


def test_the_table_has_volumes_where_there_are_stacks(
    make_link: Callable[..., Any], qtbot: Any
) -> None:
    viewer = ViewerModel()
    viewer.add_image(
        np.zeros((5, 60, 70), np.uint8), scale=(3, 0.5, 0.5), units=("um",) * 3
    )
    link = make_link(viewer)
    panel = ObjectsPanel(link.session, link)
    qtbot.addWidget(panel)
    assert panel.table.isColumnHidden(VOLUME_COLUMN)
    made = commit_in_slices(link, (1, 2))
    qtbot.waitUntil(lambda: not panel.table.isColumnHidden(VOLUME_COLUMN))
    assert panel.count.text() == "1 object; areas in µm², volumes in µm³"
    cell = panel.model.index(0, VOLUME_COLUMN)
    volume = made.area * 3 * 0.5 * 0.5
    assert panel.model.data(cell, Qt.ItemDataRole.UserRole) == pytest.approx(volume)
    panel.close_panel()


def commit_in_slices(link: Any, slices: tuple[int, ...]) -> Any:
    """Commit one object in several slices."""
    for index in slices:
        link._viewer.dims.set_current_step(0, index)
        link.sync()
        link.session.add_point((20, 20))
        link.session.commit(object_id=1)
    return link.session.document.objects[1]


def test_an_error_is_said_in_red_and_no_nonsense_after_it(
    link: Any, qtbot: Any
) -> None:
    panel = StatusPanel(link.session, link)
    qtbot.addWidget(panel)
    link.session.events.failed.emit(PromptError("Click on the image."))
    assert panel.text.text() == "Click on the image."
    assert "color" in panel.text.styleSheet()
    panel.close_panel()


def test_a_long_error_is_seen_whole_in_a_narrow_dock(link: Any, qtbot: Any) -> None:
    panel = StatusPanel(link.session, link)
    still = Still(panel)
    qtbot.addWidget(still)
    still.resize(NARROW, 50)
    still.show()
    hash_of_a_file = "3adcc4315b64" * 8
    link.session.events.failed.emit(PromptError(f"Words. {hash_of_a_file} " * 3))
    text = panel.text
    qtbot.waitUntil(lambda: text.height() >= text.heightForWidth(text.width()) > 60)
    assert text.minimumSizeHint().width() < NARROW, "nothing is cut off at its side"
    assert text.text().replace("\u200b", "").count(hash_of_a_file) == 3
    panel.close_panel()


def test_an_error_goes_with_the_next_edit(link: Any, qtbot: Any) -> None:
    panel = StatusPanel(link.session, link)
    qtbot.addWidget(panel)
    link.session.events.failed.emit(PromptError("Click on the image."))
    link.session.add_point((20, 20))
    qtbot.waitUntil(lambda: panel.text.text() == "Ready.")
    assert panel.text.styleSheet() == ""
    panel.close_panel()


@pytest.mark.parametrize(("ground", "darker"), [("white", True), ("#262930", False)])
def test_red_is_read_on_light_and_dark_ground(
    ground: str, darker: bool, qtbot: Any
) -> None:
    panel = QWidget()
    qtbot.addWidget(panel)
    colours = panel.palette()
    colours.setColor(QPalette.ColorRole.Window, QColor(ground))
    panel.setPalette(colours)
    red = QColor(red_on(panel).removeprefix("color: ").removesuffix(";"))
    assert (red.lightness() < 127) is darker


def test_only_work_that_lasts_is_told_of(link: Any, qtbot: Any) -> None:
    panel = StatusPanel(link.session, link)
    qtbot.addWidget(panel)
    events = link.session.events
    for text in ("Segmenting ...", "Reading the image ..."):
        events.status.emit(text)
        events.busy.emit(True)
        assert panel.text.text() == "Ready."
        assert not panel.cancel.isEnabled()
        events.busy.emit(False)
    events.status.emit("Reading the image ...")
    events.busy.emit(True)
    qtbot.waitUntil(panel.cancel.isEnabled)
    assert panel.text.text() == "Reading the image ..."
    before = panel.progress.value()
    qtbot.waitUntil(lambda: panel.progress.value() != before)
    events.progress.emit(3, 12)
    qtbot.waitUntil(lambda: panel.progress.maximum() == 12)
    events.busy.emit(False)
    qtbot.waitUntil(lambda: panel.text.text() == "Ready.")
    assert not panel.cancel.isEnabled()
    panel.close_panel()


def test_a_text_moves_nothing_unless_it_needs_a_line_more(qtbot: Any) -> None:
    text = label("Click.")
    text_panel = QWidget()
    QVBoxLayout(text_panel).addWidget(text)
    outside = QWidget()
    column = QVBoxLayout(outside)
    column.addWidget(Still(text_panel))
    below = QLabel("below")
    column.addWidget(below)
    column.addStretch(1)
    qtbot.addWidget(outside)
    outside.resize(200, 400)
    outside.show()
    qtbot.wait(50)
    asked = Asked()
    outside.installEventFilter(asked)
    place = below.y()
    text.setText("Choose.")
    qtbot.wait(50)
    assert asked.layouts == 0
    assert below.y() == place
    text.setText("This takes far more than what one line can hold. " * 3)
    qtbot.waitUntil(lambda: below.y() > place + text.fontMetrics().height())
    assert text.height() >= text.heightForWidth(text.width())


class Asked(QObject):
    """Counts how often a widget is asked to lay out what it holds."""

    layouts = 0

    def eventFilter(self, watched: Any, event: Any) -> bool:
        self.layouts += event.type() == QEvent.Type.LayoutRequest
        return False


def test_what_a_crash_left_can_be_brought_back(
    link: Any, viewer: ViewerModel, make_link: Callable[..., Any], qtbot: Any
) -> None:
    assert isinstance(link.work.journal, Journal)
    commit_two(link)
    again = ViewerModel()
    again.add_image(np.zeros((60, 70), np.uint8), name="cells")
    other = make_link(again)
    panel = StatusPanel(other.session, other)
    qtbot.addWidget(panel)
    assert "2 edits" in panel.restore.text()
    panel.restore.click()
    np.testing.assert_array_equal(
        other.session.document.store.data, link.session.document.store.data
    )
    assert panel.restore.isHidden()
    panel.close_panel()


def test_the_grid_has_its_own_parameters(link: Any, qtbot: Any) -> None:
    panel = EverythingPanel(link.session, link, Proposals(link.session))
    qtbot.addWidget(panel)
    assert panel.method.currentData() == "dense"
    assert not panel.points.isVisibleTo(panel)
    assert panel.smallest.isVisibleTo(panel)
    panel.method.setCurrentIndex(1)
    assert panel.points.isVisibleTo(panel)
    assert panel.stability.isVisibleTo(panel)
    panel.close_panel()


def test_tools_follow_keys_and_keys_tools(link: Any, qtbot: Any) -> None:
    panel = PromptsPanel(link.session, link)
    qtbot.addWidget(panel)
    assert panel.tools["point"].isChecked()
    keys = {key: action for key, _, action in KEYS}
    keys["B"](link)
    assert panel.tools["box"].isChecked()
    panel.tools["point"].click()
    assert link.pointing.tool == "point"
    keys["X"](link)
    assert panel.negative.isChecked()
    panel.hover.click()
    assert link.pointing.hover
    panel.close_panel()


def test_every_key_is_in_the_help(qtbot: Any) -> None:
    panel = HelpPanel()
    qtbot.addWidget(panel)
    text = panel.findChildren(QLabel)[0].text()
    for key, words, _ in KEYS:
        assert key.replace("Control", "Ctrl") in text
        assert words in text


def test_models_say_whether_they_are_here(link: Any, qtbot: Any) -> None:
    panel = ImagePanel(link.session, link)
    qtbot.addWidget(panel)
    texts = [panel.models.itemText(i) for i in range(panel.models.count())]
    assert texts[0] == "pocket  (bundled)"
    assert any("download" in text and "MB" in text for text in texts)
    assert [each.name for each in model_states() if each.is_here] == ["pocket"]
    away = next(i for i, text in enumerate(texts) if "download" in text)
    panel.models.setCurrentIndex(away)
    panel.models.activated.emit(away)
    assert not panel.download.isHidden()
    assert "not on this machine" in panel.state.text()
    panel.close_panel()


def test_panels_fit_a_narrow_dock(link: Any, qtbot: Any) -> None:
    session = link.session
    for panel in (
        ImagePanel(session, link),
        PromptsPanel(session, link),
        CandidatesPanel(session),
        ObjectsPanel(session, link),
        ExportPanel(session, link),
        StatusPanel(session, link),
    ):
        qtbot.addWidget(panel)
        assert panel.minimumSizeHint().width() <= NARROW, type(panel).__name__
        panel.close_panel()


def test_sections_fold(qtbot: Any) -> None:
    section = Section("Keys", HelpPanel(), opened=False)
    qtbot.addWidget(section)
    assert not section.content.isVisibleTo(section)
    section.open()
    assert section.content.isVisibleTo(section)


def test_export_and_session_files(link: Any, qtbot: Any, tmp_path: Path) -> None:
    commit_two(link)
    panel = ExportPanel(link.session, link)
    qtbot.addWidget(panel)
    told: list[Exception] = []
    link.session.events.failed.connect(told.append)
    panel.write(tmp_path / "labels.tif")
    panel.save_to(tmp_path / "work.json")
    assert json.loads((tmp_path / "work.json").read_text())["image"] == "cells"
    end = link.session.document.store.data.copy()
    link.session.delete([1, 2])
    link.session.start(np.zeros((60, 70), np.int32))
    panel.open_from(tmp_path / "work.json")
    np.testing.assert_array_equal(link.session.document.store.data, end)
    assert told == []
    panel.open_from(tmp_path / "labels.tif")
    assert "no session file" in str(told[0])


def test_preferences_have_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("napari_sam._napari.preferences._settings", lambda: None)
    assert read_preferences() == Preferences()
