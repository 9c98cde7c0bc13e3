"""Tools for prompts, their sign, and other layers as prompts."""

from __future__ import annotations

from qtpy.QtWidgets import QButtonGroup, QVBoxLayout

from napari_sam._napari.gestures import TOOLS, Tool
from napari_sam._napari.keybindings import key_for
from napari_sam._napari.layer_prompts import can_prompt, prompts_of, refining_of
from napari_sam._napari.panels.panel import Panel
from napari_sam._napari.panels.parts import button, combo, fill, label, row, toggle
from napari_sam._napari.viewer_link import ViewerLink
from napari_sam.errors import NapariSamError, PromptError
from napari_sam.session import Session
from napari_sam.session.batch import segment_many

TIPS: dict[Tool, tuple[str, str]] = {
    "point": ("Click on an object; drag moves the image", "P"),
    "box": ("Drag a box around an object", "B"),
    "scribble": ("Drag along an object", ""),
    "lasso": ("Drag around an object, roughly", ""),
}


class PromptsPanel(Panel):
    """Chooses what clicks and drags mean.

    Parameters
    ----------
    session : Session
    link : ViewerLink
    """

    def __init__(self, session: Session, link: ViewerLink) -> None:
        super().__init__()
        self._session, self._link = session, link
        self.tools = {name: toggle(name.capitalize(), *TIPS[name]) for name in TOOLS}
        self.positive = toggle("+ object", "Left clicks mark the object")
        self.negative = toggle(
            "- not object", "Left clicks mark what is not the object", "X"
        )
        self.hover = toggle(
            "Hover preview", "Show the mask under the pointer, before a click", "H"
        )
        self.clear = button(
            "Clear",
            "Remove the prompts",
            session.clear_prompts,
            key_for("Clear the prompts"),
        )
        self.layers = combo(
            "A layer of yours: each point or shape becomes an object, each label is "
            "refined and keeps its id"
        )
        self.layers.setPlaceholderText("no points, shapes or labels layer")
        self.use = button("Use as prompts", "Segment an object each", self._use_layer)
        self._groups = [QButtonGroup(self), QButtonGroup(self)]
        self._lay_out()
        self._connect()
        self._show()

    def _lay_out(self) -> None:
        layout = QVBoxLayout(self)
        layout.setContentsMargins(4, 2, 4, 4)
        layout.setSpacing(4)
        layout.addWidget(row(*self.tools.values()))
        layout.addWidget(row(self.positive, self.negative))
        layout.addWidget(row(self.hover, self.clear))
        hint = "Left click: object. Right or Alt click: not object."
        layout.addWidget(label(hint))
        layout.addWidget(self.layers)
        layout.addWidget(self.use)

    def _connect(self) -> None:
        tools, signs = self._groups
        for name, each in self.tools.items():
            tools.addButton(each)
            each.clicked.connect(lambda _=False, name=name: self._choose(name))
        for each, positive in ((self.positive, True), (self.negative, False)):
            signs.addButton(each)
            each.clicked.connect(lambda _=False, p=positive: self._choose_sign(p))
        self.hover.toggled.connect(self._toggle_hover)
        self._connections.add(self._link.pointing.tool_changed, self._show)
        self._connections.add(self._link.images_changed, self._list_layers)
        self._connections.add(self._session.events.view, self._list_layers)
        self._list_layers()

    def _choose(self, tool: Tool) -> None:
        self._link.pointing.tool = tool
        self._link.activate()

    def _choose_sign(self, positive: bool) -> None:
        self._link.pointing.positive = positive
        self._link.activate()

    def _toggle_hover(self, on: bool) -> None:
        self._link.pointing.hover = on
        if on:
            self._link.activate()

    def _show(self) -> None:
        self.tools[self._link.pointing.tool].setChecked(True)
        self.positive.setChecked(self._link.pointing.positive)
        self.negative.setChecked(not self._link.pointing.positive)
        if self.hover.isChecked() != self._link.pointing.hover:
            self.hover.setChecked(self._link.pointing.hover)

    def _list_layers(self, _: object = None) -> None:
        usable = [each for each in self._link.layers if can_prompt(each)]
        fill(self.layers, [(e.name, e) for e in usable], self.layers.currentData())
        if self.layers.currentIndex() < 0 and usable:
            self.layers.setCurrentIndex(0)
        self.use.setEnabled(bool(usable))

    def _use_layer(self) -> None:
        layer, image = self.layers.currentData(), self._link.image
        try:
            if layer is None or image is None or not self._link.sync():
                raise PromptError("There is no image or no layer to take prompts from.")
            prompts = prompts_of(layer, image, self._session.plane)
            ids = refining_of(layer, image, self._session.plane)
            segment_many(self._session, prompts, f"prompts of {layer.name}", ids)
        except NapariSamError as error:
            self._session.events.failed.emit(error)
