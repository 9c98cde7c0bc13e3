"""One click fills a stack: objects followed along z or t, and looked through."""

from __future__ import annotations

from collections.abc import Callable

from qtpy.QtWidgets import QFormLayout, QLineEdit, QSpinBox, QVBoxLayout

from napari_sam._napari.delivery import Throttle
from napari_sam._napari.keybindings import key_for
from napari_sam._napari.panels.panel import Panel
from napari_sam._napari.panels.parts import button, combo, fill, label, row, silent
from napari_sam._napari.panels.section import Section
from napari_sam._napari.panels.stop_rules import StopRules
from napari_sam._napari.panels.strip import ConfidenceStrip
from napari_sam._napari.tracks_layer import TracksLayer
from napari_sam._napari.viewer_link import ViewerLink
from napari_sam.errors import NapariSamError
from napari_sam.session import Session
from napari_sam.session.propagation import Propagation
from napari_sam.session.stack_search import StackSearch

DIRECTIONS = (
    ("both ways", "both"),
    ("to later slices", "forward"),
    ("to earlier slices", "backward"),
)
NO_PLANE = "In 3D: go back to 2D to click and to propagate."


class VolumePanel(Panel):
    """Propagates objects and shows how sure each slice is.

    Parameters
    ----------
    session : Session
    link : ViewerLink
    propagation : Propagation
    """

    def __init__(
        self, session: Session, link: ViewerLink, propagation: Propagation
    ) -> None:
        super().__init__()
        self._session, self._link, self._propagation = session, link, propagation
        self._search = StackSearch(session, propagation)
        self._tracks = TracksLayer(self._search, link)
        self.axis = combo("The axis that objects are followed along")
        self.direction = combo("Which way from the slice with the prompts")
        self.first, self.last = QSpinBox(), QSpinBox()
        self.objects = combo("The object that is followed and shown below")
        self.propagate = button(
            "Propagate",
            "Follow the mask in hand, or this object, through the stack",
            self._told(propagation.propagate),
            key_for("Propagate through the stack"),
        )
        self.all = button(
            "Propagate all",
            "Follow all objects of the stack in one pass",
            self._told(propagation.propagate_all),
        )
        self.named = QLineEdit()
        self.search = button(
            "Find in all slices",
            "Find everything, or these words; in a movie, also who divided",
            self._told(lambda: self._search.find(self.named.text())),
        )
        self.strip = ConfidenceStrip()
        self.words = label()
        self.worst = button(
            "Worst slice",
            "Go to the slice that is least sure, then to the next",
            link.go_to_worst,
            key_for("Go to the worst slice"),
        )
        self.rerun = button(
            "Rerun here",
            "Take this slice as right and redo the others, up to the next that are",
            self._told(propagation.rerun_here),
            key_for("Rerun from this slice"),
        )
        self.view_3d = button(
            "3D view", "Show the stack in 3D, or in 2D again", self._show_3d
        )
        self._rules = StopRules(propagation)
        self.rules = Section("Stop rules", self._rules, opened=False)
        self._update = Throttle(self._show, parent=self)
        self._list_soon = Throttle(self._list_objects, parent=self, rest=4)
        self._lay_out()
        self._connect()
        self._list_objects()
        self._show()

    def close_panel(self) -> None:
        """Undo all connections."""
        self._update.close()
        self._list_soon.close()
        self._tracks.close()
        super().close_panel()

    @property
    def is_wanted(self) -> bool:
        """Whether the image has a z or t."""
        return self._link.image is not None and bool(self._propagation.axes)

    def _lay_out(self) -> None:
        fill(self.direction, DIRECTIONS, self._propagation.direction)
        self.first.setToolTip("First slice to go to")
        self.last.setToolTip("Last slice to go to")
        form = QFormLayout()
        form.setVerticalSpacing(3)
        form.addRow("Along", row(self.axis, self.direction))
        form.addRow("Slices", row(self.first, label("to"), self.last))
        form.addRow("Object", self.objects)
        self.named.setPlaceholderText("everything, or: nuclei")
        self.named.setToolTip("What to find in all slices; several words divided by ;")
        named = QFormLayout()
        named.addRow("Words", self.named)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 2, 4, 4)
        layout.setSpacing(4)
        layout.addLayout(form)
        layout.addWidget(row(self.propagate, self.all))
        layout.addLayout(named)
        layout.addWidget(row(self.search))
        layout.addWidget(self.strip)
        layout.addWidget(self.words)
        layout.addWidget(row(self.worst, self.rerun, self.view_3d))
        layout.addWidget(self.rules)

    def _connect(self) -> None:
        propagation = self._propagation
        self.axis.activated.connect(self._axis_chosen)
        self.direction.activated.connect(self._direction_chosen)
        self.first.valueChanged.connect(self._range_chosen)
        self.last.valueChanged.connect(self._range_chosen)
        self.objects.activated.connect(self._object_chosen)
        self.strip.picked.connect(self._slice_picked)
        events = self._session.events
        for emitter, call in (
            (propagation.changed, self._update),
            (events.objects, self._list_soon),
            (events.view, self._list_soon),
            (events.mask, self._update),
            (events.busy, self._update),
            (self._link.object_visited, self._object_visited),
        ):
            self._connections.add(emitter, call)

    def _axis_chosen(self) -> None:
        self._propagation.axis = self.axis.currentData()
        self._list_objects()

    def _direction_chosen(self) -> None:
        self._propagation.direction = self.direction.currentData()

    def _range_chosen(self) -> None:
        stack = self._propagation.stack
        if stack is None:
            return
        low, high = sorted((self.first.value(), self.last.value()))
        whole = (low, high) == (0, stack.length - 1)
        self._propagation.limits = None if whole else (low, high + 1)

    def _object_chosen(self) -> None:
        self._propagation.object_id = self.objects.currentData()

    def _object_visited(self, object_id: int) -> None:
        self._propagation.object_id = object_id

    def _slice_picked(self, index: int) -> None:
        stack = self._propagation.stack
        if stack is not None:
            self._link.go_to_slice(stack, index)

    def _show_3d(self) -> None:
        self._link.toggle_3d(self._propagation.axis)

    def _list_objects(self, _: object = None) -> None:
        """Fill the drop-downs anew."""
        propagation = self._propagation
        axes = [(propagation.axis_label(each), each) for each in propagation.axes]
        fill(self.axis, axes, propagation.axis)
        found = propagation.objects()
        names = [(f"{each.id}  {each.class_name}", each.id) for each in found]
        fill(self.objects, names, propagation.object_id)
        self._show_range()
        self._show()

    def _show_range(self) -> None:
        stack = self._propagation.stack
        length = 1 if stack is None else stack.length
        low, high = self._propagation.limits or (0, length)
        for box, value in ((self.first, low), (self.last, high - 1)):
            with silent(box):
                box.setRange(0, length - 1)
                box.setValue(value)

    def _show(self, _: object = None) -> None:
        """Draw the strip, and say what can be done."""
        propagation, session = self._propagation, self._session
        number, stack = propagation.object_id, propagation.stack
        sure = {} if number is None else propagation.confidences(number)
        length = 1 if stack is None else stack.length
        self.strip.show_slices(length, propagation.index, sure)
        place = self.objects.findData(number)
        self.objects.setCurrentIndex(place)
        in_plane = session.view is not None
        free = in_plane and not propagation.is_running
        has_mask = session.candidates is not None
        self.propagate.setEnabled(free and (has_mask or bool(sure)))
        self.search.setEnabled(free and not session.is_busy)
        self.all.setEnabled(free and (has_mask or self.objects.count() > 0))
        self.rerun.setEnabled(free and (has_mask or propagation.index in sure))
        self.worst.setEnabled(any(each is not None for each in sure.values()))
        self._rules.show_rules()
        self.view_3d.setText("2D view" if self._link.is_3d else "3D view")
        self.words.setText(self._text(sure) if in_plane else NO_PLANE)

    def _text(self, sure: dict[int, float | None]) -> str:
        propagation = self._propagation
        if propagation.is_running:
            return f"{len(sure)} slices so far; Cancel keeps them, Undo drops them."
        if not sure:
            return "Click on an object, then propagate its mask."
        first, last = min(sure), max(sure)
        here = self.strip.words(propagation.index)
        return f"In slices {first} to {last}. {here}."

    def _told(self, call: Callable[[], None]) -> Callable[[], None]:
        def made() -> None:
            self._link.sync()
            try:
                call()
            except NapariSamError as error:
                self._session.events.failed.emit(error)

        return made
