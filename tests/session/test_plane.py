"""A plane of an nD array reads, writes and places positions as NumPy would."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from napari_sam.session.plane import Plane

SHAPE = (3, 4, 5, 6)
AXES = list(itertools.permutations(range(4), 2))


def plane_of(rows: int, cols: int) -> Plane:
    point = tuple(0 if axis in (rows, cols) else axis % 3 for axis in range(4))
    return Plane(SHAPE, rows, cols, point)


@pytest.mark.parametrize(("rows", "cols"), AXES)
def test_read_agrees_with_positions(rows: int, cols: int) -> None:
    array = np.arange(np.prod(SHAPE)).reshape(SHAPE)
    plane = plane_of(rows, cols)
    height, width = plane.size
    values = plane.read(array, (1, 1, height, width))
    assert values.shape == (height - 1, width - 1)
    for row, col in itertools.product(range(height - 1), range(width - 1)):
        place = plane.to_array(np.array([[row + 1, col + 1]]))[0].astype(int)
        assert values[row, col] == array[tuple(place)]


@pytest.mark.parametrize(("rows", "cols"), AXES)
def test_write_is_read_back_and_stays_in_the_box(rows: int, cols: int) -> None:
    array = np.zeros(SHAPE, int)
    plane = plane_of(rows, cols)
    plane.write(array, (1, 0, 3, 2), np.array([[1, 2], [3, 4]]))
    assert plane.read(array, (1, 0, 3, 2)).tolist() == [[1, 2], [3, 4]]
    assert np.count_nonzero(array) == 4


def test_positions_go_there_and_back() -> None:
    plane = plane_of(3, 1)
    positions = np.array([[4.5, 2.0], [0.0, 1.25]])
    placed = plane.to_array(positions)
    assert placed[:, [0, 2]].tolist() == [[0, 2], [0, 2]]
    assert plane.from_array(placed).tolist() == positions.tolist()
    assert plane.holds(placed[0])
    assert not plane.holds(placed[0] + [1, 0, 0, 0])
