"""Grey light-microscopy scenes: fluorescence, phase contrast, bright field."""

from __future__ import annotations

from math import exp

import numpy as np

from napari_sam.synthetic.fields import (
    FloatImage,
    fractal_noise,
    partition,
    smooth_noise,
)
from napari_sam.synthetic.kinds import KINDS
from napari_sam.synthetic.optics import blur, draw_blur, expose, illumination, specks
from napari_sam.synthetic.placement import draw_count, draw_diameter, log_uniform
from napari_sam.synthetic.relief import Rng, per_object
from napari_sam.synthetic.scene import Canvas, SyntheticScene, largest_pieces
from napari_sam.synthetic.shapes import Outline, blob


def populate(
    rng: Rng,
    shape: tuple[int, int],
    kind: str,
    *,
    low: float = 6.0,
    high: float = 200.0,
    coverage: tuple[float, float] = (0.08, 0.6),
) -> tuple[Canvas, FloatImage, float]:
    """Fill a canvas with one kind; return it, its relief and the drawn diameter."""
    canvas = Canvas(shape)
    diameter = draw_diameter(rng, shape, low, high)
    KINDS[kind].place(rng, canvas, diameter, draw_count(rng, shape, diameter, coverage))
    canvas.tidy()
    return canvas, KINDS[kind].relief(rng, canvas, diameter), diameter


def glow(rng: Rng, signal: FloatImage, diameter: float) -> FloatImage:
    """Fluorescence on a dark, uneven, hazy ground, blurred, in 0..1."""
    shape = signal.shape
    ground = rng.uniform(0.01, 0.2)
    haze = np.float32(rng.uniform(0, 0.25)) * blur(signal[::4, ::4], diameter / 12 + 1)
    haze = np.repeat(np.repeat(haze, 4, 0), 4, 1)[: shape[0], : shape[1]]
    cloud = 1 + np.float32(0.25) * smooth_noise(rng, (shape[0], shape[1]), 60)
    image = np.float32(ground) * cloud + blur(signal + haze, draw_blur(rng, diameter))
    image *= illumination(rng, (shape[0], shape[1]), rng.uniform(0, 0.2))
    top = log_uniform(rng, 0.25, 1.1)
    return np.asarray(
        image / np.float32(max(float(image.max()), 0.1)) * top, np.float32
    )


def record_glow(rng: Rng, canvas: Canvas, image: FloatImage) -> SyntheticScene:
    """Take a fluorescence picture of few to many photons, 8 or 12 bits."""
    recorded = expose(
        rng,
        image,
        photons=log_uniform(rng, 30, 2500),
        read_noise=log_uniform(rng, 0.002, 0.03),
        deep=rng.random() < 0.35,
    )
    return SyntheticScene(recorded, canvas.labels, canvas.classes(), "fluorescence")


def fluorescence_nuclei(rng: Rng, shape: tuple[int, int]) -> SyntheticScene:
    """Bright nuclei on dark ground, alone and in touching groups."""
    canvas, relief, diameter = populate(rng, shape, "nuclei")
    return record_glow(rng, canvas, glow(rng, relief, diameter))


def fluorescence_cells(rng: Rng, shape: tuple[int, int]) -> SyntheticScene:
    """Stained cytoplasm around brighter or darker nuclei, which are a layer."""
    canvas, relief, diameter = populate(
        rng, shape, "cells", low=14, coverage=(0.1, 0.6)
    )
    nuclei = inner_nuclei(rng, canvas)
    inside = nuclei.depth.clip(0, 1) ** np.float32(0.3) * (canvas.labels > 0)
    layer = largest_pieces(np.where(nuclei.labels > 0, canvas.labels, 0))
    tone = np.float32(rng.choice([-0.75, -0.5, 0.8, 1.5]))
    signal = np.maximum(relief * (1 + tone * inside), 0)
    scene = record_glow(rng, canvas, glow(rng, signal, diameter))
    return SyntheticScene(
        scene.image, scene.labels, scene.classes, scene.modality, {"nucleus": layer}
    )


def inner_nuclei(rng: Rng, canvas: Canvas) -> Canvas:
    """One nucleus around the middle of each object, on a canvas of its own."""
    size = rng.uniform(0.55, 0.8)
    nuclei = Canvas(canvas.shape)
    for i in range(1, len(canvas) + 1):
        nucleus = _nucleus_within(rng, canvas, i, size)
        nuclei.put(nucleus, "nucleus", overlap=1.0)
    return nuclei


def _nucleus_within(rng: Rng, canvas: Canvas, i: int, size: float) -> Outline:
    radius, (row, col) = canvas.radii[i], canvas.centres[i]
    centre = (
        row + rng.uniform(-0.15, 0.15) * radius,
        col + rng.uniform(-0.15, 0.15) * radius,
    )
    diameter = 2 * radius * size * exp(rng.normal(0, 0.1))
    aspect, angle = rng.uniform(1.0, 1.4), canvas.angles[i]
    return blob(rng, centre, diameter, aspect=aspect, irregularity=0.04, angle=angle)


def membrane_stained_cells(rng: Rng, shape: tuple[int, int]) -> SyntheticScene:
    """Packed cells of a tissue with bright borders."""
    canvas, edge, diameter = packed(rng, shape, "cell", gap=0.0)
    width = np.float32(max(diameter * rng.uniform(0.03, 0.08), 0.8))
    uneven = np.clip(1 + 0.35 * fractal_noise(rng, shape, diameter * 0.5, 2), 0.1, 2)
    signal = np.exp(-((edge / width) ** 2)) * uneven
    body = np.float32(rng.uniform(0, 0.2)) * per_object(rng, canvas, 0.3, 1)
    return record_glow(rng, canvas, glow(rng, signal + body, diameter))


def packed(
    rng: Rng,
    shape: tuple[int, int],
    word: str,
    *,
    gap: float,
    low: float = 10.0,
    high: float = 160.0,
    merged: float = 0.0,
) -> tuple[Canvas, FloatImage, float]:
    """Tile the plane with objects `gap` px apart; also the distance to borders."""
    diameter = draw_diameter(rng, shape, low, high)
    spread = rng.uniform(0.1, 0.6)
    warp = rng.uniform(0.1, 0.45)
    ids, edge, seeds = partition(rng, shape, diameter, warp, spread, merged)
    canvas = Canvas(shape)
    canvas.centres = [(float(r), float(c)) for r, c in seeds]
    canvas.radii = [diameter / 2] * len(seeds)
    canvas.angles = [0.0] * len(seeds)
    canvas.words = [word] * len(seeds)
    canvas.labels = np.where(edge > gap / 2, ids, 0).astype(np.int32)
    canvas.depth = np.clip((edge - gap / 2) / np.float32(diameter / 2), 0, 1)
    canvas.depth *= canvas.labels > 0
    canvas.tidy()
    return canvas, edge, diameter


def phase_contrast_cells(rng: Rng, shape: tuple[int, int]) -> SyntheticScene:
    """Adherent cells: dark or grey body, bright halo outside, organelles inside.

    A phase ring removes the low frequencies of the optical thickness, so the image
    is the thickness less its blurred self: this is what makes the halo.
    """
    canvas, relief, diameter = populate(
        rng, shape, "cells", low=12, coverage=(0.1, 0.7)
    )
    thickness = relief * per_object(rng, canvas, 0.6, 1.3)
    image = phase_contrast(rng, thickness, diameter)
    return record_bright(rng, canvas, image, "phase contrast", diameter)


def phase_contrast(rng: Rng, thickness: FloatImage, diameter: float) -> FloatImage:
    """Grey picture around 0.5 of an optical thickness, halo included."""
    size = (thickness.shape[0], thickness.shape[1])
    wide = blur(thickness, float(np.clip(diameter * rng.uniform(0.06, 0.14), 1.5, 8)))
    sign = rng.choice([1, 1, 1, -0.7])
    contrast = np.float32(sign * rng.uniform(0.3, 0.9))
    absorbed = np.float32(sign * rng.uniform(0.02, 0.2))
    fine = thickness - wide
    image = np.float32(rng.uniform(0.35, 0.6)) - contrast * fine - absorbed * thickness
    ground = np.float32(rng.uniform(0.002, 0.015)) * fractal_noise(rng, size, 8, 3)
    return np.asarray(image + ground, np.float32)


def record_bright(
    rng: Rng,
    canvas: Canvas,
    image: FloatImage,
    modality: str,
    diameter: float,
) -> SyntheticScene:
    """Take a picture in transmitted light: dust, vignette, blur, little noise."""
    size = canvas.shape
    image = image * illumination(rng, size, rng.uniform(0, 0.08))
    dust = specks(rng, size, int(rng.integers(0, 12)), rng.uniform(0.6, 2.0))
    image = image + dust * np.float32(rng.choice([-0.3, 0.2]))
    image = blur(image, min(draw_blur(rng, diameter), 1.6, diameter * 0.06))
    recorded = expose(
        rng,
        image,
        photons=log_uniform(rng, 150, 6000),
        read_noise=log_uniform(rng, 0.002, 0.02),
        deep=rng.random() < 0.1,
    )
    return SyntheticScene(recorded, canvas.labels, canvas.classes(), modality)


def bright_field(rng: Rng, relief: FloatImage, diameter: float) -> FloatImage:
    """Grey picture of bodies that absorb and refract light, slightly ringed."""
    size = (relief.shape[0], relief.shape[1])
    sign = np.float32(rng.choice([-1.0, -1.0, 1.0]))
    ground = rng.uniform(0.45, 0.9) if sign < 0 else rng.uniform(0.15, 0.5)
    contrast = np.float32(rng.uniform(0.2, 0.6) * (ground if sign < 0 else 1 - ground))
    ring = relief - blur(relief, float(np.clip(diameter * 0.08, 0.8, 4)))
    image = ground + sign * contrast * (
        relief * np.float32(rng.uniform(0.4, 1))
        + ring * np.float32(rng.uniform(0.2, 1))
    )
    cloud = np.float32(rng.uniform(0.002, 0.02)) * fractal_noise(rng, size, 12, 3)
    return np.asarray(image + cloud, np.float32)


def microbes(
    rng: Rng, shape: tuple[int, int], kind: str, low: float, high: float
) -> SyntheticScene:
    """One kind of small organism in fluorescence, phase contrast or bright field."""
    canvas, relief, diameter = populate(
        rng, shape, kind, low=low, high=high, coverage=(0.04, 0.5)
    )
    choice = rng.random()
    if choice < 0.3:
        return record_glow(rng, canvas, glow(rng, relief, diameter))
    if choice < 0.6:
        image = phase_contrast(rng, relief, diameter)
        return record_bright(rng, canvas, image, "phase contrast", diameter)
    image = bright_field(rng, relief, diameter)
    return record_bright(rng, canvas, image, "bright field", diameter)


def rod_bacteria(rng: Rng, shape: tuple[int, int]) -> SyntheticScene:
    """Rod-shaped bacteria, bright or dark, with touching clusters and septa."""
    return microbes(rng, shape, "rod bacteria", 6, 90)


def cocci(rng: Rng, shape: tuple[int, int]) -> SyntheticScene:
    """Round bacteria in pairs, chains and clusters."""
    return microbes(rng, shape, "cocci", 6, 60)


def yeast(rng: Rng, shape: tuple[int, int]) -> SyntheticScene:
    """Yeast cells with a ring-like wall; some bud."""
    return microbes(rng, shape, "yeast", 10, 140)


def worms(rng: Rng, shape: tuple[int, int]) -> SyntheticScene:
    """Nematodes on a plate."""
    return microbes(rng, shape, "worms", 24, 180)


def filaments(rng: Rng, shape: tuple[int, int]) -> SyntheticScene:
    """Thin fibres that cross each other."""
    return microbes(rng, shape, "filaments", 24, 120)
