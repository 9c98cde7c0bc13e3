"""What belongs to one image: its document, objects layer and journal."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from napari.layers import Image, Labels

from napari_sam._napari.brush import BrushWatcher
from napari_sam._napari.layers import make_objects_layer
from napari_sam.session import Session
from napari_sam.session.journal import Journal
from napari_sam.session.measures import Columns, PixelSizes
from napari_sam.session.plane import Plane


class ImageWork:
    """The objects of an image and where they are shown and kept.

    Parameters
    ----------
    image : Image
    session : Session
        Its document is the image's.
    """

    def __init__(self, image: Image, session: Session) -> None:
        self._image = image
        self._session = session
        self.document = session.document
        self.objects_layer: Labels | None = None
        self.journal = Journal(session, image.name)
        self._brush: BrushWatcher | None = None
        self._columns = Columns()

    def make_layer(self, plane: Callable[[], Plane | None]) -> Labels:
        """Return a layer of the objects, for the viewer to take.

        Parameters
        ----------
        plane : callable
            Returns the shown plane.
        """
        layer = make_objects_layer(self._image, self.document.store.data)
        self.objects_layer = layer
        self._brush = BrushWatcher(layer, self._session, plane)
        return layer

    def refresh(self, *, with_table: bool = True) -> None:
        """Draw the objects again, and perhaps their table."""
        layer = self.objects_layer
        if layer is None:
            return
        if with_table:
            sizes = pixel_sizes(self._image)
            layer.features = self._columns.of(self.document.objects, sizes)
        layer.refresh(thumbnail=False, extent=False)
        if self._brush is not None:
            self._brush.remember()

    def forget_layer(self, layer: Any) -> None:
        """Let go of the objects layer if the user deleted it; the objects stay."""
        if layer is self.objects_layer:
            self._stop_brush()
            self.objects_layer = None

    def close(self) -> None:
        """Stop watching and writing."""
        self._stop_brush()
        self.journal.close()

    def _stop_brush(self) -> None:
        if self._brush is not None:
            self._brush.close()
            self._brush = None


def pixel_sizes(image: Image) -> PixelSizes:
    """Return how large the pixels of an image are, in its own units."""
    names = tuple(str(name) for name in image.axis_labels)
    lengths = tuple(abs(float(each)) for each in image.scale)
    units = tuple(f"{each:~}" for each in image.units)
    return PixelSizes(lengths, names, units)
