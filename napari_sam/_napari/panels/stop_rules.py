"""When an object that is followed through a stack has ended."""

from __future__ import annotations

from dataclasses import replace

from qtpy.QtWidgets import QDoubleSpinBox, QFormLayout, QSpinBox, QWidget

from napari_sam._napari.panels.parts import button, silent
from napari_sam.session.propagation import Propagation

# Setting, what it is called, what it means, least and largest value, step.
SHARES = (
    (
        "min_predicted_iou",
        "Least IoU",
        "An object has ended where the model rates its mask lower",
        (0.0, 1.0, 0.05),
    ),
    (
        "min_overlap",
        "Least overlap",
        "It has ended where its mask's IoU with the last one is lower",
        (0.0, 1.0, 0.05),
    ),
    (
        "max_area_ratio",
        "Largest change",
        "It has ended where its area grows or shrinks by more than so many times",
        (1.0, 20.0, 0.5),
    ),
    (
        "min_contrast",
        "Least contrast",
        "It has ended where it stands out by less than this share of its best slice",
        (0.0, 1.0, 0.05),
    ),
)


class StopRules(QWidget):
    """The settings of a propagation that say when to stop.

    Parameters
    ----------
    propagation : Propagation
    """

    def __init__(self, propagation: Propagation) -> None:
        super().__init__()
        self._propagation = propagation
        self.shares = {name: _box(tip, span) for name, _, tip, span in SHARES}
        self.patience = QSpinBox()
        self.patience.setRange(0, 10)
        self.patience.setToolTip(
            "So many slices in a row may be missed before an object has ended; they "
            "are filled in if it comes back"
        )
        form = QFormLayout(self)
        form.setContentsMargins(8, 0, 0, 0)
        form.setVerticalSpacing(3)
        for name, title, _, _ in SHARES:
            form.addRow(title, self.shares[name])
        form.addRow("Missed slices", self.patience)
        form.addRow(button("Defaults", "Take the rules that measure best", self._reset))
        self.show_rules()
        self.patience.valueChanged.connect(self._take)
        for each in self.shares.values():
            each.valueChanged.connect(self._take)

    def _take(self) -> None:
        shares = {name: box.value() for name, box in self.shares.items()}
        self._propagation.settings = replace(
            self._propagation.settings,
            min_predicted_iou=shares["min_predicted_iou"],
            min_overlap=shares["min_overlap"],
            max_area_ratio=shares["max_area_ratio"],
            min_contrast=shares["min_contrast"],
            patience=self.patience.value(),
        )

    def _reset(self) -> None:
        self._propagation.settings = self._propagation.usual_settings
        self.show_rules()

    def show_rules(self) -> None:
        """Show the rules of the axis that is followed: time has its own."""
        settings = self._propagation.settings
        for name, box in self.shares.items():
            with silent(box):
                box.setValue(getattr(settings, name))
        with silent(self.patience):
            self.patience.setValue(settings.patience)


def _box(tip: str, span: tuple[float, float, float]) -> QDoubleSpinBox:
    made = QDoubleSpinBox()
    made.setRange(*span[:2])
    made.setSingleStep(span[2])
    made.setToolTip(tip)
    return made
