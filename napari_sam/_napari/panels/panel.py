"""What every panel has: connections that are undone when it is closed."""

from __future__ import annotations

from qtpy.QtWidgets import QWidget

from napari_sam._napari.connections import Connections


class Panel(QWidget):
    """A section of the widget."""

    def __init__(self) -> None:
        super().__init__()
        self._connections = Connections()

    def close_panel(self) -> None:
        """Undo all connections."""
        self._connections.close()
