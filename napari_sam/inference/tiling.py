"""How a level of an image pyramid is cut into blocks that are encoded one by one."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

# Blocks have such a core, and around it a margin that holds half a window and context.
# Large cores share more of their margins; small ones answer a first click sooner. So
# levels finer than the image have small ones, whose objects lie here and there, and so
# has an image with no side longer than SMALL_IMAGE. Wide ones are for looking at all of
# an image: one holds an image of 1024 x 1024 seen twice as large, for which a CPU takes
# some 700 MB for a moment.
CORE = 512
SMALL_CORE = 256
WIDE_CORE = 1792
SMALL_IMAGE = 1536
MARGIN = 160


class BlockKey(NamedTuple):
    """Names a block: its level, its place among those of its kind, and its kind."""

    level: int
    row: int
    col: int
    is_wide: bool = False


@dataclass(frozen=True)
class Tiling:
    """The blocks of one kind and level.

    Attributes
    ----------
    level : int
    shape : tuple of int
        (H, W) of the image.
    core : int
        Side of a block's core, in level pixels.
    alone : int
        What a single block may hold, in level pixels.
    is_wide : bool
    """

    level: int
    shape: tuple[int, int]
    core: int
    alone: int
    is_wide: bool

    @classmethod
    def of(cls, level: int, shape: tuple[int, int], is_wide: bool = False) -> Tiling:
        """The tiling of a level of an image (H, W)."""
        if is_wide:
            return cls(level, shape, WIDE_CORE, WIDE_CORE + 2 * MARGIN, True)
        core = SMALL_CORE if level > 0 or max(shape) <= SMALL_IMAGE else CORE
        # A level up to the image's own may have more in one block: the first is made
        # when the image is set.
        alone = (core if level > 0 else CORE) + 2 * MARGIN
        return cls(level, shape, core, alone, False)

    @property
    def grid(self) -> tuple[int, int]:
        """Number of blocks, down and across."""
        rows, cols = (
            1 if self._is_whole(axis) else math.ceil(self._length(axis) / self.core)
            for axis in (0, 1)
        )
        return rows, cols

    def all_keys(self) -> Iterator[BlockKey]:
        """All blocks, row by row."""
        for row, col in np.ndindex(*self.grid):
            yield BlockKey(self.level, row, col, self.is_wide)

    def block_at(self, row: int, col: int) -> BlockKey:
        """The block whose core holds a level pixel, or is nearest to it."""
        rows, cols = (
            min(place // self.core, count - 1)
            for place, count in zip((row, col), self.grid, strict=True)
        )
        return BlockKey(self.level, rows, cols, self.is_wide)

    def around(self, other: Tiling, key: BlockKey) -> BlockKey:
        """The block here that holds the core of a smaller block of the same level."""
        return self.block_at(key.row * other.core, key.col * other.core)

    def is_last(self, key: BlockKey) -> tuple[bool, bool]:
        """Whether a block goes on to the image's lower, and right, edge."""
        rows, cols = self.grid
        return key.row == rows - 1, key.col == cols - 1

    def core_box(self, key: BlockKey) -> NDArray[np.float64]:
        """What only this block has as its core.

        Returns
        -------
        ndarray of float, shape (2, 2)
            [[row0, col0], [row1, col1]] in image pixels.
        """
        start = np.array([key.row, key.col]) * self.core * 2.0**-self.level
        stop = start + self.core * 2.0**-self.level
        return np.array([start, np.where(self.is_last(key), self.shape, stop)])

    def corner(self, key: BlockKey) -> tuple[int, int]:
        """Where a block starts, with its margin, in level pixels."""
        return self._start(key.row), self._start(key.col)

    def spans(self, key: BlockKey, window: int) -> list[tuple[int, int]]:
        """Start and stop of a block along each axis, in level pixels.

        They are multiples of 32 apart, and at least a window.
        """
        found = []
        for axis, index in enumerate((key.row, key.col)):
            length = max(math.ceil(self._length(axis)), window)
            is_whole = self._is_whole(axis)
            end = length if is_whole else (index + 1) * self.core + MARGIN
            start = self._start(index)
            steps = math.ceil((min(end, length) - start) / 32)
            found.append((start, start + 32 * steps))
        return found

    def pixels(self, key: BlockKey, window: int) -> int:
        """How many pixels of its level a block has."""
        (row0, row1), (col0, col1) = self.spans(key, window)
        return (row1 - row0) * (col1 - col0)

    def _length(self, axis: int) -> float:
        return self.shape[axis] * 2.0**self.level

    def _is_whole(self, axis: int) -> bool:
        return self._length(axis) <= self.alone

    def _start(self, index: int) -> int:
        return max(index * self.core - MARGIN, 0)
