"""Everything in the view, without a prompt."""

from __future__ import annotations

from qtpy.QtWidgets import (
    QCheckBox,
    QDoubleSpinBox,
    QFormLayout,
    QSpinBox,
    QVBoxLayout,
)

from napari_sam._napari.panels.panel import Panel
from napari_sam._napari.panels.parts import button, combo, fill, row
from napari_sam._napari.viewer_link import ViewerLink
from napari_sam.errors import NapariSamError
from napari_sam.session import Session
from napari_sam.session.findings import Proposals, find_everything


class EverythingPanel(Panel):
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
        self.method = combo("dense asks the model where objects are, grid everywhere")
        fill(self.method, [(each, each) for each in ("dense", "grid")], "dense")
        self.smallest = _count(15, "Objects of fewer pixels are left out")
        self.border = QCheckBox("objects at the border too")
        self.border.setChecked(True)
        self.border.setToolTip("Keep objects that touch the border of the view")
        self.points = _count(16, "More find smaller objects")
        self.iou = _share(0.6, "Masks that the model rates lower are left out")
        self.stability = _share(
            0.8, "Masks that change more with the threshold are left out"
        )
        self.run = button("Find everything", "Propose masks", self._find)
        self.accept = button("Accept all", "Make what is shown objects", self._accept)
        self._form = form = QFormLayout()
        form.addRow("Method", self.method)
        form.addRow("Least area", self.smallest)
        form.addRow("", self.border)
        form.addRow("Points a side", self.points)
        form.addRow("Least IoU", self.iou)
        form.addRow("Least stability", self.stability)
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 2, 4, 4)
        layout.addLayout(form)
        layout.addWidget(row(self.run, self.accept))
        self._connections.add(proposals.changed, self._show)
        self.method.currentIndexChanged.connect(self._choose)
        self._choose()
        self._show()

    def _choose(self) -> None:
        """Show what matters for the method."""
        for each in (self.points, self.iou, self.stability):
            self._form.setRowVisible(each, self.method.currentData() == "grid")

    def _show(self) -> None:
        self.accept.setEnabled(bool(self._proposals.taken))

    def _find(self) -> None:
        self._link.sync()
        try:
            find_everything(
                self._session,
                self._proposals,
                self.method.currentData(),
                grid={
                    "points_per_side": self.points.value(),
                    "pred_iou_thresh": self.iou.value(),
                    "stability_score_thresh": self.stability.value(),
                },
                settings={
                    "min_size": self.smallest.value(),
                    "keep_border": self.border.isChecked(),
                },
            )
        except NapariSamError as error:
            self._session.events.failed.emit(error)

    def _accept(self) -> None:
        try:
            self._proposals.accept("accept everything")
        except NapariSamError as error:
            self._session.events.failed.emit(error)


def _count(value: int, tip: str) -> QSpinBox:
    box = QSpinBox()
    box.setRange(2, 100_000)
    box.setValue(value)
    box.setToolTip(tip)
    return box


def _share(value: float, tip: str) -> QDoubleSpinBox:
    box = QDoubleSpinBox()
    box.setRange(0.0, 1.0)
    box.setSingleStep(0.05)
    box.setValue(value)
    box.setToolTip(tip)
    return box
