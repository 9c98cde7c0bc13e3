"""The label array, written only in the boxes that change, and how overlaps resolve."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from napari_sam.errors import DataError
from napari_sam.geometry import Box, mask_to_box
from napari_sam.session.plane import Plane
from napari_sam.session.sparse import SparseLabels

OverlapRule = Literal["keep", "overwrite", "background"]
OVERLAP_RULES: tuple[OverlapRule, ...] = get_args(OverlapRule)


@dataclass(frozen=True, eq=False)
class Patch:
    """A change of the labels in one box of one plane.

    Attributes
    ----------
    plane : Plane
    box : tuple of int
        (row0, col0, row1, col1), the stop exclusive.
    before, after : ndarray of int, shape of the box
    """

    plane: Plane
    box: Box
    before: NDArray[Any]
    after: NDArray[Any]

    @property
    def inverse(self) -> Patch:
        """The change back."""
        return Patch(self.plane, self.box, self.after, self.before)


@dataclass(frozen=True, eq=False)
class PlacedMask:
    """A mask inside its box in a plane.

    Attributes
    ----------
    plane : Plane
    origin : tuple of int
        (row, col) of the box's upper left corner in the plane.
    mask : ndarray of bool, shape (h, w)
    """

    plane: Plane
    origin: tuple[int, int]
    mask: NDArray[np.bool_]

    @property
    def box(self) -> Box:
        """(row0, col0, row1, col1) in the plane."""
        row, col = self.origin
        height, width = self.mask.shape
        return row, col, row + height, col + width

    def tight(self) -> PlacedMask | None:
        """Return the mask in its smallest box; None if it is empty."""
        box = mask_to_box(self.mask)
        if box is None:
            return None
        row0, col0, row1, col1 = box
        origin = (self.origin[0] + row0, self.origin[1] + col0)
        return PlacedMask(self.plane, origin, self.mask[row0:row1, col0:col1])


class LabelStore:
    """A label array of any number of axes and who is told of its changes.

    Parameters
    ----------
    data : array_like of int
        Read and written by slices: an ndarray, or a `SparseLabels`.
    changed : callable, optional
        Called with each patch after it was written.
    """

    def __init__(
        self, data: Any, changed: Callable[[Patch], None] | None = None
    ) -> None:
        self.data = data
        self._changed = changed

    def apply(self, patch: Patch) -> None:
        """Write a patch."""
        patch.plane.write(self.data, patch.box, patch.after)
        if self._changed is not None:
            self._changed(patch)

    def read(self, plane: Plane, box: Box) -> NDArray[Any]:
        """Return a copy of a box."""
        return plane.read(self.data, box)

    def sample(
        self, plane: Plane, rows: NDArray[np.intp], cols: NDArray[np.intp]
    ) -> NDArray[Any]:
        """Return the ids where rows and columns of a plane cross; no others are read.

        Parameters
        ----------
        plane : Plane
        rows, cols : ndarray of int
            Inside the plane, rising.

        Returns
        -------
        ndarray of int, shape (len(rows), len(cols))
        """
        evenly = _slice_of(rows), _slice_of(cols)
        places = [np.array([index], np.intp) for index in plane.point]
        places[plane.rows], places[plane.cols] = rows, cols
        if isinstance(self.data, SparseLabels):
            values = self.data.take(places)
        elif None in evenly:
            values = self.data[np.ix_(*places)]
        else:
            index: list[Any] = list(plane.point)
            index[plane.rows], index[plane.cols] = evenly
            values = self.data[tuple(index)]
        shape = (len(rows), len(cols))
        if plane.is_transposed:
            return np.asarray(values).reshape(shape[::-1]).T
        return np.asarray(values).reshape(shape)

    def value(self, plane: Plane, position: tuple[float, float]) -> int:
        """Return the id at a (row, col) pixel of a plane; 0 outside."""
        row, col = (round(each) for each in position)
        height, width = plane.size
        if not (0 <= row < height and 0 <= col < width):
            return 0
        return int(self.read(plane, (row, col, row + 1, col + 1))[0, 0])

    def mask(self, plane: Plane, box: Box, object_id: int) -> NDArray[np.bool_]:
        """Return where an object lies in a box."""
        inside: NDArray[np.bool_] = self.read(plane, box) == object_id
        return inside


def _slice_of(indices: NDArray[np.intp]) -> slice | None:
    """Return the slice of rising indices, which is no copy; None if it is none."""
    steps = np.diff(indices)
    if not len(steps) or steps[0] < 1 or (steps != steps[0]).any():
        return None
    return slice(int(indices[0]), int(indices[-1]) + 1, int(steps[0]))


def paint(
    store: LabelStore, placed: PlacedMask, object_id: int, rule: OverlapRule
) -> Patch:
    """Return the patch that adds an object.

    Parameters
    ----------
    store : LabelStore
        Not changed.
    placed : PlacedMask
    object_id : int
        Above 0.
    rule : {"keep", "overwrite", "background"}
        "keep" leaves pixels of other objects alone; "overwrite" takes them;
        "background" is "keep", and refuses a mask of which objects hold more than half.

    Raises
    ------
    DataError
        If nothing of the mask may be painted.
    """
    before = store.read(placed.plane, placed.box)
    foreign = (before != 0) & (before != object_id)
    allowed = placed.mask if rule == "overwrite" else placed.mask & ~foreign
    wanted, left = np.count_nonzero(placed.mask), np.count_nonzero(allowed)
    if left == 0 or (rule == "background" and 2 * left < wanted):
        raise DataError(
            "Other objects already cover this mask: choose 'overwrite', or refine the "
            "object that is there."
        )
    after = before.copy()
    after[before == object_id] = 0
    after[allowed] = object_id
    return Patch(placed.plane, placed.box, before, after)


def recolour(
    store: LabelStore, plane: Plane, box: Box, ids: dict[int, int]
) -> Patch | None:
    """Return the patch that gives objects other ids, 0 to erase; None if none is there.

    Parameters
    ----------
    store : LabelStore
        Not changed.
    plane : Plane
    box : tuple of int
        Where the objects lie.
    ids : dict of int to int
        New id of each.
    """
    before = store.read(plane, box)
    after = before.copy()
    for old, new in ids.items():
        after[before == old] = new
    return None if np.array_equal(before, after) else Patch(plane, box, before, after)
