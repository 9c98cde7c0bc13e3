"""A titled part of the widget that folds."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QSizePolicy, QToolButton, QVBoxLayout, QWidget

from napari_sam._napari.panels.still import Still


class Section(QWidget):
    """A header to click on, and what it shows or hides.

    Parameters
    ----------
    title : str
    content : QWidget
    opened : bool
        Whether it starts unfolded.
    """

    def __init__(self, title: str, content: QWidget, *, opened: bool = True) -> None:
        super().__init__()
        self.content = content
        self._button = QToolButton()
        self._button.setText(title)
        self._button.setCheckable(True)
        self._button.setChecked(opened)
        self._button.setToolTip(f"Fold or unfold: {title}")
        self._button.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        self._button.setStyleSheet(
            "QToolButton { border: none; font-weight: bold; padding: 3px 2px; "
            "text-align: left; background: transparent; }"
        )
        expanding = QSizePolicy.Policy.Expanding
        self._button.setSizePolicy(expanding, QSizePolicy.Policy.Fixed)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.setSpacing(0)
        layout.addWidget(self._button)
        self._frame = Still(content)
        layout.addWidget(self._frame)
        content.setContentsMargins(0, 0, 0, 0)
        self._button.toggled.connect(self.open)
        self.open(opened)

    @property
    def is_open(self) -> bool:
        """Whether its content is shown."""
        return self._button.isChecked()

    def open(self, opened: bool = True) -> None:
        """Unfold or fold it."""
        self._button.setChecked(opened)
        arrow = Qt.ArrowType.DownArrow if opened else Qt.ArrowType.RightArrow
        self._button.setArrowType(arrow)
        self._frame.setVisible(opened)
