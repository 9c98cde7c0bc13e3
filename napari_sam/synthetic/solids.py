"""What grains, particles and debris look like."""

from __future__ import annotations

from math import exp, pi

import numpy as np

from napari_sam.synthetic.fields import FloatImage, fractal_noise
from napari_sam.synthetic.placement import Maker
from napari_sam.synthetic.relief import Rng, dome, per_object
from napari_sam.synthetic.scene import Canvas
from napari_sam.synthetic.shapes import (
    Outline,
    Point,
    blob,
    polygon,
)


def grain_maker(rng: Rng) -> Maker:
    """Polygons with worn corners."""
    sides, rounding = int(rng.integers(5, 10)), rng.uniform(0.04, 0.25)
    aspect = rng.uniform(1.0, 1.6)

    def make(centre: Point, diameter: float) -> Outline:
        stretch = max(aspect * exp(rng.normal(0, 0.15)), 1.0)
        return polygon(
            rng, centre, diameter, sides=sides, aspect=stretch, rounding=rounding
        )

    return make


def grain_relief(rng: Rng, canvas: Canvas, diameter: float) -> FloatImage:
    """A stone lit from one side, with a rough surface."""
    rows, cols = canvas.offsets()
    light, radius = rng.uniform(0, 2 * pi), canvas.table(canvas.radii)
    slope = (
        rows * np.float32(np.sin(light)) + cols * np.float32(np.cos(light))
    ) / radius
    rough = fractal_noise(rng, canvas.shape, max(diameter * 0.25, 2.0), 4, 0.8)
    shade = 0.75 - np.float32(rng.uniform(0.05, 0.3)) * np.clip(slope, -1.5, 1.5)
    shade = shade + np.float32(rng.uniform(0.03, 0.14)) * rough
    edge = np.clip(canvas.depth_pixels() / np.float32(max(diameter * 0.05, 1)), 0, 1)
    return np.asarray(
        (
            per_object(rng, canvas, 0.55, 1.0)
            * shade
            * (0.4 + 0.6 * edge)
            * (canvas.labels > 0)
        ),
        np.float32,
    )


def particle_maker(rng: Rng) -> Maker:
    """Circles, or all slightly oval."""
    aspect = rng.choice([1.0, 1.0, 1.3])

    def make(centre: Point, diameter: float) -> Outline:
        stretch = max(aspect * exp(rng.normal(0, 0.03)), 1.0)
        return blob(rng, centre, diameter, aspect=stretch)

    return make


def particle_relief(rng: Rng, canvas: Canvas, diameter: float) -> FloatImage:
    """A sphere under an electron beam: brighter towards its edge, or a solid ball."""
    level = per_object(rng, canvas, 0.75, 1.0)
    if rng.random() < 0.5:
        edge = (
            np.float32(rng.uniform(0.2, 0.6)) * (1 - np.clip(canvas.depth, 0, 1)) ** 2
        )
        return level * (0.6 + edge) * (canvas.labels > 0)
    return level * dome(canvas, rng.uniform(0.2, 0.6))


def debris_maker(rng: Rng) -> Maker:
    """Ragged splinters."""

    def make(centre: Point, diameter: float) -> Outline:
        return blob(
            rng,
            centre,
            diameter,
            aspect=rng.uniform(1, 2.5),
            irregularity=0.35,
            lobes=9,
        )

    return make


def debris_relief(rng: Rng, canvas: Canvas, diameter: float) -> FloatImage:
    """A ragged scrap with hard, uneven tone."""
    rough = fractal_noise(rng, canvas.shape, max(diameter * 0.15, 1.2), 2)
    tone = np.clip(0.9 + np.float32(0.4) * rough, 0.2, 1.6)
    return np.asarray(
        per_object(rng, canvas, 0.6, 1.2) * tone * (canvas.labels > 0), np.float32
    )
