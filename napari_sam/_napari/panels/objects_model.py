"""The table of objects, as Qt wants it."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QAbstractTableModel, QModelIndex, Qt

from napari_sam.session import Session
from napari_sam.session.measures import PIXELS
from napari_sam.session.objects import SegmentedObject

COLUMNS = ("id", "class", "IoU", "area", "volume", "text", "phrase", "made from")
TIPS = (
    "Value in the labels",
    "Double-click to change it",
    "Predicted IoU",
    "In the image's units; of an object in a stack, the mean of its slices",
    "All voxels, with the spacing of the slices",
    "How well it matches the phrase",
    "The words it was found by",
    "Its prompts",
)
CLASS_COLUMN, VOLUME_COLUMN = 1, 4
Role = Qt.ItemDataRole
NO_PARENT = QModelIndex()


class ObjectsModel(QAbstractTableModel):
    """Objects of a session, one a row.

    Parameters
    ----------
    session : Session
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self._objects: list[SegmentedObject] = []
        self.sizes = PIXELS

    def update_objects(self) -> None:
        """Take the session's objects anew."""
        self.beginResetModel()
        self._objects = list(self._session.document.objects)
        self.endResetModel()

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
        values = self._values(self._objects[index.row()])
        value = values[index.column()]
        if role == Role.UserRole:
            return value
        if role == Role.EditRole:
            return value
        if role == Role.DisplayRole:
            return _text(value)
        return None

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

    @property
    def has_volumes(self) -> bool:
        """Whether there is an object in several slices."""
        volumes = (self.sizes.measure(each).volume for each in self._objects)
        return any(volume == volume for volume in volumes)

    def _values(self, each: SegmentedObject) -> tuple[Any, ...]:
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
        )


def _text(value: Any) -> str:
    if value is None or value != value:
        return ""
    if isinstance(value, float):
        return f"{value:.2f}" if value < 10 else f"{value:.0f}"
    return str(value)
