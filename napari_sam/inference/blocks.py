"""The bundled model's image: a pyramid of levels, encoded in blocks as they are needed.

Level k shows the image 2**k times as large. A view is a window of one level; its
features are cut out of the block it lies in.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from torch import Tensor

from napari_sam.geometry import frame_to_image
from napari_sam.inference.framing import ImageEmbedding
from napari_sam.inference.tiling import BlockKey, Tiling
from napari_sam.nn.pocket_encoder import PocketFeatures
from napari_sam.nn.pocket_prompts import MASK_STRIDE, STRIDE
from napari_sam.structures import Frame

if TYPE_CHECKING:
    from napari_sam.nn.pocket import Pocket

# The fields of `PocketFeatures`, in order.
PARTS = ("embedding", "skip4", "skip2", "dense")
# Of the features of one image.
KEPT_BYTES = 500_000_000

Wanted = Callable[[NDArray[np.float64]], bool]


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
        Features by `BlockKey`, the least recently used first.
    mirrored : OrderedDict
        Features of windows seen in the mirror, by `View`, the oldest first.
    lock : Lock
        Held while blocks or windows are looked up or added.
    """

    pixels: NDArray[np.float32]
    blocks: OrderedDict[BlockKey, PocketFeatures] = field(default_factory=OrderedDict)
    mirrored: OrderedDict[View, PocketFeatures] = field(default_factory=OrderedDict)
    lock: Lock = field(default_factory=Lock)

    @property
    def nbytes(self) -> int:
        """Bytes that the image and its blocks take now; more blocks may come."""
        with self.lock:
            kept = [*self.blocks.values(), *self.mirrored.values()]
        return self.pixels.nbytes + sum(map(_nbytes, kept))


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

    def cut(self) -> tuple[NDArray[np.float32], Frame]:
        """The core alone: its maps (4, h, w), and where they lie."""
        row0, col0, row1, col1 = self.core
        row, col = frame_to_image(np.array([row0, col0]), self.frame)
        shape = (row1 - row0, col1 - col0)
        frame = Frame((float(row), float(col)), self.frame.step, shape)
        return self.maps[:, row0:row1, col0:col1], frame


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
        while Tiling.of(level, shape).grid != (1, 1):
            level -= 1
        self._block(embedding, BlockKey(level, 0, 0))

    def crop(self, embedding: PyramidEmbedding, view: View) -> PocketFeatures:
        """The features of one window."""
        features, start = self._around(embedding, view)
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

    def _around(
        self, embedding: PyramidEmbedding, view: View
    ) -> tuple[PocketFeatures, tuple[int, int]]:
        """Features of a block that holds a window, and its corner in level pixels."""
        keys = self._keys_around(embedding, view)
        # A wide block serves if it is there; for a window only a small one is made.
        key = next((key for key in keys if key in embedding.blocks), keys[-1])
        tiling = Tiling.of(key.level, embedding.image_shape, key.is_wide)
        return self._block(embedding, key), tiling.corner(key)

    def holds(self, embedding: PyramidEmbedding, view: View) -> bool:
        """Whether a window can be cut out of what is encoded already."""
        return any(
            key in embedding.blocks for key in self._keys_around(embedding, view)
        )

    def _keys_around(
        self, embedding: PyramidEmbedding, view: View
    ) -> tuple[BlockKey, BlockKey]:
        """The wide and the small block that hold a window."""
        half, shape = self._window // 2, embedding.image_shape
        wide, small = (
            Tiling.of(view.level, shape, is_wide) for is_wide in (True, False)
        )
        middle = view.row + half, view.col + half
        return wide.block_at(*middle), small.block_at(*middle)

    def wanted_blocks(
        self, embedding: PyramidEmbedding, level: int, wanted: Wanted
    ) -> list[BlockKey]:
        """Blocks that cover what is wanted of a level with the least to encode.

        Parameters
        ----------
        embedding : PyramidEmbedding
        level : int
        wanted : callable
            Says of a box, [[row0, col0], [row1, col1]] in image pixels, whether it is
            wanted.

        Returns
        -------
        list of BlockKey
            Their cores do not overlap.
        """
        shape = embedding.image_shape
        small, wide = Tiling.of(level, shape), Tiling.of(level, shape, is_wide=True)
        parts: dict[BlockKey, list[BlockKey]] = {}
        for key in small.all_keys():
            if wanted(small.core_box(key)):
                parts.setdefault(wide.around(small, key), []).append(key)
        chosen = []
        for whole, keys in parts.items():
            new = [key for key in keys if key not in embedding.blocks]
            cost = sum(small.pixels(key, self._window) for key in new)
            is_cheaper = wide.pixels(whole, self._window) < cost
            chosen += [whole] if is_cheaper or whole in embedding.blocks else keys
        return chosen

    def dense_block(self, embedding: PyramidEmbedding, key: BlockKey) -> DenseBlock:
        """What the dense head says of one block."""
        dense = self._block(embedding, key).dense[0].cpu().numpy()
        tiling = Tiling.of(key.level, embedding.image_shape, key.is_wide)
        sample = MASK_STRIDE * 2.0**-key.level
        first = [start // MASK_STRIDE for start in tiling.corner(key)]
        whole = [math.ceil(side / sample) for side in embedding.image_shape]
        shape = [
            min(length, end - start)
            for length, end, start in zip(dense.shape[1:], whole, first, strict=True)
        ]
        core = np.round(tiling.core_box(key) / sample).astype(int) - first
        core[1] = np.where(tiling.is_last(key), shape, core[1])
        (row0, col0), (row1, col1) = core.tolist()
        origin = first[0] * sample, first[1] * sample
        return DenseBlock(
            dense[:, : shape[0], : shape[1]].astype(np.float32),
            Frame(origin, (sample, sample), (shape[0], shape[1])),
            (row0, col0, row1, col1),
        )

    def _block(self, embedding: PyramidEmbedding, key: BlockKey) -> PocketFeatures:
        """The features of one block, encoded at its first use."""
        with embedding.lock:
            if key not in embedding.blocks:
                embedding.blocks[key] = self._encode_block(embedding, key)
            embedding.blocks.move_to_end(key)
            kept = sum(map(_nbytes, embedding.blocks.values()))
            while kept > KEPT_BYTES and len(embedding.blocks) > 1:
                kept -= _nbytes(embedding.blocks.popitem(last=False)[1])
            return embedding.blocks[key]

    def _encode_block(
        self, embedding: PyramidEmbedding, key: BlockKey
    ) -> PocketFeatures:
        tiling = Tiling.of(key.level, embedding.image_shape, key.is_wide)
        (row0, row1), (col0, col1) = tiling.spans(key, self._window)
        view = View(key.level, row0, col0)
        shape = (row1 - row0, col1 - col0)
        return encode_pixels(self._model, level_pixels(embedding, view, shape))


def level_pixels(
    embedding: PyramidEmbedding, view: View, shape: tuple[int, int]
) -> Tensor:
    """The pixels of a part of a level; past the image's edge the last ones go on.

    Parameters
    ----------
    embedding : PyramidEmbedding
    view : View
        Names the level, and the part's upper left corner.
    shape : tuple of int
        (h, w) of the part, in level pixels.

    Returns
    -------
    Tensor of float32, shape (1, 3, h, w)
        In 0..1.
    """
    rows, cols = (
        _image_indices((start, start + length), view.level, side)
        for start, length, side in zip(
            (view.row, view.col), shape, embedding.image_shape, strict=True
        )
    )
    part = torch.from_numpy(embedding.pixels.take(rows, 1).take(cols, 2))[None]
    if part.shape[-2:] != shape:
        part = functional.interpolate(
            part, shape, mode="bilinear", antialias=True
        ).clamp_(0, 1)
    return part


@torch.no_grad()
def encode_pixels(model: Pocket, pixels: Tensor) -> PocketFeatures:
    """Encode pixels (N, 3, h, w) in the model's type; the features are float32."""
    with autocast(model):
        features = model.encode(pixels.to(model.device))
    return PocketFeatures(*(getattr(features, part).float() for part in PARTS))


def pack_blocks(embedding: PyramidEmbedding) -> dict[str, Tensor]:
    """The tensors of all blocks encoded so far, named "level/row/column/wide/part"."""
    with embedding.lock:
        blocks = list(embedding.blocks.items())
    return {
        "/".join(map(str, (*map(int, key), part))): getattr(features, part)
        for key, features in blocks
        for part in PARTS
    }


def unpack_blocks(
    packed: Mapping[str, Tensor], device: torch.device
) -> OrderedDict[BlockKey, PocketFeatures]:
    """The blocks that `pack_blocks` named, on a device."""
    names = sorted({name.rpartition("/")[0] for name in packed})
    blocks: OrderedDict[BlockKey, PocketFeatures] = OrderedDict()
    for name in names:
        # Files of earlier versions, which had no wide blocks, name three numbers.
        level, row, col, *wide = map(int, name.split("/"))
        parts = (packed[f"{name}/{part}"] for part in PARTS)
        blocks[BlockKey(level, row, col, bool(wide and wide[0]))] = PocketFeatures(
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


def _image_indices(span: tuple[int, int], level: int, side: int) -> NDArray[np.intp]:
    """Image rows or columns under a span; past the edge the last one goes on."""
    start, stop = (round(edge * 2.0**-level) for edge in span)
    return np.clip(np.arange(start, stop), 0, side - 1)
