"""Proposed masks in the viewer, coloured by class; a click takes or drops one."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.layers import Labels

from napari_sam._napari.connections import Connections
from napari_sam._napari.layers import value_colormap
from napari_sam._napari.placement import frame_shape, frame_transform
from napari_sam._napari.viewer_link import ViewerLink
from napari_sam.session.findings import Proposal, Proposals

# Colours that people who see colours differently can tell apart (Okabe and Ito, 2008).
PALETTE = (
    "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7",
)  # fmt: skip
NAME = "SAM proposals"


class ProposalsLayer:
    """Keeps a Labels layer in step with proposals.

    Parameters
    ----------
    proposals : Proposals
    link : ViewerLink
    """

    def __init__(self, proposals: Proposals, link: ViewerLink) -> None:
        self._proposals, self._link = proposals, link
        self._layer: Labels | None = None
        self._connections = Connections()
        self._connections.add(proposals.changed, self.update)
        self._connections.add(link.session.events.view, self._view_changed)

    def close(self) -> None:
        """Undo all connections and take the layer away."""
        self._connections.close()
        self._remove()

    def colours(self) -> dict[str, str]:
        """Return the colour of each class that is shown."""
        names = dict.fromkeys(each.class_name for each in self._proposals.shown)
        return {name: PALETTE[i % len(PALETTE)] for i, name in enumerate(names)}

    def update(self) -> None:
        """Draw the proposals anew."""
        view, image = self._proposals.view, self._link.image
        self._remove()
        if view is None or image is None or not self._proposals.shown:
            return
        colours = self.colours()
        values = {name: number for number, name in enumerate(colours, start=1)}

        def value_of(proposal: Proposal) -> int:
            return values[proposal.class_name]

        canvas = self._proposals.painted(value_of)
        shown = canvas.T if view.plane.is_transposed else canvas
        self._layer = Labels(
            np.ascontiguousarray(shown).reshape(frame_shape(view.plane, view.frame)),
            name=NAME,
            opacity=0.6,
            colormap=value_colormap(tuple(colours.values())),
            **frame_transform(image, view.plane, view.frame),
        )
        self._link.add_under_tools(self._layer)

    def _view_changed(self, view: Any) -> None:
        if self._proposals.view is not None and view is not self._proposals.view:
            self._proposals.clear()

    def _remove(self) -> None:
        layer, self._layer = self._layer, None
        self._link.remove_layer(layer)
