"""The masks that the model offers, and what to do with the chosen one."""

from __future__ import annotations

from qtpy.QtWidgets import (
    QFormLayout,
    QLineEdit,
    QPushButton,
    QVBoxLayout,
)

from napari_sam._napari.keybindings import key_for
from napari_sam._napari.panels.panel import Panel
from napari_sam._napari.panels.parts import button, combo, fill, label, row, toggle
from napari_sam.session import Session
from napari_sam.session.candidates import Candidates

MOST = 3
RULES = (
    ("keep what is there", "keep"),
    ("overwrite", "overwrite"),
    ("only where it is mostly free", "background"),
)


class CandidatesPanel(Panel):
    """Shows the candidates' confidences; commits, undoes and redoes.

    Parameters
    ----------
    session : Session
    """

    def __init__(self, session: Session) -> None:
        super().__init__()
        self._session = session
        self.choices = [self._choice(number) for number in range(MOST)]
        self.commit = button(
            "Commit", "Make the mask an object", session.commit_when_ready, "Enter"
        )
        self.undo = button("Undo", "Undo", session.undo, key_for("Undo"))
        self.redo = button("Redo", "Redo", session.redo, key_for("Redo"))
        self.class_name = QLineEdit(session.class_name)
        self.class_name.setToolTip("Class of the objects that are committed next")
        self.overlap = combo("What a commit does where other objects are")
        self.words = label()
        self._lay_out()
        self._connect()
        self._show(None)
        self._show_history()

    def _choice(self, number: int) -> QPushButton:
        made = toggle("-", "Choose this mask: its predicted IoU", "Tab")
        made.clicked.connect(lambda: self._choose(number))
        return made

    def _lay_out(self) -> None:
        fill(self.overlap, RULES, self._session.overlap)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 2, 4, 4)
        layout.setSpacing(4)
        self._scores = row(*self.choices)
        layout.addWidget(self._scores)
        layout.addWidget(self.words)
        form = QFormLayout()
        form.addRow("Class", self.class_name)
        form.addRow("Overlap", self.overlap)
        layout.addLayout(form)
        layout.addWidget(self.commit)
        layout.addWidget(row(self.undo, self.redo))

    def _connect(self) -> None:
        self.class_name.textChanged.connect(self._class_edited)
        self.overlap.activated.connect(self._rule_chosen)
        self._connections.add(self._session.events.mask, self._show)
        self._connections.add(self._session.events.prompts, self._show_draft)
        self._connections.add(self._session.events.history, self._show_history)

    def _choose(self, number: int) -> None:
        self._session.choose(number)
        self._show(self._session.candidates)

    def _class_edited(self, text: str) -> None:
        self._session.class_name = text.strip() or "object"

    def _rule_chosen(self) -> None:
        self._session.overlap = self.overlap.currentData()

    def _show(self, candidates: Candidates | None) -> None:
        found = None if candidates is None or candidates.hovering else candidates
        scores: list[float] = []
        if found is not None:
            scores = found.prediction.predicted_iou.tolist()
        for number, each in enumerate(self.choices):
            there = number < len(scores)
            each.setEnabled(there)
            each.setText(f"{scores[number]:.2f}" if there else "-")
            each.setChecked(bool(found is not None and number == found.chosen))
        self.commit.setEnabled(found is not None)
        self._show_draft()
        # Else the panel would be drawn once more, for its layout.
        for inner in (self._scores.layout(), self.layout()):
            if inner is not None:
                inner.activate()

    def _show_draft(self, _: object = None) -> None:
        draft = self._session.draft
        if draft.object_id is not None:
            self.words.setText(f"Refining object {draft.object_id}.")
        elif draft.is_empty:
            self.words.setText("Click on an object to get its masks.")
        else:
            self.words.setText("Predicted IoU of each; click to choose.")

    def _show_history(self) -> None:
        history = self._session.document.history
        for each, title, key in (
            (self.undo, history.undo_title, key_for("Undo")),
            (self.redo, history.redo_title, key_for("Redo")),
        ):
            each.setEnabled(title is not None)
            each.setToolTip(f"{each.text()}: {title or 'nothing'} [{key}]")
