"""The bundled model's image: a pyramid of levels, encoded in blocks as they are needed.

Level k shows the image 2**k times as large. A view is a window of one level; its
features are cut out of the block it lies in.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray

from napari_sam.inference.framing import ImageEmbedding
from napari_sam.nn.pocket import MASK_STRIDE, STRIDE
from napari_sam.nn.pocket_encoder import PocketFeatures
from napari_sam.structures import Frame

if TYPE_CHECKING:
    from napari_sam.nn.pocket import Pocket

# Blocks have this side, and a margin that holds half a window and context.
BLOCK = 512
MARGIN = 160
# About 20 MB each.
KEPT_BLOCKS = 24


@dataclass(frozen=True)
class View:
    """A window: its level, and its upper left corner in that level's pixels."""

    level: int
    row: int
    col: int

    def centre(self, window: int) -> tuple[float, float]:
        """Image position (row, col) of its middle; it is ``window`` pixels wide."""
        scale = 2.0**self.level
        return (self.row + window / 2) / scale, (self.col + window / 2) / scale

    def frame(self, window: int) -> Frame:
        """Where the mask logits of this window, ``window`` pixels wide, lie."""
        pixel = 2.0**-self.level
        step, side = MASK_STRIDE * pixel, window // MASK_STRIDE
        origin = (self.row * pixel, self.col * pixel)
        return Frame(origin, (step, step), (side, side))


@dataclass(frozen=True, eq=False)
class PyramidEmbedding(ImageEmbedding):
    """An image and the features of the blocks that were looked at.

    Attributes
    ----------
    pixels : ndarray of float32, shape (3, H, W)
        In 0..1.
    blocks : OrderedDict
        Features by (level, block row, block column), the least recently used first.
    lock : Lock
        Held while blocks are looked up or added.
    """

    pixels: NDArray[np.float32]
    blocks: OrderedDict[tuple[int, int, int], PocketFeatures] = field(
        default_factory=OrderedDict
    )
    lock: Lock = field(default_factory=Lock)


class BlockEncoder:
    """Encodes blocks of an image at their first use, and cuts windows out of them.

    Parameters
    ----------
    model : Pocket
    """

    def __init__(self, model: Pocket) -> None:
        self._model = model
        self._window = model.window

    def prepare(self, embedding: PyramidEmbedding) -> None:
        """Encode the finest level, but none above 0, that a single block holds."""
        level = 0
        while not all(_fits_block(side, level) for side in embedding.image_shape):
            level -= 1
        self._block(embedding, (level, 0, 0))

    def crop(self, embedding: PyramidEmbedding, view: View) -> PocketFeatures:
        """The features of one window."""
        half = self._window // 2
        block_row, block_col = (
            min((edge + half) // BLOCK, _last_block(side, view.level))
            for edge, side in zip(
                (view.row, view.col), embedding.image_shape, strict=True
            )
        )
        features = self._block(embedding, (view.level, block_row, block_col))
        start = _block_start(block_row), _block_start(block_col)
        row, col = view.row - start[0], view.col - start[1]
        size = self._window
        return PocketFeatures(
            *(
                part[
                    :,
                    :,
                    row // step : (row + size) // step,
                    col // step : (col + size) // step,
                ]
                for part, step in (
                    (features.embedding, STRIDE),
                    (features.skip4, 4),
                    (features.skip2, 2),
                    (features.dense, 2),
                )
            )
        )

    def _block(
        self, embedding: PyramidEmbedding, key: tuple[int, int, int]
    ) -> PocketFeatures:
        """The features of one block, encoded at its first use."""
        with embedding.lock:
            if key not in embedding.blocks:
                embedding.blocks[key] = self._encode_block(embedding, key)
                while len(embedding.blocks) > KEPT_BLOCKS:
                    embedding.blocks.popitem(last=False)
            embedding.blocks.move_to_end(key)
            return embedding.blocks[key]

    @torch.no_grad()
    def _encode_block(
        self, embedding: PyramidEmbedding, key: tuple[int, int, int]
    ) -> PocketFeatures:
        level, *block = key
        pixels = embedding.pixels
        spans = [
            _block_span(index, side, level, self._window)
            for index, side in zip(block, embedding.image_shape, strict=True)
        ]
        rows, cols = (
            _image_indices(span, level, side)
            for span, side in zip(spans, embedding.image_shape, strict=True)
        )
        part = torch.from_numpy(pixels[:, rows[:, None], cols])[None]
        shape = (spans[0][1] - spans[0][0], spans[1][1] - spans[1][0])
        if part.shape[-2:] != shape:
            part = functional.interpolate(
                part, shape, mode="bilinear", antialias=True
            ).clamp(0, 1)
        with autocast(self._model):
            features = self._model.encode(part.to(self._model.device))
        return PocketFeatures(
            features.embedding.float(),
            features.skip4.float(),
            features.skip2.float(),
            features.dense.float(),
        )


def autocast(model: Pocket) -> torch.autocast:
    """Compute in the model's own type."""
    dtype = model.compute_dtype
    return torch.autocast(model.device.type, dtype, enabled=dtype != torch.float32)


def _fits_block(side: int, level: int) -> bool:
    return side * 2.0**level <= BLOCK + 2 * MARGIN


def _last_block(side: int, level: int) -> int:
    if _fits_block(side, level):
        return 0
    return math.ceil(side * 2.0**level / BLOCK) - 1


def _block_start(index: int) -> int:
    return max(index * BLOCK - MARGIN, 0)


def _block_span(index: int, side: int, level: int, window: int) -> tuple[int, int]:
    """Start and stop of a block along one axis, in level pixels, a multiple of 32."""
    length = max(math.ceil(side * 2.0**level), window)
    end = length if _fits_block(side, level) else (index + 1) * BLOCK + MARGIN
    stop = min(end, length)
    start = _block_start(index)
    return start, start + 32 * math.ceil((stop - start) / 32)


def _image_indices(span: tuple[int, int], level: int, side: int) -> NDArray[np.intp]:
    """Image rows or columns under a span; past the edge the last one goes on."""
    start, stop = (round(edge * 2.0**-level) for edge in span)
    return np.clip(np.arange(start, stop), 0, side - 1)
