"""One displayed plane of an array of any number of axes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam.geometry import Box

Index = tuple[int | slice, ...]


@dataclass(frozen=True)
class Plane:
    """Which two axes of an array are shown, and where on the others.

    Positions in the plane are (row, col) in its own pixels, whichever axes those are.

    Attributes
    ----------
    shape : tuple of int
        Of the whole array, without a colour axis.
    rows, cols : int
        Axes shown downwards and to the right.
    point : tuple of int
        Index along each axis; 0 along the shown ones.
    """

    shape: tuple[int, ...]
    rows: int
    cols: int
    point: tuple[int, ...]

    @classmethod
    def whole(cls, shape: tuple[int, int]) -> Plane:
        """Return the only plane of an image (H, W)."""
        return cls(tuple(shape), 0, 1, (0, 0))

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) in pixels."""
        return self.shape[self.rows], self.shape[self.cols]

    @property
    def is_transposed(self) -> bool:
        """Whether rows run along a later axis than columns."""
        return self.rows > self.cols

    @property
    def hidden(self) -> tuple[int, ...]:
        """The axes that are not shown."""
        shown = (self.rows, self.cols)
        return tuple(axis for axis in range(len(self.shape)) if axis not in shown)

    def moved(self, axis: int, index: int) -> Plane:
        """Return the same plane at another place of a hidden axis."""
        point = list(self.point)
        point[axis] = index
        return replace(self, point=tuple(point))

    def index(self, box: Box, step: int = 1) -> Index:
        """Return what selects a box of the plane from the array.

        Parameters
        ----------
        box : tuple of int
            (row0, col0, row1, col1), the stop exclusive.
        step : int
            Every which pixel.
        """
        index: list[int | slice] = list(self.point)
        index[self.rows] = slice(box[0], box[2], step)
        index[self.cols] = slice(box[1], box[3], step)
        return tuple(index)

    def read(self, array: Any, box: Box) -> NDArray[Any]:
        """Return a copy of a box of the plane, shape (rows, cols).

        Parameters
        ----------
        array : array_like, of ``shape``
            Only the box is read.
        box : tuple of int
        """
        values = np.array(array[self.index(box)])
        return values.T if self.is_transposed else values

    def write(self, array: Any, box: Box, values: NDArray[Any]) -> None:
        """Set a box of the plane in the array."""
        array[self.index(box)] = values.T if self.is_transposed else values

    def to_array(self, positions: NDArray[Any]) -> NDArray[np.float64]:
        """Return where (N, 2) positions of the plane lie in the array, (N, ndim)."""
        placed = np.tile(np.asarray(self.point, np.float64), (len(positions), 1))
        placed[:, [self.rows, self.cols]] = positions
        return placed

    def from_array(self, positions: NDArray[Any]) -> NDArray[np.float64]:
        """Return the (N, 2) plane coordinates of (N, ndim) positions of the array."""
        values = np.asarray(positions, np.float64)
        plane: NDArray[np.float64] = values[:, [self.rows, self.cols]]
        return plane

    def holds(self, position: NDArray[Any]) -> bool:
        """Whether a position (ndim,) of the array lies in this plane's slice."""
        return all(round(float(position[i])) == self.point[i] for i in self.hidden)


@dataclass(frozen=True)
class Region:
    """A box of a plane in which an object has pixels.

    Attributes
    ----------
    plane : Plane
    box : tuple of int
        (row0, col0, row1, col1), the stop exclusive.
    confidence : float or None
        How sure the propagation that made it is, 0 to 1; None where a person did.
    """

    plane: Plane
    box: Box
    confidence: float | None = None


@dataclass(frozen=True)
class Stack:
    """Planes one behind the other along a hidden axis: a stack, or a movie.

    Attributes
    ----------
    plane : Plane
        One of them.
    axis : int
        The hidden axis.
    """

    plane: Plane
    axis: int

    @property
    def length(self) -> int:
        """Number of planes."""
        return self.plane.shape[self.axis]

    @property
    def first(self) -> Plane:
        """The plane at index 0."""
        return self.at(0)

    def at(self, index: int) -> Plane:
        """Return the plane at an index."""
        return self.plane.moved(self.axis, index)

    def index_of(self, plane: Plane) -> int | None:
        """Return where a plane is; None if it is not of this stack."""
        return (
            plane.point[self.axis] if self.at(plane.point[self.axis]) == plane else None
        )


def union_box(box: Box, other: Box) -> Box:
    """Return the smallest box around two."""
    low, high = np.minimum(box[:2], other[:2]), np.maximum(box[2:], other[2:])
    return int(low[0]), int(low[1]), int(high[0]), int(high[1])
