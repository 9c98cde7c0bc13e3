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
        places, kept = index_places(key, self.shape)
        return self.take(places).reshape(kept)

    def __setitem__(self, key: Any, values: Any) -> None:
        places, _ = index_places(key, self.shape)
        shape = [len(each) for each in places]
        array = np.asarray(values)
        full = array.reshape(shape) if array.ndim else np.broadcast_to(array, shape)
        for chunk, inner, outer in self._overlaps(places, create=True):
            chunk[inner] = full[outer]

    def level(self, shape: tuple[int, ...]) -> SparseLevel:
        """Return a view of the whole with fewer elements, evenly spread."""
        return SparseLevel(self, shape)

    def take(self, places: list[NDArray[np.intp]]) -> NDArray[Any]:
        """Return the elements where indices of all axes cross, as `numpy.ix_` does.

        Parameters
        ----------
        places : list of ndarray of int
            For each axis, rising.
        """
        result = np.zeros([len(each) for each in places], self.dtype)
        for chunk, inner, outer in self._overlaps(places, create=False):
            result[outer] = chunk[inner]
        return result

    def _overlaps(
        self, places: list[NDArray[np.intp]], *, create: bool
    ) -> Iterator[tuple[NDArray[Any], Any, tuple[slice, ...]]]:
        """Yield each chunk that is touched, the indices in it and in the result."""
        if any(len(each) == 0 for each in places):
            return
        for key in self._touched(places, create):
            pairs = [
                _overlap(each, number * side, side)
                for each, number, side in zip(places, key, self._sides, strict=True)
            ]
            if any(len(inner) == 0 for inner, _ in pairs):
                continue
            if key not in self._chunks:
                self._chunks[key] = np.zeros(self._sides, self.dtype)
            inner, outer = zip(*pairs, strict=True)
            yield self._chunks[key], np.ix_(*inner), outer

    def _touched(
        self, places: list[NDArray[np.intp]], create: bool
    ) -> list[tuple[int, ...]]:
        if not create:
            return list(self._chunks)
        numbers = [
            range(int(each[0]) // side, int(each[-1]) // side + 1)
            for each, side in zip(places, self._sides, strict=True)
        ]
        return list(itertools.product(*numbers))


class SparseLevel:
    """A coarser level of `SparseLabels`; reads only.

    Parameters
    ----------
    base : SparseLabels
    shape : tuple of int
        At most the base's. Element i shows the base's element in the middle of the
        part that it covers.
    """

    def __init__(self, base: SparseLabels, shape: tuple[int, ...]) -> None:
        self._base = base
        self.shape = tuple(int(side) for side in shape)
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
        places, kept = index_places(key, self.shape)
        fine = [
            ((2 * each + 1) * whole // (2 * side)).astype(np.intp)
            for each, whole, side in zip(
                places, self._base.shape, self.shape, strict=True
            )
        ]
        return self._base.take(fine).reshape(kept)


def index_places(
    key: Any, shape: tuple[int, ...]
) -> tuple[list[NDArray[np.intp]], list[int]]:
    """Turn an index of integers and slices into indices for each axis.

    Returns
    -------
    list of ndarray of int
    list of int
        Shape of what is selected, without the axes that integers drop.
    """
    given = list(key) if isinstance(key, tuple) else [key]
    if Ellipsis in given:
        at = given.index(Ellipsis)
        given[at : at + 1] = [slice(None)] * (len(shape) - len(given) + 1)
    given += [slice(None)] * (len(shape) - len(given))
    places, kept = [], []
    for each, side in zip(given, shape, strict=True):
        if isinstance(each, slice):
            places.append(np.arange(*each.indices(side)))
            kept.append(len(places[-1]))
        else:
            places.append(np.array([range(side)[int(each)]]))
    return places, kept


def _overlap(
    wanted: NDArray[np.intp], start: int, side: int
) -> tuple[NDArray[np.intp], slice]:
    """Return where rising indices meet a chunk: indices in it, and a slice of them."""
    first, last = np.searchsorted(wanted, [start, start + side])
    return wanted[first:last] - start, slice(int(first), int(last))
