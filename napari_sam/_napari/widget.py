"""The dock widget: one session, one link to the viewer, and the panels between them."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from qtpy import QtGui
from qtpy.QtCore import Qt
from qtpy.QtWidgets import (
    QApplication,
    QFrame,
    QScrollArea,
    QVBoxLayout,
    QWidget,
)

from napari_sam._napari.connections import Connections
from napari_sam._napari.delivery import MainThreadDelivery
from napari_sam._napari.models import DEFAULT_MODEL, model_state
from napari_sam._napari.panels.candidates_panel import CandidatesPanel
from napari_sam._napari.panels.everything_panel import EverythingPanel
from napari_sam._napari.panels.export_panel import ExportPanel
from napari_sam._napari.panels.help_panel import HelpPanel
from napari_sam._napari.panels.image_panel import ImagePanel
from napari_sam._napari.panels.objects_panel import ObjectsPanel
from napari_sam._napari.panels.parts import label, red_on
from napari_sam._napari.panels.prompts_panel import PromptsPanel
from napari_sam._napari.panels.section import Section
from napari_sam._napari.panels.status_panel import StatusPanel
from napari_sam._napari.panels.still import Still
from napari_sam._napari.panels.text_panel import TextPanel
from napari_sam._napari.panels.volume_panel import VolumePanel
from napari_sam._napari.panels.wheel_guard import WheelGuard
from napari_sam._napari.preferences import Preferences, read_preferences
from napari_sam._napari.proposals_layer import ProposalsLayer
from napari_sam._napari.software_gl import keep_triton_out
from napari_sam._napari.tab_key import TabKey
from napari_sam._napari.viewer_link import ViewerLink
from napari_sam.conflict import rival_warning
from napari_sam.session import ModelChoice, Session, ThreadRunner
from napari_sam.session.findings import Proposals
from napari_sam.session.libraries import map_libraries, reading_libraries
from napari_sam.session.propagation import Propagation

if TYPE_CHECKING:
    import napari

NARROW = 320
VOLUME = "Volume / time"


class SamWidget(QWidget):
    """Segment by clicks, boxes, layers and words.

    Parameters
    ----------
    napari_viewer : napari.viewer.Viewer
    """

    def __init__(self, napari_viewer: napari.viewer.Viewer) -> None:
        super().__init__()
        keep_triton_out()
        map_libraries()
        with reading_libraries():
            wanted = self._build(napari_viewer)
        self._load(wanted)

    def _build(self, napari_viewer: napari.viewer.Viewer) -> Preferences:
        """Make what is seen, and return what the user prefers."""
        self._delivery = MainThreadDelivery(self)
        self.session = Session(runner=ThreadRunner(self._delivery), reads_ahead=True)
        wanted = read_preferences()
        self.link = ViewerLink(napari_viewer, self.session, wanted.colours)
        self.link.pointing.hover = wanted.hover
        self.link.pointing.wait = self._delivery.wait
        self.proposals = Proposals(self.session)
        self.link.proposals = self.proposals
        self._proposals_layer = ProposalsLayer(self.proposals, self.link)
        self.propagation = Propagation(self.session)
        self.link.propagation = self.propagation
        self.panels = self._make_panels()
        self.sections = {
            title: Section(title, panel, opened=opened)
            for title, (panel, opened) in self.panels.items()
        }
        self.status = StatusPanel(self.session, self.link)
        self._connections = Connections()
        self._closer = Closer(
            [
                self._delivery.close,
                *self._panel_closers(),
                self._proposals_layer.close,
                self._connections.close,
                self.propagation.close,
                self.link.close,
            ],
            self.session,
        )
        self._tab_key = TabKey(
            lambda: self.link.is_active, self.session.next_candidate, self
        )
        self._lay_out()
        self._follow_image()
        self._add_shortcuts()
        self.destroyed.connect(self._closer)
        application = QApplication.instance()
        if application is not None:
            application.aboutToQuit.connect(self._closer)
        return wanted

    def close_session(self) -> None:
        """Stop what runs and let go of the viewer; done once."""
        self._closer()

    def closeEvent(self, event: Any) -> None:
        """Close the session with the widget."""
        self.close_session()
        super().closeEvent(event)

    def showEvent(self, event: Any) -> None:
        """Find the canvas: now the widget is in the viewer's window."""
        super().showEvent(event)
        window = self.window()
        if window is not None:
            self._tab_key.install(window)

    def _make_panels(self) -> dict[str, tuple[Any, bool]]:
        session, link, proposals = self.session, self.link, self.proposals
        layer, objects = self._proposals_layer, ObjectsPanel(session, link)
        text = TextPanel(session, link, proposals, layer, objects)
        return {
            "Image and model": (ImagePanel(session, link), True),
            "Prompts": (PromptsPanel(session, link), True),
            "Masks": (CandidatesPanel(session), True),
            "Text": (text, True),
            "Everything": (EverythingPanel(session, link, proposals), False),
            "Objects": (objects, True),
            VOLUME: (VolumePanel(session, link, self.propagation), True),
            "Save": (ExportPanel(session, link), False),
            "Keys": (HelpPanel(), False),
        }

    def _panel_closers(self) -> list[Callable[[], None]]:
        panels = [*(panel for panel, _ in self.panels.values()), self.status]
        return [panel.close_panel for panel in panels]

    def _lay_out(self) -> None:
        inside = QWidget()
        column = QVBoxLayout(inside)
        column.setContentsMargins(2, 2, 2, 2)
        column.setSpacing(2)
        warning = rival_warning()
        if warning is not None:
            text = label(warning)
            text.setStyleSheet(red_on(self))
            column.addWidget(text)
        for section in self.sections.values():
            column.addWidget(section)
        column.addStretch(1)
        self._wheel_guard = WheelGuard(inside)
        scroll = QScrollArea()
        scroll.setWidgetResizable(True)
        scroll.setFrameShape(QFrame.Shape.NoFrame)
        scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        scroll.setWidget(inside)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(0, 0, 0, 0)
        layout.addWidget(scroll, 1)
        layout.addWidget(Still(self.status))
        self.setMinimumWidth(NARROW)

    def _follow_image(self) -> None:
        """Show the section for stacks only where there is one."""
        for emitter in (self.link.images_changed, self.session.events.view):
            self._connections.add(emitter, self._show_volume)
        self._show_volume()

    def _show_volume(self, _: Any = None) -> None:
        self.sections[VOLUME].setVisible(self.panels[VOLUME][0].is_wanted)

    def _add_shortcuts(self) -> None:
        """Make undo and redo work while the widget itself has the focus."""
        for keys, call in (("Ctrl+Z", "undo"), ("Ctrl+Shift+Z", "redo")):
            sequence = QtGui.QKeySequence(keys)
            shortcut = QtGui.QShortcut(sequence, self)  # type: ignore[attr-defined]
            shortcut.setContext(Qt.ShortcutContext.WidgetWithChildrenShortcut)
            shortcut.activated.connect(getattr(self.session, call))

    def _load(self, wanted: Preferences) -> None:
        """Load the preferred model."""
        self.session.overlap = wanted.overlap
        worker = self.session.engine.worker
        worker.cache_bytes, worker.spare_cores = wanted.cache_bytes, 1
        state = model_state(wanted.model)
        name = wanted.model if state.is_here else DEFAULT_MODEL
        self.session.load_model(ModelChoice(name, wanted.device, wanted.dtype))


class Closer:
    """Closes a session once; it outlives the Qt widget, which may be gone by then.

    Parameters
    ----------
    calls : list of callable
        Made first, in order.
    session : Session
    """

    def __init__(self, calls: list[Callable[[], None]], session: Session) -> None:
        self._calls = calls
        self._session = session

    def __call__(self, *_: Any) -> None:
        """Close everything that is still open."""
        calls, self._calls = self._calls, []
        if not calls:
            return
        for call in calls:
            # Qt may have deleted the object that the call is about.
            with contextlib.suppress(RuntimeError):
                call()
        self._session.close()
