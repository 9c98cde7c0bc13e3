"""Strokes of napari's brush on the objects layer, taken into the session."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam._napari.delivery import Debounce
from napari_sam.geometry import mask_to_box
from napari_sam.session import Session
from napari_sam.session.labels import Patch
from napari_sam.session.plane import Plane

EDITING = ("paint", "erase", "fill", "polygon")


class BrushWatcher:
    """Compares the shown plane before and after a stroke.

    Parameters
    ----------
    layer : Labels
        The objects.
    session : Session
    plane : callable
        Returns the shown plane, or None.
    """

    def __init__(
        self, layer: Any, session: Session, plane: Callable[[], Plane | None]
    ) -> None:
        self._layer = layer
        self._session = session
        self._plane = plane
        self._before: tuple[Plane, NDArray[Any]] | None = None
        # Napari tells of a stroke before it writes the last of it.
        self._soon = Debounce(self._painted, 0)
        layer.events.mode.connect(self.remember)
        layer.events.paint.connect(self._soon)

    def close(self) -> None:
        """Stop watching."""
        self._layer.events.mode.disconnect(self.remember)
        self._layer.events.paint.disconnect(self._soon)
        self._soon.close()

    def remember(self, event: Any = None) -> None:
        """Keep a copy of the shown plane, if the brush is in hand."""
        plane = self._plane()
        editing = str(self._layer.mode) in EDITING
        if plane is None or not editing or self._layer.multiscale:
            self._before = None
            return
        store = self._session.document.store
        self._before = (plane, store.read(plane, (0, 0, *plane.size)))

    def _painted(self, event: Any = None) -> None:
        if self._before is None:
            return
        plane, before = self._before
        after = self._session.document.store.read(plane, (0, 0, *plane.size))
        box = mask_to_box(after != before)
        self._before = (plane, after)
        if box is None:
            return
        row0, col0, row1, col1 = box
        cut = np.s_[row0:row1, col0:col1]
        patch = Patch(plane, box, before[cut].copy(), after[cut].copy())
        self._session.document.painted([patch])
