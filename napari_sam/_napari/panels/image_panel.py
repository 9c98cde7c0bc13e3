"""Which image, which model, on which device, and the state of all three."""

from __future__ import annotations

from qtpy.QtWidgets import QCheckBox, QFormLayout

from napari_sam._napari.models import ModelState, model_state, model_states
from napari_sam._napari.panels.model_files import ModelFiles
from napari_sam._napari.panels.panel import Panel
from napari_sam._napari.panels.parts import button, combo, fill, label, row
from napari_sam._napari.panels.section import Section
from napari_sam._napari.viewer_link import ViewerLink
from napari_sam.session import ModelChoice, Session

DEVICES = ("auto", "cpu", "cuda", "mps")
DTYPES = ("auto", "float32", "bfloat16", "float16")


class ImagePanel(Panel):
    """Chooses image, colours, model and device.

    Parameters
    ----------
    session : Session
    link : ViewerLink
    """

    def __init__(self, session: Session, link: ViewerLink) -> None:
        super().__init__()
        self._session, self._link = session, link
        self.images = combo("The image to segment")
        self.mixed = QCheckBox("mix visible images")
        self.mixed.setToolTip(
            "Let the model see all visible images of the same shape, as on screen"
        )
        self.displayed = QCheckBox("as displayed")
        self.displayed.setToolTip(
            "Let the model see contrast limits, gamma and colours as on screen"
        )
        self.models = combo("The model that segments")
        self.device = combo("Where the model runs; auto takes a GPU if there is one")
        self.dtype = combo("Precision; auto takes the fastest safe one")
        self.download = button("Download", "Fetch the model's file", self._load)
        self.download.setVisible(False)
        self.state = label(tip="What the model is doing")
        self.files = ModelFiles(session, lambda: str(self.models.currentData()))
        self._lay_out()
        self._fill()
        self._connect()

    def _lay_out(self) -> None:
        form = QFormLayout(self)
        form.setContentsMargins(4, 2, 4, 4)
        form.setVerticalSpacing(4)
        form.addRow("Image", self.images)
        form.addRow("", self.mixed)
        form.addRow("", self.displayed)
        form.addRow("Model", self.models)
        form.addRow("Run on", row(self.device, self.dtype))
        form.addRow(self.download)
        form.addRow(self.state)
        form.addRow(Section("Model files", self.files, opened=False))

    def _fill(self) -> None:
        self._list_models()
        fill(self.device, [(each, each) for each in DEVICES], "auto")
        fill(self.dtype, [(each, each) for each in DTYPES], "auto")
        self._list_images()
        self._show_model()

    def _list_models(self) -> None:
        states = [(state.text, state.name) for state in model_states()]
        fill(self.models, states, self._session.model_name)

    def _connect(self) -> None:
        self.images.activated.connect(self._image_chosen)
        self.mixed.toggled.connect(self._colours_chosen)
        self.displayed.toggled.connect(self._colours_chosen)
        self.models.activated.connect(self._model_chosen)
        self.device.activated.connect(self._load)
        self.dtype.activated.connect(self._load)
        self._connections.add(self._link.images_changed, self._list_images)
        self._connections.add(self._session.events.model, self._model_changed)
        self._connections.add(self._session.events.view, self._show_model)

    def _list_images(self) -> None:
        items = [(image.name, image) for image in self._link.images]
        fill(self.images, items, self._link.image)
        self._show_model()

    def _image_chosen(self) -> None:
        self._link.choose_image(self.images.currentData())

    def _colours_chosen(self) -> None:
        self._link.show_as_displayed(
            as_displayed=self.displayed.isChecked(), mixed=self.mixed.isChecked()
        )

    def _model_chosen(self) -> None:
        state: ModelState = model_state(self.models.currentData())
        self.download.setVisible(not state.is_here)
        if state.is_here:
            self._load()
        else:
            size = state.words.removeprefix("to ")
            self.download.setText(f"{size.capitalize()}, then load")
            self.state.setText(f"{state.name} is not on this machine yet.")

    def _load(self) -> None:
        name = self.models.currentData() or self._session.model_name
        self.download.setVisible(False)
        choice = ModelChoice(name, self.device.currentData(), self.dtype.currentData())
        self._session.load_model(choice)

    def _model_changed(self) -> None:
        # A file may have come or gone.
        if self.download.isHidden():
            self._list_models()
        self._show_model()

    def _show_model(self, _: object = None) -> None:
        session = self._session
        place = self.models.findData(session.model_name)
        if place >= 0 and self.download.isHidden():
            self.models.setCurrentIndex(place)
        if session.model_is_ready:
            where = f"{session.model_name} is ready on {session.device}"
        elif session.model_name:
            where = f"{session.model_name} is loading"
        else:
            where = "No model"
        self.state.setText(f"{where}. {self._seen()}")

    def _seen(self) -> str:
        """Say what of the image the model sees."""
        if self._link.image is None:
            return "Open an image to begin."
        view = self._session.view
        if view is None:
            return "Show the image in 2D to segment it."
        height, width = view.frame.shape
        step = view.frame.step[0]
        coarse = f", every {step:g}th pixel" if step > 1 else ""
        return f"It sees {height} x {width} pixels{coarse}."
