"""Electron-microscopy scenes: organelles, membranes, particles."""

from __future__ import annotations

import numpy as np

from napari_sam.synthetic.fields import FloatImage, fractal_noise, smooth_noise
from napari_sam.synthetic.kinds import KINDS
from napari_sam.synthetic.light import packed, populate
from napari_sam.synthetic.optics import blur, expose, illumination
from napari_sam.synthetic.placement import draw_count, log_uniform
from napari_sam.synthetic.relief import Rng, per_object
from napari_sam.synthetic.scene import Canvas, SyntheticScene

MODALITY = "electron microscopy"


def cytoplasm(rng: Rng, shape: tuple[int, int], diameter: float) -> FloatImage:
    """Mottled grey ground with ribosome-like grain, about 0.6."""
    mottle = fractal_noise(rng, shape, max(diameter * 0.4, 4), 3)
    grain = smooth_noise(rng, shape, rng.uniform(1.0, 2.5))
    dots = np.clip(smooth_noise(rng, shape, rng.uniform(2, 4)) - 1.3, 0, 1)
    tone = (
        np.float32(rng.uniform(0.5, 0.8)) + np.float32(rng.uniform(0.01, 0.06)) * mottle
    )
    tone = tone + np.float32(rng.uniform(0.02, 0.09)) * grain
    return np.asarray(tone - np.float32(rng.uniform(0, 0.35)) * dots, np.float32)


def record_electrons(
    rng: Rng, canvas: Canvas, image: FloatImage, diameter: float
) -> SyntheticScene:
    """Take an electron micrograph: slight blur, grainy noise, at times inverted."""
    image = image * illumination(rng, canvas.shape, rng.uniform(0, 0.08))
    image = blur(image, min(log_uniform(rng, 0.4, 1.4), diameter * 0.08))
    noise = fractal_noise(rng, canvas.shape, 2.0, 2)
    image = np.clip(image + np.float32(rng.uniform(0.0, 0.05)) * noise, 0, 1)
    if rng.random() < 0.1:
        image = 1 - image
    recorded = expose(
        rng, image, photons=log_uniform(rng, 80, 2500), read_noise=rng.uniform(0, 0.04)
    )
    return SyntheticScene(recorded, canvas.labels, canvas.classes(), MODALITY)


def neighbours_membranes(
    rng: Rng, shape: tuple[int, int], diameter: float
) -> FloatImage:
    """Dark lines of some unlabelled membranes in the ground, 0..1."""
    field = smooth_noise(rng, shape, max(diameter * rng.uniform(0.4, 1.5), 6))
    rows, cols = np.gradient(field)
    slope = np.sqrt(rows * rows + cols * cols) + np.float32(1e-3)
    distance = (field - np.float32(rng.uniform(-0.5, 0.5))) / slope
    return np.asarray(
        np.exp(-((distance / np.float32(rng.uniform(1.0, 2.2))) ** 2)), np.float32
    )


def em_mitochondria(rng: Rng, shape: tuple[int, int]) -> SyntheticScene:
    """Mitochondria with a double membrane and cristae in a textured cytoplasm."""
    canvas, relief, diameter = populate(
        rng, shape, "mitochondria", low=14, coverage=(0.08, 0.45)
    )
    image = cytoplasm(rng, shape, diameter)
    outside = canvas.labels == 0
    lines = neighbours_membranes(rng, shape, diameter) * outside
    image = image * (1 - np.float32(rng.uniform(0, 0.6)) * lines)
    image = image * (1 - np.float32(rng.uniform(0.55, 0.85)) * np.clip(relief, 0, 1))
    return record_electrons(rng, canvas, image, diameter)


def em_neurites(rng: Rng, shape: tuple[int, int]) -> SyntheticScene:
    """Packed profiles between dark membranes, with vesicle-like dots inside."""
    width = log_uniform(rng, 1.5, 5)
    canvas, edge, diameter = packed(
        rng, shape, "neurite", gap=width, low=14, merged=0.4
    )
    image = cytoplasm(rng, shape, diameter) * per_object(rng, canvas, 0.85, 1.1)
    softness = np.float32(width * 0.75)
    lines = np.exp(-((edge / softness) ** 4))
    ground = np.float32(rng.uniform(0.05, 0.3))
    image = np.where(canvas.labels == 0, np.float32(0.5), image)
    image = image * (1 - lines) + ground * lines
    return record_electrons(rng, canvas, image, diameter)


def em_membranes(rng: Rng, shape: tuple[int, int]) -> SyntheticScene:
    """Single membrane sheets cut across, each an object of its own."""
    canvas, relief, diameter = populate(
        rng, shape, "membranes", low=36, coverage=(0.15, 0.5)
    )
    image = cytoplasm(rng, shape, diameter)
    image = image * (1 - np.float32(rng.uniform(0.5, 0.85)) * np.clip(relief, 0, 1))
    return record_electrons(rng, canvas, image, diameter)


def vesicles(rng: Rng, shape: tuple[int, int]) -> SyntheticScene:
    """Round vesicles, empty or with a dense core, in clusters."""
    canvas, relief, diameter = populate(
        rng, shape, "vesicles", low=7, high=90, coverage=(0.03, 0.4)
    )
    image = cytoplasm(rng, shape, diameter)
    lines = neighbours_membranes(rng, shape, diameter * 3) * (canvas.labels == 0)
    image = image * (1 - np.float32(rng.uniform(0, 0.6)) * lines)
    image = image * (1 - np.float32(rng.uniform(0.5, 0.8)) * np.clip(relief, -0.4, 1))
    return record_electrons(rng, canvas, image, diameter)


def particles(rng: Rng, shape: tuple[int, int]) -> SyntheticScene:
    """Balls and grains on a support: bright with edges (SEM) or dark (TEM)."""
    kind = KINDS["particles"] if rng.random() < 0.75 else KINDS["grains"]
    canvas = Canvas(shape)
    diameter = log_uniform(rng, 6, max(min(160, 0.8 * min(shape)), 6))
    count = draw_count(rng, shape, diameter, (0.02, 0.7))
    kind.place(rng, canvas, diameter, count)
    canvas.words = ["", *["particle"] * len(canvas)]
    canvas.tidy()
    relief = kind.relief(rng, canvas, diameter)
    ground = fractal_noise(rng, shape, rng.uniform(4, 60), 4, 0.7)
    tone = rng.uniform(0.02, 0.08) * ground
    if rng.random() < 0.6:
        image = np.float32(rng.uniform(0.08, 0.4)) + tone
        image = np.where(
            canvas.labels > 0, np.float32(rng.uniform(0.7, 1)) * relief, image
        )
    else:
        image = np.float32(rng.uniform(0.55, 0.85)) + tone
        image = image * (1 - np.float32(rng.uniform(0.4, 0.95)) * relief)
    return record_electrons(rng, canvas, image.astype(np.float32), diameter)
