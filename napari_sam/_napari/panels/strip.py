"""How sure each slice of an object is, along z or t; a click goes there."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from qtpy.QtCore import QEvent, QRectF, Qt
from qtpy.QtCore import Signal as QtSignal  # type: ignore[attr-defined]
from qtpy.QtGui import QColor, QPainter, QPalette
from qtpy.QtWidgets import QToolTip, QWidget

HEIGHT = 44
MARGIN = 3
# Least confidence of each colour; Okabe and Ito, 2008, so that all can tell them apart.
COLOURS = ((0.75, "#009E73"), (0.5, "#E69F00"), (0.0, "#D55E00"))
BY_HAND = "#56B4E9"
# A bar never vanishes, however unsure.
LEAST_BAR = 0.12

Confidences = Mapping[int, float | None]


class ConfidenceStrip(QWidget):
    """A bar for each slice with the object, as high as it is sure.

    Attributes
    ----------
    picked : Signal(int)
        The slice that was clicked on.
    """

    picked = QtSignal(int)

    def __init__(self) -> None:
        super().__init__()
        self.setFixedHeight(HEIGHT)
        self.setMouseTracking(True)
        self.setToolTip("Confidence along the stack: click to go to a slice")
        self._length, self._index = 1, 0
        self._confidences: Confidences = {}

    def show_slices(self, length: int, index: int, confidences: Confidences) -> None:
        """Show an object.

        Parameters
        ----------
        length : int
            Number of slices.
        index : int
            The slice on screen.
        confidences : mapping of int to (float or None)
            By slice; None where a person made the mask.
        """
        self._length, self._index = max(length, 1), index
        self._confidences = confidences
        self.update()

    def index_at(self, x: float) -> int:
        """Return the slice at a place across the strip."""
        width = max(self.width() - 2 * MARGIN, 1)
        place = int((x - MARGIN) / width * self._length)
        return min(max(place, 0), self._length - 1)

    def words(self, index: int) -> str:
        """Say what is known of a slice."""
        if index not in self._confidences:
            return f"Slice {index}: the object is not here"
        sure = self._confidences[index]
        if sure is None:
            return f"Slice {index}: yours"
        return f"Slice {index}: confidence {sure:.2f}"

    def mousePressEvent(self, event: Any) -> None:
        """Go to the slice."""
        self.picked.emit(self.index_at(event.position().x()))

    def event(self, event: Any) -> bool:
        """Say in the tooltip what is under the pointer."""
        if event.type() == QEvent.Type.ToolTip:
            text = self.words(self.index_at(event.pos().x()))
            QToolTip.showText(event.globalPos(), f"{text}. Click to go there.", self)
            return True
        return bool(super().event(event))

    def paintEvent(self, event: Any) -> None:
        """Draw the bars."""
        painter = QPainter(self)
        text = self.palette().color(QPalette.ColorRole.WindowText)
        ground = QColor(text)
        ground.setAlpha(28)
        painter.fillRect(self.rect().adjusted(MARGIN, 0, -MARGIN, 0), ground)
        painter.setPen(Qt.PenStyle.NoPen)
        for index, sure in self._confidences.items():
            painter.setBrush(QColor(colour_of(sure)))
            painter.drawRect(self._bar(index, 1.0 if sure is None else sure))
        place = self._bar(self._index, 1.0)
        painter.setBrush(text)
        painter.drawRect(QRectF(place.center().x() - 1, 0, 2, self.height()))
        painter.end()

    def _bar(self, index: int, share: float) -> QRectF:
        width = (self.width() - 2 * MARGIN) / self._length
        height = max(share, LEAST_BAR) * self.height()
        # Neighbours touch when they are too thin for a gap.
        gap = 1.0 if width >= 4 else 0.0
        left = MARGIN + index * width
        return QRectF(left, self.height() - height, max(width - gap, 1.0), height)


def colour_of(sure: float | None) -> str:
    """Return the colour of a bar."""
    if sure is None:
        return BY_HAND
    return next(colour for least, colour in COLOURS if sure >= least)
