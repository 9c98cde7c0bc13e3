"""Masks that are shown in the labels while they are being found, and taken back."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from napari_sam.session.document import Document
from napari_sam.session.filling import plane_patch
from napari_sam.session.labels import OverlapRule, Patch, PlacedMask
from napari_sam.session.plane import Plane


class LiveFilling:
    """Writes masks into a document's labels with no edit, plane by plane.

    What it wrote is known pixel by pixel, so that edits made meanwhile survive when it
    is taken back.

    Parameters
    ----------
    document : Document
    rule : {"keep", "overwrite", "background"}
    """

    def __init__(self, document: Document, rule: OverlapRule) -> None:
        self._document = document
        self._rule: OverlapRule = rule
        self._written: dict[Plane, Patch] = {}

    def show(self, plane: Plane, masks: Mapping[int, PlacedMask | None]) -> None:
        """Show masks in a plane, instead of those shown there before."""
        self._take_back(plane)
        store, table = self._document.store, self._document.objects
        patch = plane_patch(store, table, plane, masks, self._rule)
        if patch is not None:
            store.apply(patch)
            self._written[plane] = patch

    def take_back(self) -> None:
        """Show the labels as they would be without it."""
        for plane in list(self._written):
            self._take_back(plane)

    def _take_back(self, plane: Plane) -> None:
        patch = self._written.pop(plane, None)
        if patch is None:
            return
        store = self._document.store
        now = store.read(plane, patch.box)
        ours = (now == patch.after) & (patch.after != patch.before)
        restored = np.where(ours, patch.before, now)
        store.apply(Patch(plane, patch.box, now, restored))
