"""What bacteria, yeast and worms look like."""

from __future__ import annotations

from math import pi

import numpy as np

from napari_sam.synthetic.fields import FloatImage, fractal_noise, smooth_noise
from napari_sam.synthetic.placement import Maker
from napari_sam.synthetic.relief import Rng, dome, per_object, rim
from napari_sam.synthetic.scene import Canvas
from napari_sam.synthetic.shapes import (
    Outline,
    Point,
    blob,
    capsule,
    tube,
    union,
    wandering_path,
)


def rod_maker(rng: Rng) -> Maker:
    """Rods of a common length, bent or not, some with a septum."""
    aspect, bend = rng.uniform(1.8, 4.5), rng.uniform(0.0, 0.12)
    common = rng.uniform(0, pi)
    aligned = rng.choice([0.15, 0.5, 3.0])

    def make(centre: Point, diameter: float) -> Outline:
        ratio = max(aspect * rng.uniform(0.65, 1.35), 1.3)
        # `diameter` is that of a disc of the same area, as for every kind.
        width = diameter * (pi / 4 / (ratio - 1 + pi / 4)) ** 0.5
        turn = common + rng.normal(0, aligned)
        waist = rng.uniform(0.1, 0.35) if rng.random() < 0.3 else 0.0
        sagitta = rng.normal(0, bend)
        return capsule(centre, width * ratio, width, turn, bend=sagitta, waist=waist)

    return make


def rod_relief(rng: Rng, canvas: Canvas, diameter: float) -> FloatImage:
    """A rod bacterium: filled, or a dark wall around a clearer body, or two poles."""
    level = per_object(rng, canvas, 0.7, 1.0, rng.uniform(0, 0.25))
    wall = rim(canvas, max(diameter * 0.08, 0.9), max(diameter * 0.05, 0.6))
    body = dome(canvas, rng.uniform(0.3, 0.8)) * np.float32(rng.uniform(0.4, 1.0))
    relief = np.maximum(wall * np.float32(rng.uniform(0.0, 1.0)), body)
    if rng.random() < 0.4:
        texture = smooth_noise(rng, canvas.shape, max(diameter * 0.25, 1.5))
        relief = relief * np.maximum(1 + np.float32(0.3) * texture, 0.2)
    return np.asarray(level * relief, np.float32)


def coccus_maker(rng: Rng) -> Maker:
    """Near circles."""

    def make(centre: Point, diameter: float) -> Outline:
        return blob(rng, centre, diameter, aspect=rng.uniform(1.0, 1.15))

    return make


def coccus_relief(rng: Rng, canvas: Canvas, diameter: float) -> FloatImage:
    """A small sphere, filled or with a stronger wall."""
    level = per_object(rng, canvas, 0.75, 1.0, 0.1)
    wall = rim(canvas, max(diameter * 0.1, 0.8), max(diameter * 0.06, 0.5))
    body = dome(canvas, rng.uniform(0.3, 1.0))
    return np.asarray(
        level * np.maximum(body, wall * np.float32(rng.uniform(0, 1))), np.float32
    )


def yeast_maker(rng: Rng) -> Maker:
    """Ellipses, some with a bud."""
    aspect, budding = rng.uniform(1.0, 1.4), rng.uniform(0.1, 0.6)

    def make(centre: Point, diameter: float) -> Outline:
        mother = blob(rng, centre, diameter, aspect=aspect, irregularity=0.02)
        if rng.random() > budding:
            return mother
        size = diameter * rng.uniform(0.3, 0.6)
        direction = rng.uniform(0, 2 * pi)
        step = (mother.radius + size / 2) * 0.93
        beside = (
            centre[0] + step * float(np.sin(direction)),
            centre[1] + step * float(np.cos(direction)),
        )
        return union(mother, blob(rng, beside, size, aspect=1.1, angle=direction))

    return make


def yeast_relief(rng: Rng, canvas: Canvas, diameter: float) -> FloatImage:
    """A ring-like wall, a body of another tone and a vacuole."""
    width = max(diameter * rng.uniform(0.04, 0.09), 0.8)
    wall = rim(canvas, width, width * 1.2)
    body = np.clip(canvas.depth * 4, 0, 1) * np.float32(rng.uniform(-0.5, 0.45))
    rows, cols = canvas.offsets()
    radius = canvas.table(canvas.radii)
    shift_row = per_object(rng, canvas, -0.35, 0.35) * radius
    shift_col = per_object(rng, canvas, -0.35, 0.35) * radius
    size = per_object(rng, canvas, 0.25, 0.5) * radius
    distance = np.sqrt((rows - shift_row) ** 2 + (cols - shift_col) ** 2) / size
    vacuole = np.exp(-(distance**4)) * np.clip(canvas.depth * 6, 0, 1)
    grain = smooth_noise(rng, canvas.shape, max(diameter * 0.1, 1.5)) * np.float32(0.08)
    relief = wall + body + vacuole * np.float32(rng.uniform(-0.4, 0.4))
    return np.asarray((relief + grain) * (canvas.labels > 0), np.float32)


def worm_maker(rng: Rng) -> Maker:
    """Curled bands with a blunt head and a pointed tail."""
    thin, curl = rng.uniform(0.07, 0.13), rng.uniform(0.8, 3.5)

    def make(centre: Point, diameter: float) -> Outline:
        radius = max(diameter * thin, 2.0)
        length = max(diameter * rng.uniform(1.6, 2.6), 6 * radius)
        path = wandering_path(rng, centre, length, radius * 0.5, curl)
        t = np.linspace(0, 1, len(path))
        taper = np.clip(np.minimum(t * 5 + 0.45, (1 - t) * 3 + 0.12), 0, 1)
        return tube(path, radius * taper)

    return make


def worm_relief(rng: Rng, canvas: Canvas, diameter: float) -> FloatImage:
    """A nematode: sharp cuticle, a granular gut along the middle."""
    cuticle = rim(canvas, max(diameter * 0.02, 0.9), max(diameter * 0.015, 0.7))
    body = dome(canvas, 0.4) * per_object(rng, canvas, 0.3, 0.7)
    grain = fractal_noise(rng, canvas.shape, max(diameter * 0.07, 1.5), 2)
    gut = np.clip((canvas.depth - 0.4) * 3, 0, 1) * (0.35 + np.float32(0.25) * grain)
    return np.asarray(np.maximum(cuticle, body + gut) * (canvas.labels > 0), np.float32)
