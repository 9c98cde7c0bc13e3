"""What nuclei and cells look like."""

from __future__ import annotations

from math import exp, pi

import numpy as np

from napari_sam.synthetic.fields import FloatImage, fractal_noise, smooth_noise
from napari_sam.synthetic.placement import Maker
from napari_sam.synthetic.relief import Rng, dome, per_object
from napari_sam.synthetic.scene import Canvas
from napari_sam.synthetic.shapes import (
    Outline,
    Point,
    blob,
    tube,
    union,
)


def nucleus_maker(rng: Rng) -> Maker:
    """Ellipses of a common stretch and roughness."""
    aspect, wobble = rng.uniform(1.0, 1.9), rng.uniform(0.0, 0.12)
    lobes = int(rng.integers(3, 6))

    def make(centre: Point, diameter: float) -> Outline:
        return blob(
            rng,
            centre,
            diameter,
            aspect=max(aspect * exp(rng.normal(0, 0.15)), 1.0),
            irregularity=wobble,
            lobes=lobes,
        )

    return make


def nucleus_relief(rng: Rng, canvas: Canvas, diameter: float) -> FloatImage:
    """Chromatin: a filled dome with coarse texture, dark nucleoli, bright spots."""
    level = per_object(rng, canvas, 0.6, 1.0, rng.uniform(0.0, 0.45))
    relief = dome(canvas, rng.uniform(0.1, 0.6))
    texture = fractal_noise(rng, canvas.shape, max(diameter * 0.18, 1.5), 3)
    relief = relief * np.maximum(1 + np.float32(rng.uniform(0, 0.3)) * texture, 0.15)
    if rng.random() < 0.5:
        spots = smooth_noise(rng, canvas.shape, max(diameter * 0.14, 1.5))
        sign = rng.choice([-0.5, -0.3, 0.5, 0.9])
        relief = relief * (1 + np.float32(sign) * np.clip(spots * 2 - 2.4, 0, 1))
    return np.asarray(level * relief, np.float32)


def cell_maker(rng: Rng) -> Maker:
    """Round to drawn-out cells, some with arms, some rounded up."""
    aspect, wobble = rng.uniform(1.0, 2.4), rng.uniform(0.05, 0.2)
    lobes, arms = int(rng.integers(4, 8)), rng.uniform(0, 3.5)

    def make(centre: Point, diameter: float) -> Outline:
        stretch = max(aspect * exp(rng.normal(0, 0.3)), 1.0)
        if rng.random() < 0.12:
            return blob(rng, centre, diameter * 0.7, irregularity=0.03)
        cell = blob(
            rng, centre, diameter, aspect=stretch, irregularity=wobble, lobes=lobes
        )
        for _ in range(int(rng.poisson(arms))):
            cell = union(cell, _protrusion(rng, cell, diameter))
        return cell

    return make


def _protrusion(rng: Rng, cell: Outline, diameter: float) -> Outline:
    """A tapering arm from inside the cell outwards, mostly along its long axis."""
    length = diameter * rng.uniform(0.5, 1.1)
    heading = cell.angle + pi * int(rng.integers(0, 2)) + rng.normal(0, 0.5)
    base = max(cell.radius * rng.uniform(0.3, 0.7), 1.5)
    count = max(int(2 * length / base), 6)
    t = np.linspace(0, 1, count)
    turns = heading + rng.normal(0, 0.5) * t
    path = np.cumsum(np.stack([np.sin(turns), np.cos(turns)], 1), 0) * (length / count)
    return tube(path + np.asarray(cell.centre), np.maximum(base * (1 - t), 0.8))


def cell_relief(rng: Rng, canvas: Canvas, diameter: float) -> FloatImage:
    """Cytoplasm with granules, thicker around a nucleus with nucleoli."""
    shape = canvas.shape
    granules = fractal_noise(rng, shape, max(diameter * 0.08, 1.2), 2)
    relief = dome(canvas, rng.uniform(0.1, 0.4))
    relief = relief * (0.7 + np.float32(rng.uniform(0.05, 0.25)) * granules)
    along, across = canvas.axes()
    radius = canvas.table(canvas.radii) * np.float32(rng.uniform(0.4, 0.65))
    distance = np.sqrt((along / (1.3 * radius)) ** 2 + (across / radius) ** 2)
    bump = np.clip((1 - distance) * 4, 0, 1) * (canvas.labels > 0)
    relief = relief + bump * np.float32(rng.uniform(-0.3, 0.4))
    nucleoli = np.clip(smooth_noise(rng, shape, max(diameter * 0.06, 1.5)) - 1.2, 0, 1)
    relief = relief + bump * nucleoli * np.float32(rng.uniform(0.2, 0.9))
    return np.asarray(per_object(rng, canvas, 0.6, 1.1) * relief, np.float32)
