"""A label array too large to hold: only chunks that were written take memory."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

CHUNK = 1024


class SparseLabels:
    """Zeros of any size, of which the written chunks are kept.

    Reads and writes take integers and slices with positive steps, as NumPy does.

    Parameters
    ----------
    shape : tuple of int
    dtype : dtype
    """

    def __init__(self, shape: tuple[int, ...], dtype: Any = np.int32) -> None:
        self.shape = tuple(int(side) for side in shape)
        self.dtype = np.dtype(dtype)
        # Chunks are large along the last two axes only.
        self._sides = (1,) * (len(shape) - 2) + (CHUNK, CHUNK)
        self._chunks: dict[tuple[int, ...], NDArray[Any]] = {}

    @property
    def ndim(self) -> int:
        """Number of axes."""
        return len(self.shape)

    @property
    def size(self) -> int:
        """Number of elements, held or not."""
        return int(np.prod(self.shape, dtype=np.int64))

    @property
    def nbytes(self) -> int:
        """Bytes that are held."""
        return sum(chunk.nbytes for chunk in self._chunks.values())

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[(slice(None),) * self.ndim], dtype=dtype)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        ranges, dropped = self._ranges(key)
        result = np.zeros([len(each) for each in ranges], self.dtype)
        for chunk, inner, outer in self._overlaps(ranges, create=False):
            result[outer] = chunk[inner]
        return result.reshape(
            [len(r) for axis, r in enumerate(ranges) if axis not in dropped]
        )

    def __setitem__(self, key: Any, values: Any) -> None:
        ranges, _ = self._ranges(key)
        shape = [len(each) for each in ranges]
        array = np.asarray(values)
        full = array.reshape(shape) if array.ndim else np.broadcast_to(array, shape)
        for chunk, inner, outer in self._overlaps(ranges, create=True):
            chunk[inner] = full[outer]

    def level(self, factors: tuple[int, ...]) -> SparseLevel:
        """Return a view that shows every ``factors[axis]``-th element."""
        return SparseLevel(self, factors)

    def _ranges(self, key: Any) -> tuple[list[range], set[int]]:
        """Turn an index into a range an axis, and the axes that it drops."""
        given = list(key) if isinstance(key, tuple) else [key]
        if Ellipsis in given:
            at = given.index(Ellipsis)
            missing = self.ndim - len(given) + 1
            given[at : at + 1] = [slice(None)] * missing
        given += [slice(None)] * (self.ndim - len(given))
        ranges, dropped = [], set()
        for axis, (each, side) in enumerate(zip(given, self.shape, strict=True)):
            if isinstance(each, slice):
                ranges.append(range(*each.indices(side)))
                continue
            position = range(side)[int(each)]
            ranges.append(range(position, position + 1))
            dropped.add(axis)
        return ranges, dropped

    def _overlaps(
        self, ranges: list[range], *, create: bool
    ) -> Iterator[tuple[NDArray[Any], tuple[slice, ...], tuple[slice, ...]]]:
        """Yield each chunk that is touched, the slices in it and in the result."""
        if any(len(each) == 0 for each in ranges):
            return
        for key in self._touched(ranges, create):
            pairs = [
                _overlap(each, number, side)
                for each, number, side in zip(ranges, key, self._sides, strict=True)
            ]
            if any(pair is None for pair in pairs):
                continue
            if key not in self._chunks:
                self._chunks[key] = np.zeros(self._sides, self.dtype)
            inner, outer = zip(*(pair for pair in pairs if pair), strict=True)
            yield self._chunks[key], inner, outer

    def _touched(self, ranges: list[range], create: bool) -> list[tuple[int, ...]]:
        if not create:
            return list(self._chunks)
        numbers = [
            range(each[0] // side, each[-1] // side + 1)
            for each, side in zip(ranges, self._sides, strict=True)
        ]
        return list(itertools.product(*numbers))


class SparseLevel:
    """A coarser level of `SparseLabels`; reads only.

    Parameters
    ----------
    base : SparseLabels
    factors : tuple of int
        Elements of the base a step, for each axis.
    """

    def __init__(self, base: SparseLabels, factors: tuple[int, ...]) -> None:
        self._base = base
        self._factors = factors
        self.shape = tuple(
            -(-side // factor) for side, factor in zip(base.shape, factors, strict=True)
        )
        self.dtype = base.dtype
        self.ndim = base.ndim

    @property
    def size(self) -> int:
        """Number of elements."""
        return int(np.prod(self.shape, dtype=np.int64))

    def __len__(self) -> int:
        return self.shape[0]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[Any]:
        return np.asarray(self[(slice(None),) * self.ndim], dtype=dtype)

    def __getitem__(self, key: Any) -> NDArray[Any]:
        given = key if isinstance(key, tuple) else (key,)
        given = (*given, *[slice(None)] * (self.ndim - len(given)))
        scaled = [
            _scaled(each, factor, side)
            for each, factor, side in zip(given, self._factors, self.shape, strict=True)
        ]
        return self._base[tuple(scaled)]


def _scaled(index: Any, factor: int, side: int) -> int | slice:
    """Return an index of a coarse axis as one of the fine axis."""
    if not isinstance(index, slice):
        return range(side)[int(index)] * factor
    start, stop, step = index.indices(side)
    if start >= stop:
        return slice(0, 0)
    return slice(start * factor, (stop - 1) * factor + 1, step * factor)


def _overlap(wanted: range, number: int, side: int) -> tuple[slice, slice] | None:
    """Return where a range meets a chunk: slices of the chunk and of the range."""
    start, step = number * side, wanted.step
    first = max(0, -(-(start - wanted.start) // step))
    last = min(len(wanted), -(-(start + side - wanted.start) // step))
    if first >= last:
        return None
    inner = wanted[first] - start
    return slice(inner, wanted[last - 1] - start + 1, step), slice(first, last)
