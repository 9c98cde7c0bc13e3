"""Where the bundled model looks for the object that prompts mean.

A view is a window at one level of the image's pyramid. Its level follows from what the
prompts say of the object's size: a box or a mask, or the size that the dense head reads
under a click.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from napari_sam.geometry import image_to_frame
from napari_sam.inference.blocks import BlockEncoder, PyramidEmbedding, View
from napari_sam.inference.window_prompts import Corners, known_box
from napari_sam.nn.pocket_prompts import STRIDE
from napari_sam.structures import PromptSet

# Smaller objects than this level suits are seen smaller.
FINEST_LEVEL = 2
# The size, in window pixels, that a level is chosen to give the object.
WANTED_SIZE = 48.0
# The share of its box that an object covers; a disc covers .79, a slanted rod .3.
BOX_FILLING = 0.55
# A box's or mask's longest side may fill this much of the window.
LARGEST_SHARE = 0.8
# A mask is refined where it was found unless it wants a level finer by more than this.
LARGEST_MISMATCH = 1.5


class ViewChooser:
    """Chooses a view for the prompts of each object.

    Parameters
    ----------
    window : int
        Side of a view, in pixels of its level.
    blocks : BlockEncoder
    """

    def __init__(self, window: int, blocks: BlockEncoder) -> None:
        self._window = window
        self._blocks = blocks

    def choose(self, embedding: PyramidEmbedding, prompts: PromptSet) -> View:
        """Choose the level and window for one object's prompts."""
        box = known_box(prompts)
        if box is None:
            return self._view_of_clicks(embedding, prompts)
        earlier = self._earlier_view(embedding, prompts)
        if earlier is not None and self._still_suits(earlier, box):
            return earlier
        (row0, col0), (row1, col1) = box
        centre = (row0 + row1) / 2, (col0 + col1) / 2
        size, longest = _sizes(box)
        return self.view_at(embedding, centre, self._level(embedding, size, longest))

    def spare(self, embedding: PyramidEmbedding, view: View) -> View:
        """The view, or one of the next coarser level if only that is encoded here."""
        if view.level <= 0 or self._blocks.holds(embedding, view):
            return view
        centre = view.centre(self._window)
        coarser = self.view_at(embedding, centre, view.level - 1)
        return coarser if self._blocks.holds(embedding, coarser) else view

    def _earlier_view(
        self, embedding: PyramidEmbedding, prompts: PromptSet
    ) -> View | None:
        """The view that a mask prompt was predicted in, if it is one of this image."""
        if prompts.mask is None or prompts.mask.frame is None:
            return None
        view = View.of_frame(prompts.mask.frame, self._window)
        if view is None or not (
            self.coarsest_level(embedding) <= view.level <= FINEST_LEVEL
        ):
            return None
        known = self.view_at(embedding, view.centre(self._window), view.level)
        return view if view == known else None

    def _still_suits(self, view: View, box: Corners) -> bool:
        """Whether an object may be seen again where it was seen before.

        A mask differs a little with every click. If the window followed each change of
        its size, the object would be drawn anew at another scale, and a click could
        make it worse; so it stays until the object leaves it or is far too small in it.
        """
        inner = np.array(box) * 2.0**view.level - (view.row, view.col)
        if inner.min() < 0 or inner.max() > self._window:
            return False
        finer = math.log2(WANTED_SIZE / _sizes(box)[0]) - view.level
        return view.level == FINEST_LEVEL or finer <= LARGEST_MISMATCH

    def _view_of_clicks(self, embedding: PyramidEmbedding, prompts: PromptSet) -> View:
        """Let the dense head say how large the object under the clicks is."""
        positions = _clicked(prompts)
        spread = float(np.ptp(positions, axis=0).max()) + 1
        level, seen = min(self._level(embedding, spread, spread), 0), set[int]()
        while level not in seen:
            seen.add(level)
            size = self._read_size(embedding, positions, level)
            level = self._level(embedding, size, max(size, spread))
        return self.view_at(embedding, centre_of_clicks(prompts), level)

    def choose_quickly(self, embedding: PyramidEmbedding, prompts: PromptSet) -> View:
        """The finest level that is encoded around clicks, up to the one that suits."""
        if known_box(prompts) is not None:
            return self.choose(embedding, prompts)
        centre = centre_of_clicks(prompts)
        first = max(0, self.coarsest_level(embedding))
        size = self._read_size(embedding, _clicked(prompts), first)
        level = self._level(embedding, size, size)
        for finer in range(level, first, -1):
            view = self.view_at(embedding, centre, finer)
            if self._blocks.holds(embedding, view):
                return view
        return self.view_at(embedding, centre, min(level, first))

    def _read_size(
        self, embedding: PyramidEmbedding, positions: NDArray[np.float64], level: int
    ) -> float:
        """Size in image pixels that the dense head reads at image positions."""
        row, col = positions[0]
        view = self.view_at(embedding, (float(row), float(col)), level)
        dense = self._blocks.crop(embedding, view).dense[0, -1]
        inner = image_to_frame(positions, view.frame(self._window)).astype(int)
        rows, cols = np.clip(inner, 0, dense.shape[0] - 1).T
        log_size = 8 * float(dense[rows, cols].float().median())
        return math.pow(2.0, log_size - level)

    def _level(self, embedding: PyramidEmbedding, size: float, longest: float) -> int:
        """Level at which an object of ``size`` image pixels is seen best."""
        wanted = math.log2(WANTED_SIZE / size)
        fitting = math.log2(LARGEST_SHARE * self._window / longest)
        level = min(round(wanted), math.floor(fitting), FINEST_LEVEL)
        return max(level, self.coarsest_level(embedding))

    def coarsest_level(self, embedding: PyramidEmbedding) -> int:
        """The level at which the whole image fits a window."""
        longest = max(embedding.image_shape)
        return min(0, math.floor(math.log2(self._window / longest)))

    def view_at(
        self, embedding: PyramidEmbedding, centre: tuple[float, float], level: int
    ) -> View:
        """The window around an image position, on the grid of cells."""
        corner = []
        for position, length in zip(centre, embedding.image_shape, strict=True):
            start = position * 2.0**level - self._window / 2
            last = max(length * 2.0**level - self._window, 0.0)
            cells = round(min(max(start, 0.0), last) / STRIDE)
            corner.append(cells * STRIDE)
        return View(level, corner[0], corner[1])


def _sizes(box: Corners) -> tuple[float, float]:
    """Size of the object in a box, and the box's longest side, at least one pixel."""
    (row0, col0), (row1, col1) = box
    sides = max(row1 - row0, 1.0), max(col1 - col0, 1.0)
    return math.sqrt(BOX_FILLING * sides[0] * sides[1]), max(sides)


def _clicked(prompts: PromptSet) -> NDArray[np.float64]:
    """Image positions (N, 2) of the positive clicks, or of all if there is none."""
    chosen = [point.position for point in prompts.points if point.positive]
    return np.array(chosen or [point.position for point in prompts.points]) + 0.5


def centre_of_clicks(prompts: PromptSet) -> tuple[float, float]:
    """Image position amid the positive clicks, or amid all if there is none."""
    positions = _clicked(prompts)
    row, col = (positions.min(0) + positions.max(0)) / 2
    return float(row), float(col)
