"""The bundled model's image: a pyramid of levels, encoded in blocks as they are needed.

Level k shows the image 2**k times as large. A view is a window of one level; its
features are cut out of the block it lies in.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from torch import Tensor

from napari_sam.inference.framing import ImageEmbedding
from napari_sam.nn.pocket_encoder import PocketFeatures
from napari_sam.nn.pocket_prompts import MASK_STRIDE, STRIDE
from napari_sam.structures import Frame

if TYPE_CHECKING:
    from napari_sam.nn.pocket import Pocket

# Blocks have such a core, and around it a margin that holds half a window and context.
# Large cores share more of their margins; small ones answer a first click sooner. So
# levels finer than the image have small ones, whose objects lie here and there, and so
# has an image with no side longer than SMALL_IMAGE.
CORE = 512
SMALL_CORE = 256
SMALL_IMAGE = 1536
MARGIN = 160
# The fields of `PocketFeatures`, in order.
PARTS = ("embedding", "skip4", "skip2", "dense")
# Of the features of one image.
KEPT_BYTES = 500_000_000


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

    @classmethod
    def of_frame(cls, frame: Frame, window: int) -> View | None:
        """The view whose mask logits lie in a frame; None if there is no such view."""
        level = round(math.log2(MASK_STRIDE / frame.step[0]))
        row, col = (round(edge * 2.0**level) for edge in frame.origin)
        view = cls(level, row, col)
        return view if view.frame(window) == frame else None

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

    @property
    def nbytes(self) -> int:
        """Bytes that the image and its blocks take now; more blocks may come."""
        with self.lock:
            return self.pixels.nbytes + sum(map(_nbytes, self.blocks.values()))


@dataclass(frozen=True, eq=False)
class DenseBlock:
    """What the dense head says of one block, inside the image.

    Attributes
    ----------
    maps : ndarray of float32, shape (4, h, w)
        As `napari_sam.nn.pocket_encoder.DENSE_CHANNELS`; foreground as logits.
    frame : Frame
        Where the samples lie in the image.
    core : tuple of int
        (row0, col0, row1, col1) in samples: the part that no other block has as core.
    """

    maps: NDArray[np.float32]
    frame: Frame
    core: tuple[int, int, int, int]


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
        level, shape = 0, embedding.image_shape
        while not all(_tiling(level, shape).is_whole(side) for side in shape):
            level -= 1
        self._block(embedding, (level, 0, 0))

    def crop(self, embedding: PyramidEmbedding, view: View) -> PocketFeatures:
        """The features of one window."""
        half = self._window // 2
        tiling = _tiling(view.level, embedding.image_shape)
        block_row, block_col = (
            min((edge + half) // tiling.core, tiling.last(side))
            for edge, side in zip(
                (view.row, view.col), embedding.image_shape, strict=True
            )
        )
        features = self._block(embedding, (view.level, block_row, block_col))
        start = tiling.start(block_row), tiling.start(block_col)
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

    def block_grid(self, embedding: PyramidEmbedding, level: int) -> tuple[int, int]:
        """Number of blocks of a level, down and across."""
        tiling = _tiling(level, embedding.image_shape)
        rows, cols = (tiling.last(side) + 1 for side in embedding.image_shape)
        return rows, cols

    def core_side(self, embedding: PyramidEmbedding, level: int) -> float:
        """Side of a block's core in image pixels; a block may be alone and larger."""
        return _tiling(level, embedding.image_shape).core * 2.0**-level

    def dense_block(
        self, embedding: PyramidEmbedding, level: int, block: tuple[int, int]
    ) -> DenseBlock:
        """What the dense head says of one block of `block_grid`."""
        dense = self._block(embedding, (level, *block)).dense[0].cpu().numpy()
        sample = MASK_STRIDE * 2.0**-level
        tiling = _tiling(level, embedding.image_shape)
        origin, shape, core = [], [], []
        for axis, (index, side) in enumerate(
            zip(block, embedding.image_shape, strict=True)
        ):
            start, whole = tiling.start(index), math.ceil(side / sample)
            first = start // MASK_STRIDE
            length = min(dense.shape[axis + 1], whole - first)
            low = index * tiling.core // MASK_STRIDE - first
            is_last = index == tiling.last(side)
            high = length if is_last else low + tiling.core // MASK_STRIDE
            origin.append(first * sample)
            shape.append(length)
            core.append((low, high))
        (row0, row1), (col0, col1) = core
        return DenseBlock(
            dense[:, : shape[0], : shape[1]].astype(np.float32),
            Frame((origin[0], origin[1]), (sample, sample), (shape[0], shape[1])),
            (row0, col0, row1, col1),
        )

    def _block(
        self, embedding: PyramidEmbedding, key: tuple[int, int, int]
    ) -> PocketFeatures:
        """The features of one block, encoded at its first use."""
        with embedding.lock:
            if key not in embedding.blocks:
                embedding.blocks[key] = self._encode_block(embedding, key)
            embedding.blocks.move_to_end(key)
            kept = sum(map(_nbytes, embedding.blocks.values()))
            while kept > KEPT_BYTES and len(embedding.blocks) > 1:
                kept -= _nbytes(embedding.blocks.popitem(last=False)[1])
            return embedding.blocks[key]

    @torch.no_grad()
    def _encode_block(
        self, embedding: PyramidEmbedding, key: tuple[int, int, int]
    ) -> PocketFeatures:
        level, *block = key
        pixels = embedding.pixels
        tiling = _tiling(level, embedding.image_shape)
        spans = [
            tiling.span(index, side, self._window)
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


def pack_blocks(embedding: PyramidEmbedding) -> dict[str, Tensor]:
    """The tensors of all blocks encoded so far, named "level/row/column/part"."""
    with embedding.lock:
        blocks = list(embedding.blocks.items())
    return {
        "/".join(map(str, (*key, part))): getattr(features, part)
        for key, features in blocks
        for part in PARTS
    }


def unpack_blocks(
    packed: Mapping[str, Tensor], device: torch.device
) -> OrderedDict[tuple[int, int, int], PocketFeatures]:
    """The blocks that `pack_blocks` named, on a device."""
    keys = {tuple(map(int, name.split("/")[:3])) for name in packed}
    blocks: OrderedDict[tuple[int, int, int], PocketFeatures] = OrderedDict()
    for level, row, col in sorted(keys):
        parts = (packed[f"{level}/{row}/{col}/{part}"] for part in PARTS)
        blocks[level, row, col] = PocketFeatures(
            # As the encoder gives them.
            *(
                part.to(device).contiguous(memory_format=torch.channels_last)
                for part in parts
            )
        )
    return blocks


def autocast(model: Pocket) -> torch.autocast:
    """Compute in the model's own type."""
    dtype = model.compute_dtype
    return torch.autocast(model.device.type, dtype, enabled=dtype != torch.float32)


def _nbytes(features: PocketFeatures) -> int:
    return sum(getattr(features, part).nbytes for part in PARTS)


@dataclass(frozen=True)
class _Tiling:
    """How one level is cut into blocks, along each axis; sides in image pixels."""

    level: int
    core: int
    alone: int

    def is_whole(self, side: int) -> bool:
        """Whether one block holds all of a side."""
        return side * 2.0**self.level <= self.alone

    def last(self, side: int) -> int:
        """Index of the last block."""
        if self.is_whole(side):
            return 0
        return math.ceil(side * 2.0**self.level / self.core) - 1

    def start(self, index: int) -> int:
        """Where a block starts, in level pixels."""
        return max(index * self.core - MARGIN, 0)

    def span(self, index: int, side: int, window: int) -> tuple[int, int]:
        """Start and stop of a block, in level pixels, a multiple of 32."""
        length = max(math.ceil(side * 2.0**self.level), window)
        end = length if self.is_whole(side) else (index + 1) * self.core + MARGIN
        start = self.start(index)
        return start, start + 32 * math.ceil((min(end, length) - start) / 32)


def _tiling(level: int, shape: tuple[int, int]) -> _Tiling:
    core = SMALL_CORE if level > 0 or max(shape) <= SMALL_IMAGE else CORE
    # What a level up to the image's own may hold in one block: `prepare` encodes that.
    alone = (core if level > 0 else CORE) + 2 * MARGIN
    return _Tiling(level, core, alone)


def _image_indices(span: tuple[int, int], level: int, side: int) -> NDArray[np.intp]:
    """Image rows or columns under a span; past the edge the last one goes on."""
    start, stop = (round(edge * 2.0**-level) for edge in span)
    return np.clip(np.arange(start, stop), 0, side - 1)
