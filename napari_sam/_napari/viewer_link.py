"""The link between a session and a viewer: the only file that touches its layers.

It owns every connection to the viewer and undoes them all in `close`. Layers are kept
as objects, never looked up by name, so that a user may rename, move or delete them.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from napari.layers import Image
from psygnal import Signal

from napari_sam._napari import layers as ours
from napari_sam._napari.connections import Connections
from napari_sam._napari.delivery import Debounce, Throttle
from napari_sam._napari.gestures import Gestures, World
from napari_sam._napari.image_work import ImageWork
from napari_sam._napari.keybindings import bind_keys
from napari_sam._napari.navigation import (
    camera_of,
    show_object,
    show_slice,
    toggle_3d,
)
from napari_sam._napari.placement import shown_plane, to_pixels
from napari_sam._napari.pointing import Pointing
from napari_sam._napari.seeing import Seeing
from napari_sam._napari.tools import Tools
from napari_sam.session import Session
from napari_sam.session.candidates import Candidates
from napari_sam.session.drafts import Draft
from napari_sam.session.findings import Proposals
from napari_sam.session.labels import Patch
from napari_sam.session.objects import SegmentedObject
from napari_sam.session.plane import Stack
from napari_sam.session.propagation import Propagation
from napari_sam.structures import BoxPrompt

if TYPE_CHECKING:
    from napari.components import ViewerModel

SETTLE_MS = 150
# A little less than a tenth of a second: previews come ten a second.
MASK_MS = 90
# So long a prompt waits for its mask, so that both are drawn at once.
TOGETHER_MS = 90
# The objects are drawn for at most one part in so many of the time.
RESTS = 4
DEFAULT_COLOURS = ours.Colours()


class ViewerLink:
    """Shows a session in a viewer and tells it what the user does there.

    Parameters
    ----------
    viewer : ViewerModel
    session : Session
    colours : Colours

    Attributes
    ----------
    pointing : Pointing
        What clicks and drags mean.
    images_changed : Signal()
        Which images can be chosen, or which one is.
    object_visited : Signal(int)
        The object that was gone to.
    """

    images_changed = Signal()
    object_visited = Signal(int)

    def __init__(
        self,
        viewer: ViewerModel,
        session: Session,
        colours: ours.Colours = DEFAULT_COLOURS,
    ) -> None:
        self.session = session
        self._colours = colours
        self.proposals: Proposals | None = None
        self.propagation: Propagation | None = None
        self._viewer = viewer
        self._image: Image | None = None
        self._work: dict[Image, ImageWork] = {}
        self._seeing = Seeing()
        self._tools: Tools | None = None
        self._found_layers: list[Any] = []
        self._busy_with_layers = False
        self._table_is_old = False
        self.pointing = Pointing(self)
        self._gestures = Gestures(self.pointing)
        self._draw_mask = Throttle(self._show_mask, MASK_MS)
        self._draw_prompts = Debounce(self._show_prompts, TOGETHER_MS)
        # Labels of a volume in 3D take long to draw, and an edit writes them before
        # it changes the table.
        self._refresh_objects = Throttle(self._show_objects, rest=RESTS, together=True)
        self._settle = Debounce(self._settled, SETTLE_MS)
        # Napari selects a layer only after it told of it.
        self._activate_soon = Debounce(lambda _: self.activate(), 0)
        self._waiting = (
            self._activate_soon,
            self._draw_prompts,
            self._draw_mask,
            self._refresh_objects,
            self._settle,
            *self.pointing.waiting,
        )
        self._connections = Connections()
        self._image_connections = Connections()
        self._connect()
        self._choose_first()

    # -- what the widget reads and sets --------------------------------------------

    @property
    def images(self) -> list[Image]:
        """The image layers of the viewer."""
        return [layer for layer in self._viewer.layers if isinstance(layer, Image)]

    @property
    def layers(self) -> list[Any]:
        """The layers of the viewer that we did not make."""
        own = [*self._own_layers(), *self._found_layers]
        return [layer for layer in self._viewer.layers if layer not in own]

    @property
    def image(self) -> Image | None:
        """The image that is worked on."""
        return self._image

    @property
    def work(self) -> ImageWork | None:
        """What belongs to that image: document, objects layer, journal."""
        return None if self._image is None else self._work.get(self._image)

    @property
    def is_active(self) -> bool:
        """Whether one of our layers is active, so that clicks and keys go to us."""
        active = self._viewer.layers.selection.active
        return active is not None and active in self._own_layers()

    def show_as_displayed(self, *, as_displayed: bool, mixed: bool) -> None:
        """Choose what the model sees.

        Parameters
        ----------
        as_displayed : bool
            Colours with the layer's contrast limits and gamma, not its samples.
        mixed : bool
            All visible images of the same shape together, as displayed.
        """
        self._seeing.as_displayed, self._seeing.mixed = as_displayed, mixed
        self.sync()

    def choose_image(self, image: Image | None) -> None:
        """Work on another image; what was done on the last one is kept."""
        if image is self._image:
            return
        self.flush()
        self._image_connections.close()
        self._remove_tools()
        self._image = image
        if image is None:
            self.session.set_view(None)
        else:
            self._open_image(image)
        self.images_changed.emit()

    def activate(self) -> None:
        """Make clicks go to us, bringing our layers back if they were deleted."""
        if self._image is not None and self.sync():
            self._make_tools()
            if self._tools is not None:
                self._viewer.layers.selection.active = self._tools.mask
            self._take_mouse()

    def sync(self) -> bool:
        """Show the session what the viewer shows; False if it is no plane."""
        self._settle.close()
        if self._image is None or self._image not in self._viewer.layers:
            return False
        plane = shown_plane(self._image, self._viewer.dims)
        if plane is None:
            self.session.set_view(None)
            return False
        view = self._seeing.view(self._image, self.images, plane, self.session.view)
        self.session.set_view(view)
        return True

    def go_to(self, found: SegmentedObject) -> None:
        """Move sliders and camera to an object."""
        if self._image is None:
            return
        show_object(self._viewer, self._image, found)
        if self.work is not None and self.work.objects_layer is not None:
            self.work.objects_layer.selected_label = found.id
        self.object_visited.emit(found.id)

    def go_to_slice(self, stack: Stack, index: int) -> None:
        """Show a plane of a stack."""
        if self._image is not None:
            show_slice(self._viewer, self._image, stack.plane, stack.axis, index)
            self.sync()

    def go_to_worst(self) -> None:
        """Show the least sure slice of the object in hand, then the next one."""
        if self.propagation is None:
            return
        index, stack = self.propagation.next_worst(), self.propagation.stack
        if index is not None and stack is not None:
            self.go_to_slice(stack, index)

    def toggle_3d(self, axis: int | None) -> None:
        """Show the image in 3D, an axis of it among the shown ones, or in 2D again."""
        if self._image is not None:
            toggle_3d(self._viewer, self._image, axis)
            self.sync()

    @property
    def is_3d(self) -> bool:
        """Whether the viewer shows three axes."""
        return bool(self._viewer.dims.ndisplay == 3)

    def pixels(self, position: World) -> tuple[float, float] | None:
        """Return the pixel at a world position; None outside the image."""
        if self._image is None or not self.sync():
            return None
        plane = self.session.plane
        row, col = to_pixels(self._image, plane, position)
        height, width = plane.size
        inside = -0.5 <= row < height - 0.5 and -0.5 <= col < width - 0.5
        return (row, col) if inside else None

    def draw_box(self, box: BoxPrompt | None) -> None:
        """Show a box that is being drawn."""
        if self._tools is not None:
            self._tools.draw_box(box)

    def add_layer(self, layer: Any) -> Any:
        """Add a layer of ours to the viewer."""
        with self._own_change():
            return self._viewer.layers.append(layer) or layer

    def add_under_tools(self, layer: Any) -> None:
        """Show what was found under our tools, which keep the mouse."""
        active = self._viewer.layers.selection.active
        self._found_layers.append(layer)
        self.add_layer(layer)
        self._below_tools(layer)
        self._viewer.layers.selection.active = active

    def remove_layer(self, layer: Any) -> None:
        """Remove a layer if it is (still) there."""
        self._forget_found(layer)
        if layer is not None and layer in self._viewer.layers:
            with self._own_change():
                self._viewer.layers.remove(layer)

    def flush(self) -> None:
        """Draw at once what waits for its turn, as before a picture is taken."""
        for each in self._waiting:
            each.flush()

    def close(self) -> None:
        """Undo every connection; the objects stay, our tools go."""
        self._connections.close()
        self._image_connections.close()
        for each in self._waiting:
            each.close()
        self._remove_tools()
        for work in self._work.values():
            work.close()

    # -- inside: the viewer --------------------------------------------------------

    def _connect(self) -> None:
        viewer, events = self._viewer, self.session.events
        camera = camera_of(viewer)
        pairs: Sequence[tuple[Any, Any]] = (
            (viewer.layers.events.inserted, self._inserted),
            (viewer.layers.events.removed, self._removed),
            (viewer.layers.events.reordered, self._listed),
            (viewer.dims.events.current_step, self._moved),
            (viewer.dims.events.order, self._moved),
            (viewer.dims.events.ndisplay, self._moved),
            (viewer.dims.events.ndim, self._moved),
            (camera.events.center, self._moved),
            (camera.events.zoom, self._moved),
            (events.mask, self._draw_mask),
            (events.prompts, self._prompts_changed),
            (events.objects, self._objects_changed),
            (events.labels, self._refresh_objects),
            (events.view, self._show_view),
            (self.pointing.tool_changed, self._tool_changed),
        )
        for emitter, callback in pairs:
            self._connections.add(emitter, callback)

    def _choose_first(self) -> None:
        active = self._viewer.layers.selection.active
        images = self.images
        chosen = active if isinstance(active, Image) else (images or [None])[-1]
        self.choose_image(chosen)

    def _inserted(self, event: Any) -> None:
        layer = event.value
        if self._busy_with_layers or not isinstance(layer, Image):
            return
        self._connections.add(layer.events.name, self._listed)
        if self.session.draft.is_empty:
            self.choose_image(layer)
            self._activate_soon()
        self.images_changed.emit()

    def _removed(self, event: Any) -> None:
        if self._busy_with_layers:
            return
        layer = event.value
        self._forget_layer(layer)
        if layer is self._image:
            self.choose_image(next(iter(self.images[::-1]), None))
        if isinstance(layer, Image):
            gone = self._work.pop(layer, None)
            if gone is not None:
                gone.close()
            self.images_changed.emit()

    def _listed(self, event: Any = None) -> None:
        self.images_changed.emit()

    def _settled(self, _: Any = None) -> None:
        self.sync()

    def _moved(self, event: Any = None) -> None:
        self._settle()

    def _data_changed(self, event: Any = None) -> None:
        self._seeing.data_changed()
        self._settle()

    def _open_image(self, image: Image) -> None:
        self._image_connections.add(image.events.data, self._data_changed)
        for name in ("contrast_limits", "gamma", "colormap", "scale", "affine"):
            self._image_connections.add(getattr(image.events, name), self._moved)
        if image not in self._work:
            self.session.start(ours.make_label_array(image))
            self._work[image] = ImageWork(image, self.session)
        self._tools = Tools(self.session, image, self._colours)
        self.session.resume(self._work[image].document)
        self.activate()

    # -- inside: our layers --------------------------------------------------------

    @contextmanager
    def _own_change(self) -> Iterator[None]:
        before = self._busy_with_layers
        self._busy_with_layers = True
        try:
            yield
        finally:
            self._busy_with_layers = before

    @contextmanager
    def _unlisted(self) -> Iterator[None]:
        """Keep from the layer list what it would only be drawn anew for."""
        with self._viewer.layers.events.blocker_all():
            yield

    def _own_layers(self) -> list[Any]:
        tools = self._tools.layers if self._tools else []
        results = [each.objects_layer for each in self._work.values()]
        return [*tools, *(layer for layer in results if layer is not None)]

    def _make_tools(self) -> None:
        view = self.session.view
        if self._tools is None or view is None:
            return
        drawn = self.session.draft.prompts.box is not None
        with_box = drawn or self.pointing.tool == "box"
        for layer in self._tools.make_missing(view, with_box=with_box):
            selection = set(self._viewer.layers.selection)
            self.add_layer(layer)
            if layer is self._tools.boxes:
                self._below_tools(layer)
            self._viewer.layers.selection = selection
            self._gestures.attach(layer)
            bind_keys(layer, self)
        self._tools.draw_prompts(self.session.draft)

    def _remove_tools(self) -> None:
        for layer in self._tools.layers if self._tools else ():
            self._forget_layer(layer)
            self.remove_layer(layer)
        self._tools = None

    def _forget_layer(self, layer: Any) -> None:
        """Let go of a layer that leaves the viewer."""
        if self._tools is not None and self._tools.forget(layer):
            self._gestures.detach(layer)
        self._forget_found(layer)
        for work in self._work.values():
            work.forget_layer(layer)

    def _forget_found(self, layer: Any) -> None:
        self._found_layers = [each for each in self._found_layers if each is not layer]

    def _tool_changed(self) -> None:
        if self.pointing.tool == "box":
            self._make_tools()
        self._take_mouse()

    def _take_mouse(self) -> None:
        """Let a drag pan the camera where it draws nothing."""
        if self._tools is not None:
            self._tools.let_pan(self.pointing.tool == "point")

    def _show_view(self, view: Any) -> None:
        if self._tools is not None and view is not None:
            self._tools.place(view)

    def _show_mask(self, candidates: Candidates | None) -> None:
        if self._tools is None:
            return
        self._draw_prompts.flush()
        if self._tools.mask is None and candidates is not None:
            self._make_tools()
        with self._unlisted():
            self._tools.draw_mask(candidates)

    def _prompts_changed(self, draft: Draft) -> None:
        self._draw_prompts(draft)
        if not self.session.is_busy:
            # No mask of theirs is on its way.
            self._draw_prompts.flush()

    def _show_prompts(self, draft: Draft) -> None:
        if self._tools is None:
            return
        if draft.prompts.box is not None and self._tools.boxes is None:
            self._make_tools()
        else:
            with self._unlisted():
                self._tools.draw_prompts(draft)

    def _objects_changed(self) -> None:
        self._table_is_old = True
        self._refresh_objects(None)

    def _show_objects(self, written: Patch | None) -> None:
        work = self.work
        if work is None or self._image is None:
            return
        if work.objects_layer is None:
            if written is None and not len(self.session.document.objects):
                return
            layer = work.make_layer(lambda: self.session.shown_plane)
            active = self._viewer.layers.selection.active
            self.add_layer(layer)
            bind_keys(layer, self)
            self._below_tools(layer)
            self._viewer.layers.selection.active = active
            self._table_is_old = True
        work.refresh(with_table=self._table_is_old)
        self._table_is_old = False

    def _below_tools(self, layer: Any) -> None:
        layers = self._viewer.layers
        tools = self._tools.layers if self._tools else []
        places = [layers.index(each) for each in tools if each in layers]
        if places:
            with self._own_change():
                layers.move(layers.index(layer), min(places))
