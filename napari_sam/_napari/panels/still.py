"""A frame inside which things may change while nothing around it is drawn anew."""

from __future__ import annotations

from typing import Any

from qtpy.QtCore import QEvent, QSize
from qtpy.QtWidgets import QSizePolicy, QWidget


class Still(QWidget):
    """Holds a widget, and moves what is around it only where its height changes.

    Each new text makes Qt lay out the whole window and draw it anew, with the canvas:
    some 30 ms where there is no graphics card. This widget has no layout, so that its
    content's wish for another size ends here.

    Parameters
    ----------
    content : QWidget
    """

    def __init__(self, content: QWidget) -> None:
        super().__init__()
        self._content = content
        content.setParent(self)
        preferred = QSizePolicy.Policy.Preferred
        self.setSizePolicy(preferred, QSizePolicy.Policy.Fixed)
        self._fit()

    def sizeHint(self) -> QSize:
        """Return the content's size, and its height where it is this wide."""
        return QSize(self._content.sizeHint().width(), self._wanted_height())

    def minimumSizeHint(self) -> QSize:
        """Return the least size of the content."""
        return QSize(self._content.minimumSizeHint().width(), self._wanted_height())

    def event(self, event: Any) -> bool:
        """Give the content the height it asks for."""
        if event.type() == QEvent.Type.LayoutRequest:
            self._fit()
        return bool(super().event(event))

    def resizeEvent(self, event: Any) -> None:
        """Give the content the new width."""
        super().resizeEvent(event)
        self._fit()

    def _wanted_height(self) -> int:
        width, layout = max(self.width(), 1), self._content.layout()
        if layout is not None and layout.hasHeightForWidth():
            return int(layout.totalHeightForWidth(width))
        return int(self._content.sizeHint().height())

    def _fit(self) -> None:
        wanted, height = self._wanted_height(), self.height()
        # Texts of one line differ by a pixel or two.
        if not 0 <= height - wanted < self.fontMetrics().height() // 2:
            height = wanted
            self.setFixedHeight(height)
        self._content.setGeometry(0, 0, self.width(), height)
