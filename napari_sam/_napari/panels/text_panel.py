"""Words as prompts: type, Enter, move the threshold, accept."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from napari.layers import Image
from qtpy.QtCore import QEvent, Qt
from qtpy.QtGui import QKeyEvent
from qtpy.QtWidgets import QInputDialog, QPlainTextEdit, QSlider, QVBoxLayout

from napari_sam._napari.delivery import Throttle
from napari_sam._napari.panels.objects_panel import ObjectsPanel
from napari_sam._napari.panels.panel import Panel
from napari_sam._napari.panels.parts import button, label, row
from napari_sam._napari.placement import frame_shape, frame_transform
from napari_sam._napari.proposals_layer import ProposalsLayer
from napari_sam._napari.viewer_link import ViewerLink
from napari_sam.errors import NapariSamError
from napari_sam.session import Session
from napari_sam.session.findings import Proposals
from napari_sam.session.text_search import TextSearch

STEPS = 100
LIKE = "Use the objects selected in the table as examples"
SELECT = "select one or more rows of the table of objects first"


class TextPanel(Panel):
    """Finds objects by phrases or by examples.

    Parameters
    ----------
    session : Session
    link : ViewerLink
    proposals : Proposals
    layer : ProposalsLayer
    objects : ObjectsPanel
        Whose selection serves as examples.
    """

    def __init__(
        self,
        session: Session,
        link: ViewerLink,
        proposals: Proposals,
        layer: ProposalsLayer,
        objects: ObjectsPanel,
    ) -> None:
        super().__init__()
        self._session, self._link = session, link
        self._proposals, self._layer, self._objects = proposals, layer, objects
        self.search = TextSearch(session, proposals)
        self.phrases = QPlainTextEdit()
        self.threshold = QSlider(Qt.Orientation.Horizontal)
        self.count = label(tip="How many masks answer at this threshold")
        self.notes = label(tip="How the phrases were understood")
        self.legend = label(tip="Colour of each class; click a mask to drop or take it")
        self.run = button("Find", "Search for the phrases", self._find, "Enter")
        self.accept = button(
            "Accept all", "Make what is shown objects, in one step", self._accept
        )
        self.discard = button("Discard", "Show no proposals", proposals.clear)
        self.like = button("Find the rest like the selected", LIKE, self._find_like)
        self.concept = button(
            "Save as concept ...",
            "Keep the phrase, sharpened by what you took and dropped, under a name",
            self._save_concept,
        )
        self.similarity = button(
            "Similarity map",
            "Add how well each place answers the first phrase, as an image",
            self._add_map,
        )
        self._moved = Throttle(self._apply_threshold, parent=self)
        self._lay_out()
        self.phrases.installEventFilter(self)
        self.threshold.valueChanged.connect(self._moved)
        self._connections.add(proposals.changed, self._show)
        self._connections.add(objects.selection_changed, self._show_like)
        self._show()
        self._show_like()

    def close_panel(self) -> None:
        """Undo all connections."""
        self._moved.close()
        super().close_panel()

    def eventFilter(self, watched: Any, event: Any) -> bool:
        """Let Enter search; Shift and Enter begin a line."""
        if event.type() == QEvent.Type.KeyPress and isinstance(event, QKeyEvent):
            enter = event.key() in (Qt.Key.Key_Return, Qt.Key.Key_Enter)
            if enter and not event.modifiers() & Qt.KeyboardModifier.ShiftModifier:
                self._find()
                return True
        return super().eventFilter(watched, event)

    def _lay_out(self) -> None:
        self.phrases.setPlaceholderText("nuclei\n(one a line; 'not debris' excludes)")
        self.phrases.setToolTip(
            "One phrase a line, each its own class. a | b: synonyms. Enter searches, "
            "Shift+Enter begins a line."
        )
        self.phrases.setMaximumHeight(58)
        # Some themes leave the field without an edge.
        self.phrases.setStyleSheet("QPlainTextEdit { border: 1px solid gray; }")
        self.threshold.setRange(0, STEPS)
        self.threshold.setValue(round(self.search.threshold * STEPS))
        self.threshold.setToolTip("Least score of the masks that are shown")
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 2, 4, 4)
        layout.setSpacing(4)
        layout.addWidget(self.phrases)
        layout.addWidget(row(self.run, self.similarity))
        layout.addWidget(row(label("Threshold"), self.threshold))
        layout.addWidget(self.count)
        layout.addWidget(self.legend)
        layout.addWidget(self.notes)
        layout.addWidget(row(self.accept, self.discard))
        layout.addWidget(self.like)
        layout.addWidget(self.concept)

    def _show(self) -> None:
        taken, shown = len(self._proposals.taken), len(self._proposals.shown)
        dropped = f", {shown - taken} dropped" if shown > taken else ""
        ours = any(each.method == "text" for each in self._proposals.shown)
        at = f" at {self.search.threshold:.2f}" if ours else ""
        self.count.setText(f"{taken} proposed{at}{dropped}")
        colours = self._layer.colours()
        marks = [
            f'<span style="color:{colour}">&#9632;</span> {name}'
            for name, colour in colours.items()
        ]
        self.legend.setText("&nbsp; ".join(marks))
        self.legend.setVisible(bool(marks))
        self.notes.setText("\n".join(self.search.notes))
        self.notes.setVisible(bool(self.search.notes))
        for each in (self.accept, self.discard):
            each.setEnabled(shown > 0)
        self.similarity.setEnabled(bool(self.search.names))
        self.concept.setEnabled(taken > 0 and bool(self.search.names))

    def _show_like(self) -> None:
        there = bool(self._objects.selected_ids())
        self.like.setEnabled(there)
        self.like.setToolTip(LIKE if there else f"{LIKE}: {SELECT}")

    def _apply_threshold(self, value: int) -> None:
        self.search.set_threshold(value / STEPS)

    def _find(self) -> None:
        self._link.sync()
        self._told(lambda: self.search.run(self.phrases.toPlainText()))

    def _find_like(self) -> None:
        table = self._session.document.objects
        examples = [table[each] for each in self._objects.selected_ids()]
        self._told(lambda: self.search.find_like(examples))

    def _accept(self) -> None:
        words = ", ".join(self.search.names) or "proposals"
        self._told(lambda: self._proposals.accept(f"accept {words}"))

    def _save_concept(self) -> None:
        suggested = self.search.names[0]
        name, accepted = QInputDialog.getText(
            self, "Save as concept", "Name, to be typed like a phrase:", text=suggested
        )
        if accepted and name.strip():
            self._told(lambda: self.search.save_concept(name.strip()))

    def _add_map(self) -> None:
        image = self._link.image
        found = self.search.similarity_map(self.search.names[0])
        if found is None or image is None:
            return
        view, values = found
        drawn = values.T if view.plane.is_transposed else values
        data = np.asarray(drawn).reshape(frame_shape(view.plane, view.frame))
        place = frame_transform(image, view.plane, view.frame)
        name = f"{self.search.names[0]} similarity"
        self._link.add_under_tools(Image(data, name=name, colormap="viridis", **place))

    def _told(self, call: Callable[[], object]) -> None:
        try:
            call()
        except NapariSamError as error:
            self._session.events.failed.emit(error)
