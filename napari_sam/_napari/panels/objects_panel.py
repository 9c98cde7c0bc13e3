"""The table of objects: sort, go to, delete, merge, split, name, review."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from psygnal import Signal
from qtpy.QtCore import QModelIndex, QSortFilterProxyModel, Qt
from qtpy.QtWidgets import QHeaderView, QTableView, QVBoxLayout

from napari_sam._napari.delivery import Throttle
from napari_sam._napari.image_work import pixel_sizes
from napari_sam._napari.panels.objects_model import (
    OPTIONAL_COLUMNS,
    VOLUME_COLUMN,
    ObjectsModel,
)
from napari_sam._napari.panels.panel import Panel
from napari_sam._napari.panels.parts import button, label, row
from napari_sam._napari.viewer_link import ViewerLink
from napari_sam.errors import NapariSamError
from napari_sam.session import Session

# Each button, what it does, and how many objects must be selected.
VERBS = (
    ("Delete", "Erase the selected objects", 1),
    ("Merge", "Make the selected objects one", 2),
    ("Split", "Make each part an object of its own", 1),
    ("Refine", "Take the object up again", 1),
    ("Review", "Go to the next least confident one", 0),
)
SELECT = (
    "there is no object yet",
    "select a row of the table first",
    "select two rows or more of the table first, with Ctrl or Shift and a click",
)


class ObjectsPanel(Panel):
    """Shows the objects and changes them.

    Parameters
    ----------
    session : Session
    link : ViewerLink

    Attributes
    ----------
    selection_changed : Signal()
        Which rows are selected.
    """

    selection_changed = Signal()

    def __init__(self, session: Session, link: ViewerLink) -> None:
        super().__init__()
        self._session, self._link = session, link
        self.model = ObjectsModel(session)
        self._sorted = QSortFilterProxyModel(self)
        self._sorted.setSourceModel(self.model)
        self._sorted.setSortRole(Qt.ItemDataRole.UserRole)
        self.table = QTableView()
        self.count = label()
        calls = (
            self._each(session.delete),
            self._each(session.merge),
            self._split,
            self._refine,
            self.review,
        )
        self.buttons = [
            button(text, tip, call)
            for (text, tip, _), call in zip(VERBS, calls, strict=True)
        ]
        self._reviewed: int | None = None
        self._update = Throttle(self._show, parent=self)
        self._lay_out()
        self._connections.add(session.events.objects, self._update)
        self.table.clicked.connect(self._clicked)
        selection = self.table.selectionModel()
        if selection is not None:
            selection.selectionChanged.connect(self._selected)
        self._show()

    def close_panel(self) -> None:
        """Undo all connections."""
        self._update.close()
        super().close_panel()

    def selected_ids(self) -> list[int]:
        """Return the ids of the selected rows."""
        selection = self.table.selectionModel()
        rows = [] if selection is None else selection.selectedRows()
        places = [self._sorted.mapToSource(each).row() for each in rows]
        return [self.model.object_at(place).id for place in places]

    def select(self, object_id: int) -> None:
        """Select the row of an object."""
        place = self.model.row_of(object_id)
        if place >= 0:
            index = self._sorted.mapFromSource(self.model.index(place, 0))
            self.table.selectRow(index.row())

    def review(self) -> None:
        """Go to the object that the model is least sure of, then to the next one."""
        found = self._session.document.objects.least_confident(self._reviewed)
        if found is not None:
            self._reviewed = found.id
            self.select(found.id)
            self._link.go_to(found)

    def _lay_out(self) -> None:
        table = self.table
        table.setModel(self._sorted)
        table.setSortingEnabled(True)
        table.sortByColumn(0, Qt.SortOrder.AscendingOrder)
        table.setSelectionBehavior(QTableView.SelectionBehavior.SelectRows)
        table.setToolTip("Click: go to the object. Double-click a class to change it.")
        names, numbers = table.horizontalHeader(), table.verticalHeader()
        if names is not None and numbers is not None:
            numbers.setVisible(False)
            numbers.setDefaultSectionSize(20)
            names.setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
            # Measured are the rows in sight: all of them would take ever longer.
            names.setResizeContentsPrecision(0)
            names.setStretchLastSection(True)
        table.setMinimumHeight(120)
        table.setMaximumHeight(240)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 2, 4, 4)
        layout.setSpacing(4)
        layout.addWidget(self.count)
        layout.addWidget(table)
        layout.addWidget(row(*self.buttons[:3]))
        layout.addWidget(row(*self.buttons[3:]))

    def _show(self, _: object = None) -> None:
        image = self._link.image
        self.model.update_objects(None if image is None else pixel_sizes(image))
        for column in OPTIONAL_COLUMNS:
            self.table.setColumnHidden(column, not self.model.has_any(column))
        number = self.model.rowCount()
        self.count.setText(f"{number} object{'s' * (number != 1)}{self._units()}")
        self._selected()

    def _selected(self, *_: Any) -> None:
        """Offer what can be done with the selected objects."""
        selected, number = len(self.selected_ids()), self.model.rowCount()
        for each, (__, tip, least) in zip(self.buttons, VERBS, strict=True):
            there = selected >= least and number > 0
            each.setEnabled(there)
            each.setToolTip(tip if there else f"{tip}: {SELECT[least]}")
        self.selection_changed.emit()

    def _units(self) -> str:
        """Say what areas and volumes are in: in the headings there is no room."""
        area, volume = self.model.sizes.unit(2), self.model.sizes.unit(3)
        if not area:
            return ""
        also = (
            f", volumes in {volume}"
            if volume and self.model.has_any(VOLUME_COLUMN)
            else ""
        )
        return f"; areas in {area}{also}"

    def _clicked(self, index: QModelIndex) -> None:
        found = self.model.object_at(self._sorted.mapToSource(index).row())
        self._link.go_to(found)

    def _each(self, verb: Callable[[list[int]], None]) -> Callable[[], None]:
        return lambda: self._told(lambda: verb(self.selected_ids()))

    def _split(self) -> None:
        for each in self.selected_ids()[:1]:
            self._told(partial(self._session.split, each))

    def _refine(self) -> None:
        for each in self.selected_ids()[:1]:
            self._link.go_to(self._session.document.objects[each])
            self._link.activate()
            self._told(partial(self._session.refine, each))

    def _told(self, call: Callable[[], None]) -> None:
        try:
            call()
        except NapariSamError as error:
            self._session.events.failed.emit(error)
