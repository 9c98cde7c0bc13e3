"""The building stones of an object's look: tones, outlines, thickness.

A relief is a field over the whole image, 0 outside the objects and about 1 where an
object differs most from the background; what that does to the picture (bright, dark,
a stain) is up to the scene.
"""

from __future__ import annotations

import numpy as np

from napari_sam.synthetic.fields import FloatImage
from napari_sam.synthetic.scene import Canvas

Rng = np.random.Generator


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
