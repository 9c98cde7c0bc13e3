"""The kinds of objects: how each is outlined and what it looks like.

A kind's relief is a field over the whole image, 0 outside its objects and about 1
where an object differs most from the background; what that does to the picture
(bright, dark, a stain) is up to the scene.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import exp, pi

import numpy as np

from napari_sam.synthetic.fields import FloatImage, fractal_noise, smooth_noise
from napari_sam.synthetic.placement import Maker, scatter
from napari_sam.synthetic.scene import Canvas
from napari_sam.synthetic.shapes import (
    Outline,
    Point,
    blob,
    capsule,
    polygon,
    tube,
    union,
    wandering_path,
)

Rng = np.random.Generator
Relief = Callable[[Rng, Canvas, float], FloatImage]


@dataclass(frozen=True)
class Kind:
    """One kind of object.

    Attributes
    ----------
    word : str
        Its name in the truth, singular.
    maker : callable
        Draws a style and returns what makes single outlines in it.
    relief : callable
        (rng, canvas, diameter) -> float32 (H, W) appearance.
    size : float
        Usual diameter relative to a nucleus.
    spread, touching, overlap : float
        See `scatter`.
    """

    word: str
    maker: Callable[[Rng], Maker]
    relief: Relief
    size: float = 1.0
    spread: float = 0.2
    touching: float = 0.4
    overlap: float = 0.12

    def place(self, rng: Rng, canvas: Canvas, diameter: float, count: int) -> list[int]:
        """Put up to `count` of them on the canvas and return their ids."""
        crowding = min(self.touching * rng.uniform(0.2, 1.8), 0.95)
        return scatter(
            rng,
            canvas,
            self.maker(rng),
            self.word,
            diameter,
            count,
            spread=self.spread,
            touching=crowding,
            overlap=self.overlap,
        )


def per_object(
    rng: Rng, canvas: Canvas, low: float, high: float, sigma: float = 0.0
) -> FloatImage:
    """One random value per object, uniform times log-normal, as a field."""
    count = len(canvas) + 1
    values = rng.uniform(low, high, count) * np.exp(rng.normal(0, sigma, count))
    return np.asarray(values, np.float32)[canvas.labels]


def rim(canvas: Canvas, width: float, inset: float = 0.0) -> FloatImage:
    """1 on a line along each outline, `inset` pixels inside it, softly 0 elsewhere."""
    distance = (canvas.depth_pixels() - np.float32(inset)) / np.float32(width)
    return np.exp(-distance * distance) * (canvas.labels > 0)


def dome(canvas: Canvas, power: float) -> FloatImage:
    """Thickness of a rounded body: 0 at the outline, 1 in the middle."""
    inner = 1 - np.clip(canvas.depth, 0, 1)
    return np.asarray(
        np.power(np.maximum(1 - inner * inner, 0), np.float32(power)), np.float32
    )


def _nucleus_maker(rng: Rng) -> Maker:
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


def _cell_maker(rng: Rng) -> Maker:
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


def _rod_maker(rng: Rng) -> Maker:
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


def _coccus_maker(rng: Rng) -> Maker:
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


def _yeast_maker(rng: Rng) -> Maker:
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


def _mitochondrion_maker(rng: Rng) -> Maker:
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


def _vesicle_maker(rng: Rng) -> Maker:
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


def _membrane_maker(rng: Rng) -> Maker:
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


def _filament_maker(rng: Rng) -> Maker:
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


def _worm_maker(rng: Rng) -> Maker:
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


def _grain_maker(rng: Rng) -> Maker:
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


def _particle_maker(rng: Rng) -> Maker:
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


def _debris_maker(rng: Rng) -> Maker:
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


KINDS: dict[str, Kind] = {
    "nuclei": Kind("nucleus", _nucleus_maker, nucleus_relief),
    "cells": Kind("cell", _cell_maker, cell_relief, 2.2, 0.25, 0.35, 0.1),
    "rod bacteria": Kind(
        "rod bacterium", _rod_maker, rod_relief, 0.7, 0.12, 0.55, 0.05
    ),
    "cocci": Kind("coccus", _coccus_maker, coccus_relief, 0.4, 0.08, 0.7, 0.12),
    "yeast": Kind("yeast", _yeast_maker, yeast_relief, 1.0, 0.15, 0.5, 0.06),
    "filaments": Kind("filament", _filament_maker, filament_relief, 1.6, 0.3, 0, 0.35),
    "mitochondria": Kind(
        "mitochondrion",
        _mitochondrion_maker,
        mitochondrion_relief,
        1.1,
        0.25,
        0.2,
        0.02,
    ),
    "vesicles": Kind("vesicle", _vesicle_maker, vesicle_relief, 0.4, 0.2, 0.5, 0.05),
    "membranes": Kind("membrane", _membrane_maker, membrane_relief, 1.8, 0.3, 0, 0.3),
    "worms": Kind("worm", _worm_maker, worm_relief, 2.2, 0.15, 0.2, 0.12),
    "grains": Kind("grain", _grain_maker, grain_relief, 1.0, 0.3, 0.5, 0.15),
    "particles": Kind(
        "particle", _particle_maker, particle_relief, 0.6, 0.1, 0.6, 0.12
    ),
    "debris": Kind("debris", _debris_maker, debris_relief, 0.5, 0.5, 0.1, 0.05),
}
"""By the plural that a user would type."""

LOOKALIKES = (
    {"cocci", "particles"},
    {"grains", "particles"},
    {"yeast", "vesicles"},
    {"filaments", "membranes"},
)
"""Kinds that a picture alone does not tell apart."""


def draw_kinds(rng: Rng, count: int) -> list[str]:
    """Draw up to `count` different kinds, no two of them lookalikes."""
    chosen: list[str] = []
    for name in rng.permutation(list(KINDS)).tolist():
        if len(chosen) < count and not _resembles(name, chosen):
            chosen.append(name)
    return chosen


def _resembles(name: str, others: list[str]) -> bool:
    return any({name, other} in LOOKALIKES for other in others)
