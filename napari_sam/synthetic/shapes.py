"""Outlines of single objects: depth maps on the smallest window that holds them."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil, cos, floor, hypot, pi, sin, sqrt

import numpy as np
from numpy.typing import NDArray

FloatImage = NDArray[np.float32]
Point = tuple[float, float]

_TABLE = 256


@dataclass(frozen=True)
class Outline:
    """One object: a window of an image and how deep each pixel is inside.

    Attributes
    ----------
    top, left : int
        Full-image position of the window; may be negative.
    depth : ndarray, float32, (h, w)
        1 in the middle, 0 at the outline, below 0 outside.
    centre : tuple of float
        (row, col) in the full image.
    radius : float
        Half of the smaller width, in pixels.
    angle : float
        Of the long axis from the columns' direction, in radians.
    """

    top: int
    left: int
    depth: FloatImage
    centre: Point
    radius: float
    angle: float


def blob(
    rng: np.random.Generator,
    centre: Point,
    diameter: float,
    *,
    aspect: float = 1.0,
    irregularity: float = 0.0,
    lobes: int = 5,
    angle: float | None = None,
) -> Outline:
    """Make a star-convex shape: an ellipse whose radius wobbles with the direction.

    `irregularity` is about the relative size of the wobble, `lobes` its finest
    harmonic. The area is about that of a circle of this diameter.
    """
    turn = rng.uniform(0, pi) if angle is None else angle
    radius = _wobble(rng, irregularity, lobes)
    long, short = diameter / 2 * sqrt(aspect), diameter / 2 / sqrt(aspect)
    reach = float(radius.max())
    height = hypot(long * sin(turn), short * cos(turn)) * reach
    width = hypot(long * cos(turn), short * sin(turn)) * reach
    top, left, along, across = _frame(centre, height, width, turn)
    along, across = along / long, across / short
    if irregularity == 0:
        depth = 1 - np.sqrt(along * along + across * across)
    else:
        bins = (np.arctan2(across, along) + np.float32(pi)) * (_TABLE / (2 * pi))
        bound = radius[bins.astype(np.int32) % _TABLE]
        depth = 1 - np.sqrt(along * along + across * across) / bound
    return Outline(top, left, depth, centre, short, turn)


def capsule(
    centre: Point,
    length: float,
    width: float,
    angle: float,
    *,
    bend: float = 0.0,
    waist: float = 0.0,
) -> Outline:
    """Make a rod with round ends.

    `bend` is the sagitta as part of the length, `waist` how much narrower its
    middle is (a septum before division).
    """
    extra = abs(bend) * length
    height = abs(sin(angle)) * length / 2 + abs(cos(angle)) * extra + width / 2
    across_cols = abs(cos(angle)) * length / 2 + abs(sin(angle)) * extra + width / 2
    top, left, along, aside = _frame(centre, height, across_cols, angle)
    straight = max((length - width) / 2, 0.0)
    across = aside - 4 * bend / max(length, 1) * along * along + bend * length / 2
    beyond = np.maximum(np.abs(along) - straight, 0)
    half = width / 2
    distance = np.sqrt(beyond * beyond + across * across) / half
    if waist:
        distance = distance / (1 - waist * np.exp(-((along / half) ** 2)))
    return Outline(top, left, np.asarray(1 - distance, np.float32), centre, half, angle)


def polygon(
    rng: np.random.Generator,
    centre: Point,
    diameter: float,
    *,
    sides: int = 6,
    aspect: float = 1.0,
    rounding: float = 0.1,
) -> Outline:
    """Make a convex polygon with softened corners, such as a crystal or a pebble."""
    turn = rng.uniform(0, pi)
    long, short = diameter / 2 * sqrt(aspect), diameter / 2 / sqrt(aspect)
    reach = max(long, short) * 1.7
    top, left, along, across = _frame(centre, reach, reach, turn)
    along, across = along / long, across / short
    directions = (np.arange(sides) + rng.uniform(-0.3, 0.3, sides)) * (2 * pi / sides)
    bounds = rng.uniform(0.75, 1.05, sides)
    total = np.zeros(np.broadcast_shapes(along.shape, across.shape), np.float32)
    sharp = 1 / max(rounding, 0.02)
    for direction, bound in zip(directions.tolist(), bounds.tolist(), strict=True):
        plane = (along * cos(direction) + across * sin(direction)) / bound
        total += np.exp(np.minimum((plane - 1) * sharp, 30))
    depth = -np.log(total + 1e-12) / sharp
    return Outline(top, left, depth, centre, short * 0.9, turn)


def union(first: Outline, second: Outline) -> Outline:
    """Both shapes as one object, with the first one's centre, radius and angle."""
    top, left = min(first.top, second.top), min(first.left, second.left)
    bottom = max(o.top + o.depth.shape[0] for o in (first, second))
    right = max(o.left + o.depth.shape[1] for o in (first, second))
    depth = np.full((bottom - top, right - left), -1, np.float32)
    for outline in (first, second):
        height, width = outline.depth.shape
        row, col = outline.top - top, outline.left - left
        part = depth[row : row + height, col : col + width]
        np.maximum(part, outline.depth, out=part)
    return Outline(top, left, depth, first.centre, first.radius, first.angle)


def tube(points: NDArray[np.float64], radii: NDArray[np.float64]) -> Outline:
    """Make the band around a path.

    Parameters
    ----------
    points : ndarray, (n, 2)
        (row, col) of the path, closer together than its radius.
    radii : ndarray, (n,)
        Half of the width at each of them, in pixels.
    """
    reach = float(radii.max()) + 1
    top, left = (floor(float(v)) for v in points.min(0) - reach)
    bottom, right = (ceil(float(v)) + 1 for v in points.max(0) + reach)
    depth = np.full((bottom - top, right - left), -1, np.float32)
    for (row, col), radius in zip(points.tolist(), radii.tolist(), strict=True):
        _stamp_disc(depth, row - top, col - left, radius)
    middle = points[len(points) // 2]
    step = points[-1] - points[0]
    return Outline(
        top,
        left,
        depth,
        (float(middle[0]), float(middle[1])),
        float(radii.mean()),
        float(np.arctan2(step[0], step[1])),
    )


def wandering_path(
    rng: np.random.Generator,
    start: Point,
    length: float,
    step: float,
    curvature: float,
) -> NDArray[np.float64]:
    """Make a smooth random path of about this length around `start`.

    `curvature` is about the total turn along the path, in radians.
    Returns (n, 2) points (row, col), `step` pixels apart.
    """
    count = max(int(length / step), 4)
    bends = np.cumsum(rng.normal(0, 1, count))
    bends = bends - bends.mean()
    scale = curvature / max(float(np.abs(np.cumsum(bends)).max()), 1e-6)
    heading = rng.uniform(0, 2 * pi) + np.cumsum(bends) * scale
    moves = np.stack([np.sin(heading), np.cos(heading)], 1) * step
    path = np.cumsum(moves, 0)
    return np.asarray(path - path[count // 2] + np.asarray(start), np.float64)


def _stamp_disc(depth: FloatImage, row: float, col: float, radius: float) -> None:
    top, left = max(floor(row - radius), 0), max(floor(col - radius), 0)
    part = depth[top : ceil(row + radius) + 1, left : ceil(col + radius) + 1]
    rows = np.arange(top, top + part.shape[0], dtype=np.float32)[:, None] - row
    cols = np.arange(left, left + part.shape[1], dtype=np.float32)[None, :] - col
    np.maximum(part, 1 - np.sqrt(rows * rows + cols * cols) / radius, out=part)


def _wobble(rng: np.random.Generator, amount: float, lobes: int) -> FloatImage:
    theta = np.arange(_TABLE, dtype=np.float32) * np.float32(2 * pi / _TABLE)
    radius = np.ones(_TABLE, np.float32)
    for k in range(2, lobes + 1):
        height = rng.normal(0, amount / sqrt(k))
        radius += height * np.cos(k * theta + rng.uniform(0, 2 * pi))
    return np.clip(radius, 0.35, 2.2)


def _frame(
    centre: Point, half_height: float, half_width: float, turn: float
) -> tuple[int, int, FloatImage, FloatImage]:
    top, left = floor(centre[0] - half_height), floor(centre[1] - half_width)
    bottom, right = ceil(centre[0] + half_height), ceil(centre[1] + half_width)
    rows = np.arange(top, bottom + 1, dtype=np.float32)[:, None] - centre[0]
    cols = np.arange(left, right + 1, dtype=np.float32)[None, :] - centre[1]
    along = cols * cos(turn) + rows * sin(turn)
    across = rows * cos(turn) - cols * sin(turn)
    return top, left, along, across
