"""Small pieces that panels share."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from contextlib import AbstractContextManager

from qtpy.QtCore import QSignalBlocker
from qtpy.QtGui import QPalette
from qtpy.QtWidgets import (
    QComboBox,
    QHBoxLayout,
    QLabel,
    QPushButton,
    QSizePolicy,
    QWidget,
)


def button(
    text: str, tip: str, call: Callable[[], object], key: str = ""
) -> QPushButton:
    """Return a button; its key, if any, is in the tooltip."""
    made = QPushButton(text)
    made.setToolTip(f"{tip} [{key}]" if key else tip)
    made.clicked.connect(lambda: call())
    made.setMinimumWidth(10)
    made.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    return made


def toggle(text: str, tip: str, key: str = "") -> QPushButton:
    """Return a button that stays down."""
    made = QPushButton(text)
    made.setCheckable(True)
    made.setToolTip(f"{tip} [{key}]" if key else tip)
    made.setMinimumWidth(10)
    made.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Fixed)
    # Themes mark a checked button hardly or not at all.
    made.setStyleSheet("QPushButton:checked { background: #3b6fd4; color: white; }")
    return made


def combo(tip: str) -> QComboBox:
    """Return a drop-down that does not widen the window."""
    made = QComboBox()
    made.setToolTip(tip)
    made.setMinimumContentsLength(3)
    made.setSizeAdjustPolicy(
        QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
    )
    made.setSizePolicy(QSizePolicy.Policy.Expanding, QSizePolicy.Policy.Fixed)
    return made


def label(text: str = "", tip: str = "") -> QLabel:
    """Return a text that wraps."""
    made = QLabel(text)
    made.setWordWrap(True)
    made.setToolTip(tip)
    return made


def red_on(widget: QWidget) -> str:
    """Return the style of a warning that is read on a widget's ground."""
    ground = widget.palette().color(QPalette.ColorRole.Window)
    return f"color: {'#b91c1c' if ground.lightness() > 127 else '#f87171'};"


def row(*widgets: QWidget) -> QWidget:
    """Return widgets side by side, no higher than they are."""
    made = QWidget()
    made.setSizePolicy(QSizePolicy.Policy.Preferred, QSizePolicy.Policy.Fixed)
    layout = QHBoxLayout(made)
    layout.setContentsMargins(0, 0, 0, 0)
    layout.setSpacing(4)
    for widget in widgets:
        layout.addWidget(widget)
    return made


def fill(box: QComboBox, items: Iterable[tuple[str, object]], chosen: object) -> None:
    """Put (text, value) pairs into a drop-down, without telling anyone."""
    with silent(box):
        box.clear()
        for text, value in items:
            box.addItem(text, value)
        for index in range(box.count()):
            if box.itemData(index) is chosen or box.itemData(index) == chosen:
                box.setCurrentIndex(index)
                return
        box.setCurrentIndex(-1)


def silent(widget: QWidget) -> AbstractContextManager[object]:
    """Return a context in which a widget emits no signals."""
    return QSignalBlocker(widget)
