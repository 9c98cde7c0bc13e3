"""Where objects go: how many, how large, alone or touching a neighbour."""

from __future__ import annotations

from collections.abc import Callable
from math import cos, exp, log, pi, sin

import numpy as np

from napari_sam.synthetic.scene import Canvas
from napari_sam.synthetic.shapes import Outline, Point

Maker = Callable[[Point, float], Outline]
"""Makes an object from its centre (row, col) and diameter in pixels."""

SMALLEST, LARGEST = 6.0, 200.0
MOST_OBJECTS = 140


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw a number between `low` and `high` with every magnitude as likely."""
    return exp(rng.uniform(log(low), log(max(high, low))))


def draw_diameter(
    rng: np.random.Generator,
    shape: tuple[int, int],
    low: float = SMALLEST,
    high: float = LARGEST,
) -> float:
    """Draw a typical object size in pixels that still fits the image."""
    return log_uniform(rng, low, max(min(high, 0.8 * min(shape)), low))


def draw_count(
    rng: np.random.Generator,
    shape: tuple[int, int],
    diameter: float,
    coverage: tuple[float, float] = (0.05, 0.5),
    most: int = MOST_OBJECTS,
) -> int:
    """Draw how many objects cover about that part of the image (one at least)."""
    area = shape[0] * shape[1] / (pi / 4 * diameter**2)
    return int(np.clip(log_uniform(rng, *coverage) * area, 1, most))


def scatter(
    rng: np.random.Generator,
    canvas: Canvas,
    make: Maker,
    word: str,
    diameter: float,
    count: int,
    *,
    spread: float = 0.2,
    touching: float = 0.4,
    overlap: float = 0.12,
    on_top: bool = False,
) -> list[int]:
    """Put up to `count` objects and return their ids.

    Parameters
    ----------
    diameter : float
        Their typical size in pixels.
    spread : float
        Relative deviation of the size (log-normal).
    touching : float
        Chance that an object goes beside one of its kind.
    overlap : float
        Largest hidden part of an object.
    on_top : bool
        Later objects hide earlier ones.
    """
    placed: list[int] = []
    for _ in range(2 * count):
        if len(placed) == count:
            break
        size = diameter * exp(rng.normal(0, spread))
        if placed and rng.random() < touching:
            centre = _beside(rng, canvas, placed, size)
        else:
            centre = _anywhere(rng, canvas.shape, size if placed else -size)
        added = canvas.put(make(centre, size), word, overlap=overlap, on_top=on_top)
        if added:
            placed.append(added)
    return placed


def _anywhere(rng: np.random.Generator, shape: tuple[int, int], size: float) -> Point:
    """Draw a centre up to a quarter of `size` outside (the first object: inside)."""
    margin = max(size / 4, -0.4 * min(shape))
    return (
        rng.uniform(-margin, shape[0] + margin),
        rng.uniform(-margin, shape[1] + margin),
    )


def _beside(
    rng: np.random.Generator, canvas: Canvas, placed: list[int], size: float
) -> Point:
    other = placed[int(rng.integers(len(placed)))]
    row, col = canvas.centres[other]
    distance = (canvas.radii[other] + size / 2) * rng.uniform(0.85, 1.15)
    direction = rng.uniform(0, 2 * pi)
    return row + distance * sin(direction), col + distance * cos(direction)
