"""The Tab key on the canvas, which Qt would take to move the focus."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QEvent, QObject, Qt
from qtpy.QtOpenGLWidgets import QOpenGLWidget
from qtpy.QtWidgets import QWidget


class TabKey(QObject):
    """Gives Tab on a window's canvas to us while one of our layers is active.

    Parameters
    ----------
    is_ours : callable
        Returns whether one of our layers is active.
    step : callable
        Takes 1 for Tab, -1 with Shift.
    parent : QObject
    """

    def __init__(
        self, is_ours: Callable[[], bool], step: Callable[[int], None], parent: QObject
    ) -> None:
        super().__init__(parent)
        self._is_ours = is_ours
        self._step = step

    def install(self, window: QWidget) -> None:
        """Watch the canvases of a window; doing it again changes nothing."""
        for canvas in window.findChildren(QOpenGLWidget):
            canvas.installEventFilter(self)

    def eventFilter(self, watched: Any, event: Any) -> bool:
        """Take Tab and Shift+Tab."""
        if event.type() != QEvent.Type.KeyPress:
            return False
        steps = {Qt.Key.Key_Tab: 1, Qt.Key.Key_Backtab: -1}
        step = steps.get(Qt.Key(event.key()))
        if step is None or not self._is_ours():
            return False
        self._step(step)
        return True
