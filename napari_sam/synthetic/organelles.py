"""What mitochondria, vesicles, membranes and filaments look like."""

from __future__ import annotations

from math import exp, pi

import numpy as np

from napari_sam.synthetic.fields import FloatImage, smooth_noise
from napari_sam.synthetic.placement import Maker
from napari_sam.synthetic.relief import Rng, dome, per_object, rim
from napari_sam.synthetic.scene import Canvas
from napari_sam.synthetic.shapes import (
    Outline,
    Point,
    blob,
    capsule,
    tube,
    wandering_path,
)


def mitochondrion_maker(rng: Rng) -> Maker:
    """Beans and bars."""
    aspect, wobble = rng.uniform(1.2, 3.2), rng.uniform(0.02, 0.09)

    def make(centre: Point, diameter: float) -> Outline:
        ratio = max(aspect * exp(rng.normal(0, 0.3)), 1.0)
        if ratio > 2:
            width = diameter / ratio**0.5
            sagitta = rng.normal(0, 0.12)
            turn = rng.uniform(0, pi)
            return capsule(centre, width * ratio, width, turn, bend=sagitta)
        return blob(rng, centre, diameter, aspect=ratio, irregularity=wobble, lobes=4)

    return make


def mitochondrion_relief(rng: Rng, canvas: Canvas, diameter: float) -> FloatImage:
    """Double membrane, dense matrix and cristae across the long axis."""
    line = float(np.clip(diameter * 0.035, 0.8, 3.5))
    outer, inner = rim(canvas, line, line), rim(canvas, line * 0.8, line * 3.4)
    inside = np.clip((canvas.depth_pixels() - line * 4) / line, 0, 1)
    along, _ = canvas.axes()
    spacing = max(diameter * rng.uniform(0.1, 0.18), 3.0)
    warp = smooth_noise(rng, canvas.shape, max(diameter * 0.25, 3.0))
    phase = along / np.float32(spacing) + np.float32(0.25) * warp
    stripes = np.cos(np.float32(2 * pi) * phase + per_object(rng, canvas, 0, 6.3))
    broken = smooth_noise(rng, canvas.shape, (spacing * 1.5, spacing * 1.5))
    cristae = np.clip(stripes * 1.6 - 0.5, 0, 1) * np.clip(broken + 1.4, 0, 1) * inside
    matrix = np.clip(canvas.depth * 6, 0, 1) * per_object(rng, canvas, 0.3, 0.5)
    lines = np.maximum(outer, np.maximum(inner * 0.8, cristae * 0.75))
    return np.asarray(np.maximum(matrix, lines) * (canvas.labels > 0), np.float32)


def vesicle_maker(rng: Rng) -> Maker:
    """Near circles."""

    def make(centre: Point, diameter: float) -> Outline:
        return blob(
            rng, centre, diameter, aspect=rng.uniform(1.0, 1.25), irregularity=0.02
        )

    return make


def vesicle_relief(rng: Rng, canvas: Canvas, diameter: float) -> FloatImage:
    """A thin membrane around a clear lumen; some with a dense core."""
    line = float(np.clip(diameter * 0.07, 0.7, 3.0))
    membrane = rim(canvas, line, line)
    dense = per_object(rng, canvas, 0, 1) < np.float32(rng.choice([0.0, 0.0, 0.3, 1.0]))
    core = np.clip((canvas.depth - 0.35) * 4, 0, 1) * dense * np.float32(0.8)
    lumen = np.clip(canvas.depth * 4, 0, 1) * np.float32(rng.uniform(-0.25, 0.1))
    level = per_object(rng, canvas, 0.7, 1.0)
    return np.asarray(
        level * (np.maximum(membrane, core) + lumen) * (canvas.labels > 0), np.float32
    )


def membrane_maker(rng: Rng) -> Maker:
    """Thin curved bands."""
    thin = rng.uniform(0.025, 0.05)

    def make(centre: Point, diameter: float) -> Outline:
        radius = max(diameter * thin, 1.6)
        length = diameter * rng.uniform(1.5, 3.0)
        path = wandering_path(rng, centre, length, radius * 0.7, rng.uniform(1, 4))
        return tube(path, np.full(len(path), radius))

    return make


def membrane_relief(rng: Rng, canvas: Canvas, diameter: float) -> FloatImage:
    """A sheet cut across: two dense lines with a paler gap where wide enough."""
    level = per_object(rng, canvas, 0.8, 1.0)
    full = np.clip(canvas.depth_pixels(), 0, 1)
    wide = np.clip((canvas.table(canvas.radii) - 2) / 2, 0, 1)
    gap = np.clip((canvas.depth - 0.45) * 4, 0, 1) * wide * np.float32(0.7)
    return np.asarray(level * full * (1 - gap), np.float32)


def filament_maker(rng: Rng) -> Maker:
    """Very thin, long bands."""
    thin, curl = rng.uniform(0.03, 0.07), rng.uniform(0.3, 3.0)

    def make(centre: Point, diameter: float) -> Outline:
        radius = float(np.clip(diameter * thin, 1.2, 5.0))
        length = diameter * rng.uniform(1.5, 4.0)
        path = wandering_path(rng, centre, length, radius * 0.7, curl)
        return tube(path, np.full(len(path), radius))

    return make


def filament_relief(rng: Rng, canvas: Canvas, diameter: float) -> FloatImage:
    """A thin fibre whose brightness changes along its way."""
    level = per_object(rng, canvas, 0.6, 1.0, 0.2)
    uneven = smooth_noise(rng, canvas.shape, max(diameter * 0.3, 2.0))
    return np.asarray(
        level * dome(canvas, 0.5) * np.clip(1 + np.float32(0.2) * uneven, 0.3, 1.6),
        np.float32,
    )
