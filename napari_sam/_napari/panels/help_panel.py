"""The keys and mouse buttons, in a table."""

from __future__ import annotations

from qtpy.QtWidgets import QVBoxLayout

from napari_sam._napari.keybindings import KEYS
from napari_sam._napari.panels.panel import Panel
from napari_sam._napari.panels.parts import label

MOUSE = (
    ("Left click", "Add a point to the object; on a committed object, refine it"),
    ("Right or Alt click", "Add a point that is not the object"),
    ("Drag", "Pan the image; in the other tools, draw"),
    ("Wheel", "Zoom"),
)
WHERE = (
    "Keys work while one of our layers is selected; undo and redo in this widget too."
)


class HelpPanel(Panel):
    """Lists what keys and mouse do."""

    def __init__(self) -> None:
        super().__init__()
        lines = [*MOUSE, *((key.replace("Control", "Ctrl"), t) for key, t, _ in KEYS)]
        cells = "".join(
            f"<tr><td><b>{key}</b>&nbsp;&nbsp;</td><td>{text}</td></tr>"
            for key, text in lines
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 2, 4, 4)
        layout.addWidget(label(f"<table>{cells}</table><p>{WHERE}</p>"))
