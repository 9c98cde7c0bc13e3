"""Where a movie's objects went, as a Tracks layer beside their labels."""

from __future__ import annotations

from typing import Any

from napari.layers import Tracks

from napari_sam._napari.connections import Connections
from napari_sam._napari.placement import common_transform
from napari_sam._napari.viewer_link import ViewerLink
from napari_sam.session.stack_search import Lineage, StackSearch

NAME = "SAM tracks"


class TracksLayer:
    """Shows the last lineage that was found, as long as its objects are there.

    Parameters
    ----------
    search : StackSearch
    link : ViewerLink
    """

    def __init__(self, search: StackSearch, link: ViewerLink) -> None:
        self._link = link
        self._layer: Tracks | None = None
        self._ids: set[int] = set()
        self._connections = Connections()
        self._connections.add(search.tracked, self.show)
        self._connections.add(link.session.events.objects, self._follow)

    def close(self) -> None:
        """Undo all connections; the layer stays, as the objects do."""
        self._connections.close()

    def show(self, lineage: Lineage) -> None:
        """Show a lineage in place of the last one.

        Parameters
        ----------
        lineage : Lineage
        """
        image = self._link.image
        self._link.remove_layer(self._layer)
        self._layer = None
        # napari takes the first axis of tracks as time.
        if image is None or lineage.axis != 0:
            return
        self._ids = {int(number) for number in lineage.points[:, 0]}
        self._layer = Tracks(
            lineage.points, graph=lineage.graph, name=NAME, **common_transform(image)
        )
        # The objects' labels first, so that they do not cover the tracks.
        self._link.flush()
        self._link.add_under_tools(self._layer)

    def _follow(self, _: Any = None) -> None:
        """Hide the tracks of objects that were undone, until they are there again."""
        if self._layer is not None:
            known = self._link.session.document.objects
            is_there = any(known.get(number) is not None for number in self._ids)
            self._layer.visible = is_there
