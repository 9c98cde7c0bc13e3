"""Smooth random fields and cell-like partitions of the plane."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from math import ceil

import numpy as np
from numpy.typing import NDArray

FloatImage = NDArray[np.float32]


def smooth_noise(
    rng: np.random.Generator,
    shape: tuple[int, int],
    scale: float | tuple[float, float],
) -> FloatImage:
    """Random field of zero mean and unit deviation with features of about `scale` px.

    Random coefficients of a cubic B-spline on a coarse grid: two small matrix
    products, far cheaper than blurring white noise.
    """
    scales = (scale, scale) if isinstance(scale, int | float) else scale
    rows = _spline_weights(shape[0], _knots(shape[0], scales[0]))
    cols = _spline_weights(shape[1], _knots(shape[1], scales[1]))
    knots = (rows.shape[1], cols.shape[1])
    coefficients = rng.standard_normal(knots, dtype=np.float32) * np.float32(2.086)
    return np.asarray(rows @ coefficients @ cols.T, np.float32)


def fractal_noise(
    rng: np.random.Generator,
    shape: tuple[int, int],
    scale: float,
    octaves: int = 3,
    gain: float = 0.6,
) -> FloatImage:
    """Sum of smooth fields of ever finer scale and weight, of unit deviation."""
    total = np.zeros(shape, np.float32)
    power = 0.0
    for octave in range(octaves):
        weight = gain**octave
        total += weight * smooth_noise(rng, shape, max(scale / 2**octave, 1.0))
        power += weight**2
    return total / np.float32(power**0.5)


def white_noise(rng: np.random.Generator, shape: tuple[int, ...]) -> FloatImage:
    """Independent normal values of unit deviation."""
    return rng.standard_normal(shape, dtype=np.float32)


def partition(
    rng: np.random.Generator,
    shape: tuple[int, int],
    diameter: float,
    warp: float = 0.25,
    variety: float = 0.3,
    merged: float = 0.0,
) -> tuple[NDArray[np.int32], FloatImage, NDArray[np.float32]]:
    """Cut the plane into cells with curved borders, after Worley's cellular noise.

    One seed in each square of a grid, so that each pixel looks at nine seeds whatever
    their number (S. Worley, A cellular texture basis function, 1996).
    `warp` bends the borders, `variety` spreads the sizes, `merged` is the chance
    that a cell joins its neighbour, which makes elongated and bent cells.

    Returns
    -------
    ids : ndarray, int32, (H, W)
        1..n.
    edge : ndarray, float32, (H, W)
        Distance to the nearest border between two cells, in pixels, roughly.
    seeds : ndarray, float32, (n + 1, 2)
        (row, col) of each id, row 0 unused.
    """
    grid = (ceil(shape[0] / diameter) + 4, ceil(shape[1] / diameter) + 4)
    jitter = rng.random((*grid, 2), dtype=np.float32)
    weights = rng.random(grid, dtype=np.float32) * np.float32(variety)
    rows, cols = _warped_grid(rng, shape, diameter, warp)
    corner = np.stack(np.meshgrid(*map(np.arange, grid), indexing="ij"), -1)
    points = (corner + jitter).astype(np.float32).reshape(-1, 2)
    groups = _join_cells(rng, grid, merged)
    position = (rows, cols)
    nearest = _nearest(position, points, weights)
    border = _border_distance(position, points, weights, groups, nearest)
    edge = np.float32(diameter) * border
    ids = (groups[nearest[0]] + 1).astype(np.int32)
    seeds = np.concatenate([np.zeros((1, 2)), (points - 2) * diameter])
    return ids, edge, seeds.astype(np.float32)


def _join_cells(
    rng: np.random.Generator, grid: tuple[int, int], chance: float
) -> NDArray[np.int32]:
    """Which cell each cell of the grid belongs to: itself, or the next in its row."""
    groups = np.arange(grid[0] * grid[1], dtype=np.int32)
    joins = rng.random(grid) < chance
    joins[:, 0] = False
    for index in np.flatnonzero(joins):
        groups[index] = groups[index - 1]
    return groups


def _warped_grid(
    rng: np.random.Generator, shape: tuple[int, int], diameter: float, warp: float
) -> tuple[FloatImage, FloatImage]:
    rows = np.arange(shape[0], dtype=np.float32)[:, None] / np.float32(diameter) + 2
    cols = np.arange(shape[1], dtype=np.float32)[None, :] / np.float32(diameter) + 2
    bend = np.float32(warp * 0.5)
    rows = rows + bend * smooth_noise(rng, shape, diameter * 0.6)
    cols = cols + bend * smooth_noise(rng, shape, diameter * 0.6)
    return rows, cols


def _nearest(
    position: tuple[FloatImage, FloatImage],
    points: NDArray[np.float32],
    weights: NDArray[np.float32],
) -> tuple[NDArray[np.int32], FloatImage]:
    """Index of the nearest seed and its squared distance, weights added."""
    first = np.zeros(position[0].shape, np.int32)
    near = np.full(position[0].shape, 99, np.float32)
    for index, distance in _around(position, points, weights):
        closer = distance < near
        first = np.where(closer, index, first)
        near = np.minimum(near, distance)
    return first, near


def _border_distance(
    position: tuple[FloatImage, FloatImage],
    points: NDArray[np.float32],
    weights: NDArray[np.float32],
    groups: NDArray[np.int32],
    nearest: tuple[NDArray[np.int32], FloatImage],
) -> FloatImage:
    """Distance to the closest of the lines halfway to seeds of other groups."""
    first, near = nearest
    own, rows, cols = groups[first], points[:, 0][first], points[:, 1][first]
    border = np.full(near.shape, 9, np.float32)
    for index, distance in _around(position, points, weights):
        apart = np.hypot(points[:, 0][index] - rows, points[:, 1][index] - cols)
        to_line = (distance - near) / (2 * np.maximum(apart, np.float32(0.05)))
        other = groups[index] != own
        border = np.where(other, np.minimum(border, to_line), border)
    return border


def _around(
    position: tuple[FloatImage, FloatImage],
    points: NDArray[np.float32],
    weights: NDArray[np.float32],
) -> Iterator[tuple[NDArray[np.int32], FloatImage]]:
    """The seeds of the nine cells around each pixel and their squared distances."""
    rows, cols = position
    height, width = weights.shape
    cell_row = np.floor(rows).astype(np.int32)
    cell_col = np.floor(cols).astype(np.int32)
    point_rows, point_cols, extra = points[:, 0], points[:, 1], weights.ravel()
    for row_step, col_step in _NEIGHBOURS:
        row = np.clip(cell_row + row_step, 0, height - 1)
        index = row * width + np.clip(cell_col + col_step, 0, width - 1)
        distance = (rows - point_rows[index]) ** 2 + (cols - point_cols[index]) ** 2
        yield index, distance + extra[index]


_NEIGHBOURS = [(r, c) for r in (0, -1, 1) for c in (0, -1, 1)]


def _knots(length: int, scale: float) -> int:
    return max(ceil(length / max(scale, 1.0)), 1)


@lru_cache(maxsize=512)
def _spline_weights(length: int, spans: int) -> FloatImage:
    """Cubic B-spline weights (length, spans + 3) of each pixel for each knot."""
    position = (np.arange(length) + 0.5) / length * spans
    first = np.minimum(position.astype(int), spans - 1)
    t = position - first
    values = (
        (1 - t) ** 3 / 6,
        (3 * t**3 - 6 * t**2 + 4) / 6,
        (-3 * t**3 + 3 * t**2 + 3 * t + 1) / 6,
        t**3 / 6,
    )
    weights = np.zeros((length, spans + 3), np.float32)
    for k, value in enumerate(values):
        weights[np.arange(length), first + k] = value
    return weights
