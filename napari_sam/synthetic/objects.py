"""Arbitrary objects in colour, for what no other scene has."""

from __future__ import annotations

from math import pi

import numpy as np

from napari_sam.synthetic.colour import palette, record_colour
from napari_sam.synthetic.fields import FloatImage, fractal_noise, smooth_noise
from napari_sam.synthetic.optics import blur
from napari_sam.synthetic.placement import Maker, draw_count, draw_diameter, log_uniform
from napari_sam.synthetic.placement import scatter as scatter_objects
from napari_sam.synthetic.relief import Rng, dome, per_object
from napari_sam.synthetic.scene import Canvas, SyntheticScene
from napari_sam.synthetic.shapes import Outline, Point, blob, capsule, polygon, union


def _any_maker(rng: Rng) -> Maker:
    """Blobs, polygons, bars and clumps, in one style or all together."""
    style = int(rng.integers(0, 5))

    def make(centre: Point, diameter: float) -> Outline:
        pick = style if style < 4 else int(rng.integers(0, 4))
        aspect = log_uniform(rng, 1, 2.5)
        if pick == 0:
            wobble, lobes = rng.uniform(0, 0.3), int(rng.integers(3, 10))
            return blob(
                rng, centre, diameter, aspect=aspect, irregularity=wobble, lobes=lobes
            )
        if pick == 1:
            sides, soft = int(rng.integers(3, 9)), rng.uniform(0.02, 0.3)
            return polygon(
                rng, centre, diameter, sides=sides, aspect=aspect, rounding=soft
            )
        if pick == 2:
            bend, turn = rng.normal(0, 0.1), rng.uniform(0, pi)
            width = diameter / (1.2 + aspect) ** 0.5
            return capsule(centre, width * (1.2 + aspect), width, turn, bend=bend)
        return _clump(rng, centre, diameter)

    return make


def _clump(rng: Rng, centre: Point, diameter: float) -> Outline:
    whole = blob(rng, centre, diameter * 0.75, aspect=1.3, irregularity=0.1)
    for _ in range(int(rng.integers(1, 4))):
        turn, step = rng.uniform(0, 2 * pi), diameter * rng.uniform(0.2, 0.4)
        at = (
            centre[0] + step * float(np.sin(turn)),
            centre[1] + step * float(np.cos(turn)),
        )
        size = diameter * rng.uniform(0.3, 0.6)
        whole = union(whole, blob(rng, at, size, irregularity=0.1))
    return whole


def random_objects(rng: Rng, shape: tuple[int, int]) -> SyntheticScene:
    """Arbitrary shapes of arbitrary colour and texture on an arbitrary ground."""
    canvas, diameter = Canvas(shape), draw_diameter(rng, shape, 8)
    count = draw_count(rng, shape, diameter, (0.03, 0.7), most=80)
    scatter_objects(
        rng,
        canvas,
        _any_maker(rng),
        "object",
        diameter,
        count,
        spread=rng.uniform(0.05, 0.5),
        touching=rng.uniform(0, 0.7),
        overlap=rng.uniform(0.05, 0.4),
        on_top=True,
    )
    canvas.tidy()
    coats = _coats(rng, canvas, diameter)
    image = _shadowed(rng, canvas, _ground(rng, shape))
    image = np.where(canvas.labels[..., None] > 0, coats, image)
    if rng.random() < 0.35:
        image = image.mean(-1)[..., None] * np.ones(3, np.float32)
    image = np.clip(image, 0, 1).astype(np.float32)
    sigma = min(log_uniform(rng, 0.4, 1.8), diameter * 0.08)
    return record_colour(rng, canvas, image, "photograph", sigma)


def _ground(rng: Rng, shape: tuple[int, int]) -> FloatImage:
    """One random surface, or a patchwork of two: not every edge is an outline."""
    surface = _surface(rng, shape)
    if rng.random() < 0.6:
        return surface
    field = smooth_noise(rng, shape, log_uniform(rng, 20, max(shape)))
    field = field - np.float32(rng.uniform(-0.8, 0.8))
    patch = np.clip(0.5 + field * np.float32(log_uniform(rng, 0.7, 6)), 0, 1)[..., None]
    return np.asarray(surface * patch + _surface(rng, shape) * (1 - patch), np.float32)


def _surface(rng: Rng, shape: tuple[int, int]) -> FloatImage:
    """Two random colours mixed by a random texture, (H, W, 3)."""
    ends = rng.uniform(0.02, 0.98, (2, 3)).astype(np.float32)
    ends[1] = ends[0] + (ends[1] - ends[0]) * np.float32(log_uniform(rng, 0.03, 1))
    scale = log_uniform(rng, 2, max(shape))
    field = fractal_noise(rng, shape, scale, 4, rng.uniform(0.3, 0.9))
    mix = np.clip(0.5 + field * 0.3, 0, 1)[..., None]
    return np.asarray(ends[0] * (1 - mix) + ends[1] * mix, np.float32)


def _coats(rng: Rng, canvas: Canvas, diameter: float) -> FloatImage:
    """Colour, shading and texture of each object, (H, W, 3)."""
    count = len(canvas) + 1
    level = log_uniform(rng, 0.15, 1)
    colours = palette(rng, count, level, rng.choice([0.05, 0.2, 0.6]))
    coarse = fractal_noise(rng, canvas.shape, max(diameter * 0.4, 2), 3)
    fine = smooth_noise(rng, canvas.shape, max(diameter * 0.06, 1.2))
    rows, cols = canvas.axes()
    period = per_object(rng, canvas, 0.1, 0.4) * np.float32(diameter) + 2
    stripes = np.cos(rows / period * np.float32(2 * pi) + cols / period)
    amount = [per_object(rng, canvas, 0, 0.12, 0.5) for _ in range(3)]
    texture = amount[0] * coarse + amount[1] * fine + amount[2] * stripes
    solid = 1 - np.float32(rng.uniform(0, 0.6)) * (1 - dome(canvas, 0.5))
    slope = (rows + cols) / canvas.table(canvas.radii)
    shade = solid * (1 + np.float32(rng.uniform(-0.2, 0.2)) * np.clip(slope, -2, 2))
    return np.asarray(
        colours[canvas.labels] * (shade * np.maximum(1 + texture, 0.1))[..., None],
        np.float32,
    )


def _shadowed(rng: Rng, canvas: Canvas, ground: FloatImage) -> FloatImage:
    """Darken the ground beside the objects, as under a lamp."""
    if rng.random() < 0.5:
        return ground
    step = int(rng.integers(1, 7))
    shadow = blur(
        np.roll(canvas.labels > 0, (step, step), (0, 1)).astype(np.float32), 2
    )
    return ground * (1 - np.float32(rng.uniform(0.1, 0.6)) * shadow)[..., None]
