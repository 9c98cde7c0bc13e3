"""The table of objects, as Qt wants it."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt

from napari_sam.session import Session
from napari_sam.session.measures import PIXELS, PixelSizes
from napari_sam.session.objects import SegmentedObject

COLUMNS = (
    "id",
    "class",
    "IoU",
    "area",
    "volume",
    "text",
    "phrase",
    "made from",
    "stability",
)
TIPS = (
    "Value in the labels",
    "Double-click to change it",
    "Predicted IoU",
    "In the image's units; of an object in a stack, the mean of its slices",
    "All voxels, with the spacing of the slices",
    "How well it matches the phrase",
    "The words it was found by",
    "Its prompts",
    "IoU of the mask with itself at other thresholds of the model's answer",
)
CLASS_COLUMN, VOLUME_COLUMN = 1, 4
# Of few images; where no object has any, they would only take the room of others.
OPTIONAL_COLUMNS = (VOLUME_COLUMN, 5, 6)
Role = Qt.ItemDataRole
NO_PARENT = QModelIndex()
Cells = tuple[Any, ...]


class ObjectsModel(QAbstractTableModel):
    """Objects of a session, one a row, in the order of their ids.

    Parameters
    ----------
    session : Session
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._document = session.document
        self._objects: list[SegmentedObject] = []
        self._cells: list[Cells] = []
        self.sizes = PIXELS

    def update_objects(self, sizes: PixelSizes | None = None) -> None:
        """Take over what changed of the session's objects.

        Only rows of objects that changed are told of: a table that is filled anew is
        measured and sorted by Qt in a time that grows with all objects.

        Parameters
        ----------
        sizes : PixelSizes, optional
            How large pixels are from now on.
        """
        wanted = list(self._session.document.objects)
        others = sizes is not None and sizes != self.sizes
        if sizes is not None:
            self.sizes = sizes
        if others or self._session.document is not self._document:
            self._fill(wanted)
            return
        self._remove_rows(wanted)
        self._insert_rows(wanted)
        self._change_rows(wanted)

    def object_at(self, row: int) -> SegmentedObject:
        """Return the object of a row."""
        return self._objects[row]

    def row_of(self, object_id: int) -> int:
        """Return the row of an object; -1 if it is not there."""
        ids = [each.id for each in self._objects]
        return ids.index(object_id) if object_id in ids else -1

    def rowCount(self, parent: QModelIndex = NO_PARENT) -> int:
        """Return the number of objects."""
        return 0 if parent.isValid() else len(self._objects)

    def columnCount(self, parent: QModelIndex = NO_PARENT) -> int:
        """Return the number of columns."""
        return 0 if parent.isValid() else len(COLUMNS)

    def headerData(
        self, section: int, orientation: Any, role: int = Role.DisplayRole
    ) -> Any:
        """Return names of columns and what they mean."""
        if orientation != Qt.Orientation.Horizontal:
            return None
        if role == Role.DisplayRole:
            return COLUMNS[section]
        return TIPS[section] if role == Role.ToolTipRole else None

    def data(self, index: QModelIndex, role: int = Role.DisplayRole) -> Any:
        """Return a cell: text to show, or a value to sort by."""
        if role not in (Role.UserRole, Role.EditRole, Role.DisplayRole):
            return None
        value = self._cells[index.row()][index.column()]
        return _text(value) if role == Role.DisplayRole else value

    def flags(self, index: QModelIndex) -> Any:
        """Return that only the class can be edited."""
        flags = super().flags(index)
        if index.column() == CLASS_COLUMN:
            flags |= Qt.ItemFlag.ItemIsEditable
        return flags

    def setData(
        self, index: QModelIndex, value: Any, role: int = Role.EditRole
    ) -> bool:
        """Change the class of an object."""
        name = str(value).strip()
        found = self._objects[index.row()]
        if role != Role.EditRole or not name or name == found.class_name:
            return False
        self._session.set_class([found.id], name)
        return True

    def has_any(self, column: int) -> bool:
        """Whether some object has something in a column."""
        return any(_text(cells[column]) for cells in self._cells)

    def _fill(self, wanted: list[SegmentedObject]) -> None:
        self.beginResetModel()
        self._document = self._session.document
        self._objects = wanted
        self._cells = [self._values(each) for each in wanted]
        self.endResetModel()

    def _remove_rows(self, wanted: list[SegmentedObject]) -> None:
        kept = {each.id for each in wanted}
        rows = [n for n, each in enumerate(self._objects) if each.id not in kept]
        for first, last in reversed(list(_runs(rows))):
            self.beginRemoveRows(NO_PARENT, first, last)
            del self._objects[first : last + 1], self._cells[first : last + 1]
            self.endRemoveRows()

    def _insert_rows(self, wanted: list[SegmentedObject]) -> None:
        known = {each.id for each in self._objects}
        rows = [n for n, each in enumerate(wanted) if each.id not in known]
        for first, last in _runs(rows):
            added = wanted[first : last + 1]
            self.beginInsertRows(NO_PARENT, first, last)
            self._objects[first:first] = added
            self._cells[first:first] = [self._values(each) for each in added]
            self.endInsertRows()

    def _change_rows(self, wanted: list[SegmentedObject]) -> None:
        pairs = zip(self._objects, wanted, strict=True)
        rows = [n for n, (one, other) in enumerate(pairs) if one is not other]
        for first, last in _runs(rows):
            changed = wanted[first : last + 1]
            self._objects[first : last + 1] = changed
            self._cells[first : last + 1] = [self._values(each) for each in changed]
            ends = self.index(first, 0), self.index(last, len(COLUMNS) - 1)
            self.dataChanged.emit(*ends)

    def _values(self, each: SegmentedObject) -> Cells:
        size = self.sizes.measure(each)
        return (
            each.id,
            each.class_name,
            each.predicted_iou,
            size.area,
            size.volume,
            each.text_score,
            each.phrase,
            each.prompts_text,
            each.stability_score,
        )


def _runs(rows: list[int]) -> Iterator[tuple[int, int]]:
    """Yield the first and last of each group of neighbouring numbers, which rise."""
    if not rows:
        return
    first = rows[0]
    for one, other in pairwise(rows):
        if other != one + 1:
            yield first, one
            first = other
    yield first, rows[-1]


def _text(value: Any) -> str:
    if value is None or value != value:
        return ""
    if isinstance(value, float):
        return f"{value:.2f}" if value < 10 else f"{value:.0f}"
    return str(value)
