"""Encoding, before anyone clicks, the parts of an image that clicks will need."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_sam.inference.blocks import DenseBlock, PyramidEmbedding
from napari_sam.inference.dense import OCTAVES
from napari_sam.inference.pyramid import PyramidFraming
from napari_sam.inference.tiling import BlockKey
from napari_sam.inference.view_choice import FINEST_LEVEL, WANTED_SIZE
from napari_sam.structures import Frame

# Samples of foreground that make a block worth encoding: fewer are hardly clicked at.
ENOUGH = 12
# A click is first read at this level.
FIRST_LEVEL = 0


@dataclass(frozen=True, eq=False)
class WantedLevels:
    """The level that a click on each sample of a block would be answered at.

    Attributes
    ----------
    levels : ndarray of float, shape (h, w)
        Whole numbers; NaN on the background.
    frame : Frame
        Where the samples lie in the image.
    """

    levels: NDArray[np.float32]
    frame: Frame

    def count(self, level: int, box: NDArray[np.float64]) -> int:
        """Count the samples that want a level.

        Parameters
        ----------
        level : int
        box : ndarray of float, shape (2, 2)
            [[row0, col0], [row1, col1]] in image pixels.
        """
        inner = (box - self.frame.origin) / self.frame.step
        (row0, col0), (row1, col1) = np.round(inner.clip(0)).astype(int).tolist()
        return int(np.count_nonzero(self.levels[row0:row1, col0:col1] == level))


def look_ahead(
    framing: PyramidFraming, embedding: PyramidEmbedding
) -> Iterator[BlockKey]:
    """Encode a block at each step, until clicks find all that they need.

    The image is read where each click is first read, and then at the levels that suit
    the objects seen there.

    Parameters
    ----------
    framing : PyramidFraming
    embedding : PyramidEmbedding

    Yields
    ------
    BlockKey
        What was just encoded, or was there.
    """
    blocks, lowest = framing.blocks, framing.views.coarsest_level(embedding)
    first = max(FIRST_LEVEL, lowest)
    seen = []
    for key in blocks.wanted_blocks(embedding, first, lambda _box: True):
        seen.append(_wanted_levels(blocks.dense_block(embedding, key), first, lowest))
        yield key
    for level in sorted(range(lowest, FINEST_LEVEL + 1), key=abs):

        def is_wanted(box: NDArray[np.float64], level: int = level) -> bool:
            return sum(each.count(level, box) for each in seen) >= ENOUGH

        for key in blocks.wanted_blocks(embedding, level, is_wanted):
            blocks.dense_block(embedding, key)
            yield key


def _wanted_levels(dense: DenseBlock, level: int, lowest: int) -> WantedLevels:
    maps, frame = dense.cut()
    # The size that the dense head reads is in pixels of the level.
    wanted = np.round(np.log2(WANTED_SIZE) - OCTAVES * maps[-1] + level)
    wanted = np.where(maps[0] > 0, wanted.clip(lowest, FINEST_LEVEL), np.nan)
    return WantedLevels(wanted.astype(np.float32), frame)
