"""The three layers that clicks and drags go to, kept in step with a session."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from napari.layers import Image
from numpy.typing import NDArray

from napari_sam._napari import layers as ours
from napari_sam._napari.strokes import box_of
from napari_sam.session import Session
from napari_sam.session.candidates import Candidates
from napari_sam.session.drafts import Draft
from napari_sam.session.view import ImageView
from napari_sam.structures import BoxPrompt, PointPrompt

EDITS = ("added", "changed", "removed")
# Width of a box's edge, as a part of the view.
EDGE_SHARE = 1 / 300


class Tools:
    """Mask in hand, points and box over one image; any may be missing.

    Parameters
    ----------
    session : Session
    image : Image
    colours : Colours
    """

    def __init__(self, session: Session, image: Image, colours: ours.Colours) -> None:
        self._session = session
        self._image = image
        self._colours = colours
        self._writing = False
        self.mask: Any = None
        self.points: Any = None
        self.boxes: Any = None

    @property
    def layers(self) -> list[Any]:
        """Those that exist, in the order in which they lie over each other."""
        wanted = (self.boxes, self.points, self.mask)
        return [layer for layer in wanted if layer is not None]

    def make_missing(self, view: ImageView, *, with_box: bool) -> list[Any]:
        """Create the layers that do not exist; they are not in a viewer yet.

        That of the box takes long to make, so that it waits until it is wanted.
        """
        before = self.layers
        if with_box and self.boxes is None:
            self.boxes = ours.make_boxes_layer(self._image, self._colours)
            self.boxes.events.data.connect(self._box_edited)
        if self.points is None:
            self.points = ours.make_points_layer(self._image, self._colours)
            self.points.events.data.connect(self._points_edited)
        if self.mask is None:
            self.mask = ours.make_mask_layer(self._image, view, self._colours)
        return [layer for layer in self.layers if layer not in before]

    def forget(self, layer: Any) -> bool:
        """Let go of a layer that leaves the viewer; False if it is none of these."""
        if layer is None or layer not in self.layers:
            return False
        if layer is self.mask:
            self.mask = None
        elif layer is self.points:
            layer.events.data.disconnect(self._points_edited)
            self.points = None
        else:
            layer.events.data.disconnect(self._box_edited)
            self.boxes = None
        return True

    def let_pan(self, pan: bool) -> None:
        """Make the layers ready for clicks, and say whether a drag moves the camera."""
        if self.mask is not None:
            # In napari's pan-and-zoom mode a quick second click would zoom.
            self.mask.mode = "pick"
        for layer in self.layers:
            layer.mouse_pan = pan

    def place(self, view: ImageView) -> None:
        """Move the mask layer over another view."""
        if self.mask is not None:
            ours.place_mask_layer(self.mask, self._image, view)

    def draw_mask(self, candidates: Candidates | None) -> None:
        """Show the chosen candidate."""
        view = self._session.view
        if view is None or self.mask is None:
            return
        if candidates is None:
            ours.draw_mask(self.mask, view, None)
        elif candidates.view is view:
            colour = ours.HOVER_VALUE if candidates.hovering else ours.MASK_VALUE
            values = candidates.mask.astype(np.uint8) * np.uint8(colour)
            ours.draw_mask(self.mask, view, values)

    def draw_prompts(self, draft: Draft) -> None:
        """Show a draft's points and box."""
        plane = self._session.shown_plane
        if plane is None:
            return
        if self.points is not None:
            points = draft.prompts.points
            places = np.array([p.position for p in points]).reshape(-1, 2)
            with self._own_edit():
                ours.draw_points(
                    self.points, plane.to_array(places), points, self._colours
                )
        self.draw_box(draft.prompts.box)

    def draw_box(self, box: BoxPrompt | None) -> None:
        """Show a box, or none."""
        view = self._session.view
        if self.boxes is None or view is None:
            return
        corners: NDArray[np.float64] | None = None
        if box is not None:
            corners = view.plane.to_array(ours.box_corners(box))
        width = max(view.frame.shape) * view.frame.step[0] * EDGE_SHARE
        with self._own_edit():
            ours.draw_box(self.boxes, corners, max(1.0, width), self._colours)

    @contextmanager
    def _own_edit(self) -> Iterator[None]:
        self._writing = True
        try:
            yield
        finally:
            self._writing = False

    def _points_edited(self, event: Any) -> None:
        """Take over what napari's own tools did to the points."""
        plane = self._session.shown_plane
        if self._writing or plane is None or event.action not in EDITS:
            return
        signs = ours.signs_of(self.points)
        places = plane.from_array(np.asarray(self.points.data))
        points = tuple(
            PointPrompt((float(row), float(col)), positive)
            for (row, col), positive in zip(places, signs, strict=True)
        )
        self._session.set_points(points, "edit points")

    def _box_edited(self, event: Any) -> None:
        """Take over what napari's own tools did to the box."""
        plane = self._session.shown_plane
        if self._writing or plane is None or event.action not in EDITS:
            return
        shapes = self.boxes.data
        box = box_of(plane.from_array(shapes[-1])) if len(shapes) else None
        self._session.set_box(box)
