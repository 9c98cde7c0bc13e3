"""Save and open sessions, and write the labels for other programs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from qtpy.QtWidgets import QFileDialog, QVBoxLayout

from napari_sam._napari.panels.panel import Panel
from napari_sam._napari.panels.parts import button, combo, fill, row
from napari_sam._napari.viewer_link import ViewerLink
from napari_sam.errors import ExportError, NapariSamError
from napari_sam.export import get_exporter, list_exporters
from napari_sam.session import Session
from napari_sam.session.measures import columns
from napari_sam.session.persistence import load_session, restore, save_session


class ExportPanel(Panel):
    """Writes what was segmented.

    Parameters
    ----------
    session : Session
    link : ViewerLink
    """

    def __init__(self, session: Session, link: ViewerLink) -> None:
        super().__init__()
        self._session, self._link = session, link
        self.formats = combo("Format of the labels")
        fill(self.formats, [(_in_words(name), name) for name in list_exporters()], None)
        self.formats.setCurrentIndex(0)
        self.export = button("Export ...", "Write the labels to a file", self._export)
        self.save = button(
            "Save session ...", "Prompts and objects, to go on later", self._save
        )
        self.open = button("Open session ...", "Go on with saved work", self._open)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 2, 4, 4)
        layout.setSpacing(4)
        layout.addWidget(self.formats)
        layout.addWidget(self.export)
        layout.addWidget(row(self.save, self.open))

    def write(self, path: Path) -> None:
        """Write the labels in the chosen format, telling what went wrong."""
        try:
            labels = self._session.document.store.data
            if not isinstance(labels, np.ndarray):
                raise ExportError(
                    "The labels are too large for a file: save a session."
                )
            table = columns(self._session.document.objects)
            get_exporter(self.formats.currentData()).write(path, labels, table)
        except NapariSamError as error:
            self._session.events.failed.emit(error)
        else:
            self._session.events.status.emit(f"Wrote {path.name}.")

    def save_to(self, path: Path) -> None:
        """Save the session, telling what went wrong."""
        image = self._link.image
        try:
            save_session(self._session, path, "" if image is None else image.name)
        except NapariSamError as error:
            self._session.events.failed.emit(error)
        else:
            self._session.events.status.emit(f"Saved {path.name}.")

    def open_from(self, path: Path) -> None:
        """Add what a session file holds, telling what went wrong."""
        try:
            restore(load_session(path), self._session)
        except NapariSamError as error:
            self._session.events.failed.emit(error)

    def _export(self) -> None:
        extension = get_exporter(self.formats.currentData()).extensions[0]
        path, _ = QFileDialog.getSaveFileName(
            self, "Export labels", f"labels{extension}"
        )
        if path:
            self.write(Path(path))

    def _save(self) -> None:
        path, _ = QFileDialog.getSaveFileName(
            self, "Save session", "session.json", "Sessions (*.json)"
        )
        if path:
            self.save_to(Path(path).with_suffix(".json"))

    def _open(self) -> None:
        path, _ = QFileDialog.getOpenFileName(
            self, "Open session", "", "Sessions (*.json)"
        )
        if path:
            self.open_from(Path(path))


def _in_words(name: str) -> str:
    """Return a format for a list: those of other packages go by their own names."""
    known = {
        "coco": "COCO annotations",
        "sa1b": "SA-1B annotations",
        "labels-tiff": "Label TIFF",
    }
    return f"{known.get(name, name)} (*{get_exporter(name).extensions[0]})"
