"""The files of the models: import, check, delete."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from qtpy.QtWidgets import QFileDialog, QInputDialog, QVBoxLayout, QWidget

from napari_sam._napari.panels.parts import button, row
from napari_sam.errors import NapariSamError
from napari_sam.nn.registry import list_models
from napari_sam.session import Session
from napari_sam.session.model_files import delete_model, import_model, verify_model

BY_LAYERS = "recognise it by its layers"
FILES = "Checkpoints (*.safetensors *.pth *.pt)"


class ModelFiles(QWidget):
    """Buttons for the file of the chosen model.

    Parameters
    ----------
    session : Session
    chosen : callable
        Returns the name of the model in the drop-down.
    """

    def __init__(self, session: Session, chosen: Callable[[], str]) -> None:
        super().__init__()
        self._session, self._chosen = session, chosen
        self.add = button(
            "Import ...", "Add a checkpoint file that you have, and load it", self._add
        )
        self.check = button(
            "Verify",
            "Check the chosen model's file against its published hash",
            lambda: self._told(lambda: verify_model(session, chosen())),
        )
        self.delete = button(
            "Delete",
            "Remove the chosen model's file; a published one can be fetched again",
            lambda: self._told(lambda: delete_model(session, chosen())),
        )
        layout = QVBoxLayout(self)
        layout.setContentsMargins(8, 0, 0, 0)
        layout.addWidget(row(self.add, self.check, self.delete))

    def add_file(self, path: Path, name: str, like: str) -> None:
        """Import a file under a name, like another model or by its layers."""
        known = None if like == BY_LAYERS else like
        self._told(lambda: import_model(self._session, path, name or None, known))

    def _add(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Import a model", "", FILES)
        if not path:
            return
        name, accepted = QInputDialog.getText(
            self,
            "Import a model",
            "Name (a published file keeps its own):",
            text=Path(path).stem,
        )
        if not accepted:
            return
        like, accepted = QInputDialog.getItem(
            self, "Import a model", "Like:", [BY_LAYERS, *list_models()], 0, False
        )
        if accepted:
            self.add_file(Path(path), name.strip(), like)

    def _told(self, call: Callable[[], None]) -> None:
        try:
            call()
        except NapariSamError as error:
            self._session.events.failed.emit(error)
