"""One line on what is going on, with progress and Cancel."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from qtpy.QtCore import QTimer
from qtpy.QtWidgets import QProgressBar, QSizePolicy, QVBoxLayout

from napari_sam._napari.delivery import Debounce, Throttle
from napari_sam._napari.panels.panel import Panel
from napari_sam._napari.panels.parts import button, label, red_on, row
from napari_sam._napari.viewer_link import ViewerLink
from napari_sam.errors import NapariSamError
from napari_sam.session import Session
from napari_sam.session.engine import sentence
from napari_sam.session.journal import find_journal, read_journal
from napari_sam.session.persistence import restore

# An address or a hash may be broken at so many letters, else its end is cut off.
LONG_WORD = re.compile(r"(\S{24})(?=\S)")
UNDER_WAY, READY = "...", "Ready."
# Work that is done sooner isn't told of: each change draws the whole window.
PATIENCE_MS = 300
# How often the bar moves while nobody knows how long it takes, and in how many steps.
PACE_MS, STEPS = 500, 6


class StatusPanel(Panel):
    """Shows what the session does and what went wrong.

    Parameters
    ----------
    session : Session
    link : ViewerLink
    """

    def __init__(self, session: Session, link: ViewerLink) -> None:
        super().__init__()
        self._session, self._link = session, link
        self.text = label(READY if session.model_is_ready else "Loading ...")
        self.progress = QProgressBar()
        self.progress.setTextVisible(False)
        self.progress.setMaximumHeight(8)
        self.cancel = button("Cancel", "Stop what is running", session.cancel)
        preferred = QSizePolicy.Policy.Preferred
        self.cancel.setSizePolicy(preferred, QSizePolicy.Policy.Fixed)
        self.restore = button(
            "Restore", "Bring back the objects of the last time", self._restore
        )
        self._found: Path | None = None
        self._tell = Throttle(self._say, parent=self)
        self._tell_later = Debounce(self._say, PATIENCE_MS, parent=self)
        self._step = Throttle(self._show_progress, parent=self)
        self._work_later = Debounce(self._show_work, PATIENCE_MS, parent=self)
        self._pace = QTimer(self)
        self._pace.setInterval(PACE_MS)
        self._pace.timeout.connect(self._move_on)
        self._lay_out()
        self._connect()

    def close_panel(self) -> None:
        """Undo all connections."""
        for each in (self._tell, self._tell_later, self._step, self._work_later):
            each.close()
        self._pace.stop()
        super().close_panel()

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 2, 4, 4)
        layout.setSpacing(2)
        layout.addWidget(self.text)
        layout.addWidget(self.restore)
        layout.addWidget(row(self.progress, self.cancel))
        self._show_work(self._session.is_busy)
        self._look_for_journal()

    def _connect(self) -> None:
        events = self._session.events
        pairs: tuple[tuple[object, Callable[..., None]], ...] = (
            (events.status, self._tell_text),
            (events.failed, self._tell_error),
            (events.busy, self._show_busy),
            (events.progress, self._count),
            (events.objects, self._look_for_journal),
            (events.history, self._forget_error),
            (self._link.images_changed, self._look_for_journal),
        )
        for emitter, callback in pairs:
            self._connections.add(emitter, callback)

    def _tell_text(self, text: str) -> None:
        if text.endswith(UNDER_WAY):
            self._tell_later((text, False))
        else:
            self._tell((text, False))

    def _tell_error(self, error: Exception) -> None:
        self._tell((sentence(error), True))

    def _forget_error(self) -> None:
        """Take an error away once the user did something else."""
        if self.text.styleSheet():
            self._tell((READY, False))

    def _say(self, message: tuple[str, bool]) -> None:
        text, is_error = message
        shown = LONG_WORD.sub("\\1\u200b", text)
        if shown != self.text.text():
            self.text.setText(shown)
        style = red_on(self) if is_error else ""
        if style != self.text.styleSheet():
            self.text.setStyleSheet(style)

    def _show_busy(self, busy: bool) -> None:
        """Tell of work that lasts; of its end at once."""
        if busy:
            self._work_later(True)
            return
        self._work_later.close()
        self._tell_later.close()
        self._show_work(False)
        if self.text.text().endswith(UNDER_WAY):
            self._tell((READY, False))

    def _show_work(self, busy: bool) -> None:
        self.cancel.setEnabled(busy)
        if busy:
            self._pace.start()
        else:
            self._pace.stop()
            self._step((0, 1))

    def _count(self, done: int, total: int) -> None:
        if total:
            self._pace.stop()
            self._step((done, total))

    def _show_progress(self, step: tuple[int, int]) -> None:
        done, total = step
        scale = max(1, total // 10_000)
        self.progress.setRange(0, total // scale)
        self.progress.setValue(done // scale)

    def _move_on(self) -> None:
        """Move the bar while it isn't known how long it takes.

        Qt's own moving bar draws the window, with its canvas, many times a second.
        """
        self.progress.setRange(0, STEPS)
        self.progress.setValue(self.progress.value() % STEPS + 1)

    def _look_for_journal(self) -> None:
        """Offer to bring back objects of a session that was not closed."""
        image, objects = self._link.image, self._session.document.objects
        self._found = None
        if image is not None and not len(objects):
            shape = tuple(self._session.document.store.data.shape)
            self._found = find_journal(image.name, shape)
        self.restore.setVisible(self._found is not None)
        if self._found is not None:
            saved = read_journal(self._found)
            count = 0 if saved is None else len(saved.edits)
            edits = f"{count} edit{'s' * (count != 1)}"
            self.restore.setText(f"Restore {edits} from last time")

    def _restore(self) -> None:
        saved = None if self._found is None else read_journal(self._found)
        if saved is None:
            return
        try:
            restore(saved, self._session)
        except NapariSamError as error:
            self._session.events.failed.emit(error)
