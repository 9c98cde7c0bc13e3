"""Everything in the view, by a grid of points."""

from __future__ import annotations

from qtpy.QtWidgets import QDoubleSpinBox, QFormLayout, QSpinBox, QVBoxLayout, QWidget

from napari_sam._napari.connections import Connections
from napari_sam._napari.panels.parts import button, row
from napari_sam._napari.viewer_link import ViewerLink
from napari_sam.errors import NapariSamError
from napari_sam.session import Session
from napari_sam.session.findings import Proposals, find_everything


class EverythingPanel(QWidget):
    """Proposes masks of everything, to be accepted.

    Parameters
    ----------
    session : Session
    link : ViewerLink
    proposals : Proposals
    """

    def __init__(
        self, session: Session, link: ViewerLink, proposals: Proposals
    ) -> None:
        super().__init__()
        self._session, self._link, self._proposals = session, link, proposals
        self.points = QSpinBox()
        self.points.setRange(2, 128)
        self.points.setValue(16)
        self.points.setToolTip("Points along one side; more find smaller objects")
        self.iou = _share(0.6, "A mask needs at least this predicted IoU")
        self.stability = _share(0.8, "And at least this stability")
        self.run = button("Find everything", "Propose masks", self._find)
        self.accept = button("Accept all", "Make what is shown objects", self._accept)
        form = QFormLayout()
        form.addRow("Points a side", self.points)
        form.addRow("Least IoU", self.iou)
        form.addRow("Least stability", self.stability)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 2, 4, 4)
        layout.addLayout(form)
        layout.addWidget(row(self.run, self.accept))
        self._connections = Connections()
        self._connections.add(proposals.changed, self._show)
        self._show()

    def close_panel(self) -> None:
        """Undo all connections."""
        self._connections.close()

    def _show(self) -> None:
        self.accept.setEnabled(bool(self._proposals.taken))

    def _find(self) -> None:
        self._link.sync()
        try:
            find_everything(
                self._session,
                self._proposals,
                points_per_side=self.points.value(),
                pred_iou_thresh=self.iou.value(),
                stability_score_thresh=self.stability.value(),
            )
        except NapariSamError as error:
            self._session.events.failed.emit(error)

    def _accept(self) -> None:
        try:
            self._proposals.accept("accept everything")
        except NapariSamError as error:
            self._session.events.failed.emit(error)


def _share(value: float, tip: str) -> QDoubleSpinBox:
    box = QDoubleSpinBox()
    box.setRange(0.0, 1.0)
    box.setSingleStep(0.05)
    box.setValue(value)
    box.setToolTip(tip)
    return box
