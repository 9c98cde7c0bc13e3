"""The wheel scrolls the widget; it changes only what was clicked on before."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtWidgets import (
    QAbstractSlider,
    QAbstractSpinBox,
    QComboBox,
    QScrollBar,
    QWidget,
)

GUARDED = (QAbstractSlider, QAbstractSpinBox, QComboBox)


class WheelGuard(QObject):
    """Lets the wheel pass through the fields of a widget that scrolls.

    Qt's sliders, numbers and lists take the wheel while the pointer happens to be over
    them, so that whoever scrolls by changes a threshold, or the model.

    Parameters
    ----------
    widget : QWidget
        Its fields are guarded, those that are there now.
    """

    def __init__(self, widget: QWidget) -> None:
        super().__init__(widget)
        for each in widget.findChildren(QWidget):
            if isinstance(each, GUARDED) and not isinstance(each, QScrollBar):
                each.setFocusPolicy(Qt.FocusPolicy.StrongFocus)
                each.installEventFilter(self)

    def eventFilter(self, watched: Any, event: Any) -> bool:
        """Hand the wheel on to what is around, unless the field has the focus."""
        if event.type() == QEvent.Type.Wheel and not watched.hasFocus():
            event.ignore()
            return True
        return bool(super().eventFilter(watched, event))
