"""Colour scenes: stained tissue, blood smears, pebbles."""

from __future__ import annotations

from math import exp, pi

import numpy as np
from numpy.typing import NDArray

from napari_sam.synthetic.fields import FloatImage, fractal_noise, smooth_noise
from napari_sam.synthetic.kinds import KINDS
from napari_sam.synthetic.light import packed, populate
from napari_sam.synthetic.optics import blur, draw_blur, expose, illumination
from napari_sam.synthetic.placement import Maker, draw_count, draw_diameter, log_uniform
from napari_sam.synthetic.placement import scatter as scatter_objects
from napari_sam.synthetic.relief import Rng, dome
from napari_sam.synthetic.scene import Canvas, SyntheticScene, largest_pieces
from napari_sam.synthetic.shapes import Outline, Point, blob, union

Colour = NDArray[np.float32]

# Optical densities per channel. Haematoxylin: A. Ruifrok, D. Johnston, Quantification
# of histochemical staining by color deconvolution, 2001; eosin paler than theirs, as
# scanned sections show it.
_HAEMATOXYLIN = (0.65, 0.70, 0.29)
_EOSIN = (0.15, 0.65, 0.28)


def stain(rng: Rng, densities: tuple[float, float, float], jitter: float) -> Colour:
    """One dye's absorption per channel, as labs and scanners vary it."""
    factors = np.exp(rng.normal(0, jitter, 3))
    return (np.asarray(densities) * factors).astype(np.float32)


def transmit(amounts: list[tuple[FloatImage, Colour]], lamp: Colour) -> FloatImage:
    """White light through dyes (Beer-Lambert), (H, W, 3) in 0..1."""
    density = sum(amount[..., None] * dye for amount, dye in amounts)
    return np.asarray(lamp * np.exp(-np.maximum(density, 0)), np.float32)


def record_colour(
    rng: Rng, canvas: Canvas, image: FloatImage, modality: str, sigma: float
) -> SyntheticScene:
    """Take a colour photograph."""
    image = image * illumination(rng, canvas.shape, rng.uniform(0, 0.06))[..., None]
    recorded = expose(
        rng,
        blur(image, sigma),
        photons=log_uniform(rng, 200, 6000),
        read_noise=log_uniform(rng, 0.002, 0.015),
    )
    return SyntheticScene(recorded, canvas.labels, canvas.classes(), modality)


def histology_nuclei(rng: Rng, shape: tuple[int, int]) -> SyntheticScene:
    """Blue to purple nuclei in pink fibrous tissue, as haematoxylin and eosin give."""
    canvas, relief, diameter = populate(
        rng, shape, "nuclei", low=7, high=120, coverage=(0.05, 0.5)
    )
    fibres = smooth_noise(rng, shape, (diameter * 0.25 + 2, diameter * 1.5 + 4))
    if rng.random() < 0.5:
        fibres = smooth_noise(rng, shape, (diameter * 1.5 + 4, diameter * 0.25 + 2))
    tissue = fractal_noise(rng, shape, diameter * 1.2, 4, 0.7)
    holes = np.clip(1.5 + rng.uniform(-1, 1.5) - smooth_noise(rng, shape, 50), 0, 1)
    eosin = rng.uniform(0.03, 0.6) * (1 + 0.2 * fibres + 0.25 * tissue) * holes
    blue = np.maximum(relief, 0) * np.float32(rng.uniform(0.8, 2.0))
    blue = blue + np.float32(rng.uniform(0, 0.12)) * (1 + 0.4 * tissue) * holes
    eosin = np.maximum(eosin, 0) * (1 - 0.5 * np.clip(relief, 0, 1))
    eosin = eosin + blue * np.float32(rng.uniform(0, 0.6))
    dyes = [
        (blue.astype(np.float32), stain(rng, _HAEMATOXYLIN, 0.25)),
        (eosin.astype(np.float32), stain(rng, _EOSIN, 0.25)),
    ]
    lamp = rng.uniform(0.86, 0.98, 3).astype(np.float32)
    sigma = min(draw_blur(rng, diameter), 1.5)
    return record_colour(rng, canvas, transmit(dyes, lamp), "histology", sigma)


def blood_smear(rng: Rng, shape: tuple[int, int]) -> SyntheticScene:
    """Red cells with a pale middle and white cells with a dark lobed nucleus."""
    canvas = Canvas(shape)
    diameter = draw_diameter(rng, shape, 14, 110)
    whites = _white_cells(rng, canvas, diameter)
    _red_cells(rng, canvas, diameter * rng.uniform(0.5, 0.75))
    nuclei = Canvas(shape)
    for i in whites:
        nuclei.put(_lobed_nucleus(rng, canvas, i), "nucleus", overlap=1.0)
    canvas.tidy()
    inside = (nuclei.labels > 0) & (_is_word(canvas, "white blood cell"))
    layer = largest_pieces(np.where(inside, canvas.labels, 0))
    image = _smear_picture(rng, canvas, nuclei, inside, diameter)
    scene = record_colour(
        rng, canvas, image, "stained smear", min(draw_blur(rng, diameter), 1.4)
    )
    return SyntheticScene(
        scene.image, scene.labels, scene.classes, scene.modality, {"nucleus": layer}
    )


def _is_word(canvas: Canvas, word: str) -> NDArray[np.bool_]:
    return np.asarray([w == word for w in canvas.words])[canvas.labels]


def _round_maker(rng: Rng, wobble: float) -> Maker:
    def make(centre: Point, diameter: float) -> Outline:
        aspect = rng.uniform(1, 1.15)
        return blob(rng, centre, diameter, aspect=aspect, irregularity=wobble)

    return make


def _white_cells(rng: Rng, canvas: Canvas, diameter: float) -> list[int]:
    count = draw_count(rng, canvas.shape, diameter, (0.02, 0.2), most=12)
    make = _round_maker(rng, 0.03)
    return scatter_objects(
        rng, canvas, make, "white blood cell", diameter, count, spread=0.1, touching=0.1
    )


def _red_cells(rng: Rng, canvas: Canvas, diameter: float) -> None:
    if rng.random() < 0.15:
        return
    count = draw_count(rng, canvas.shape, diameter, (0.05, 0.45), most=90)
    make = _round_maker(rng, 0.02)
    scatter_objects(rng, canvas, make, "red blood cell", diameter, count, spread=0.07)


def _lobed_nucleus(rng: Rng, canvas: Canvas, i: int) -> Outline:
    """One to four lobes around the middle of cell `i`, joined into one outline."""
    row, col = canvas.centres[i]
    radius, lobes = canvas.radii[i], int(rng.integers(1, 5))
    start, step = rng.uniform(0, 2 * pi), rng.uniform(0.9, 1.3)
    size = radius * (1.35 if lobes == 1 else 0.85) * exp(rng.normal(0, 0.1))
    ring = 0.1 if lobes == 1 else 0.42
    parts = []
    for k in range(lobes):
        turn = start + k * step
        at = (
            row + ring * radius * float(np.sin(turn)),
            col + ring * radius * float(np.cos(turn)),
        )
        parts.append(blob(rng, at, size, aspect=1.2, irregularity=0.06))
    nucleus = parts[0]
    for part in parts[1:]:
        nucleus = union(nucleus, part)
    return nucleus


def _smear_picture(
    rng: Rng,
    canvas: Canvas,
    nuclei: Canvas,
    inside: NDArray[np.bool_],
    diameter: float,
) -> FloatImage:
    shape = canvas.shape
    red = _is_word(canvas, "red blood cell")
    white = _is_word(canvas, "white blood cell")
    grain = fractal_noise(rng, shape, max(diameter * 0.08, 1.5), 2)
    pale = 1 - np.float32(rng.uniform(0, 0.7)) * np.clip(canvas.depth * 1.6 - 0.5, 0, 1)
    body = red * dome(canvas, 0.25) * pale * np.float32(rng.uniform(0.15, 0.7))
    plasma = white * (rng.uniform(0.08, 0.4) * (1 + rng.uniform(0.05, 0.4) * grain))
    chromatin = inside * np.clip(nuclei.depth * 5, 0, 1) * (1 + 0.15 * grain)
    dark = chromatin * np.float32(rng.uniform(0.7, 1.6))
    blue = np.maximum(dark + plasma * rng.uniform(0.2, 0.8), 0).astype(np.float32)
    pink = np.maximum(body + plasma + 0.3 * dark, 0).astype(np.float32)
    ground = rng.uniform(0, 0.15) * np.maximum(
        1 + 0.2 * smooth_noise(rng, shape, diameter), 0
    )
    lamp = rng.uniform((0.85, 0.8, 0.55), (0.98, 0.95, 0.95)).astype(np.float32)
    dyes = [
        (blue, stain(rng, (0.6, 0.9, 0.3), 0.2)),
        (pink, stain(rng, (0.15, 0.75, 0.55), 0.3)),
        (ground.astype(np.float32), stain(rng, (0.3, 0.5, 0.4), 0.3)),
    ]
    return transmit(dyes, lamp)


def grains(rng: Rng, shape: tuple[int, int]) -> SyntheticScene:
    """Pebbles or sand, packed or strewn, lit from one side, grey or in colour."""
    canvas, diameter = _heap(rng, shape)
    relief = KINDS["grains"].relief(rng, canvas, diameter)
    tints = palette(rng, len(canvas) + 1, rng.uniform(0.75, 1), 0.06)[canvas.labels]
    ground = np.float32(rng.uniform(0.03, 0.45)) * np.clip(
        1 + 0.3 * fractal_noise(rng, shape, 6, 3), 0, 2
    )
    soil = palette(rng, 1, 0.9, 0.06)[0]
    image = np.where(canvas.labels[..., None] > 0, relief[..., None] * tints, 0)
    image = image + (ground * (canvas.labels == 0))[..., None] * soil
    if rng.random() < 0.3:
        image = image.mean(-1)[..., None] * np.ones(3, np.float32)
    image = np.clip(image, 0, 1).astype(np.float32)
    sigma = min(rng.uniform(0.4, 1.2), diameter * 0.06)
    return record_colour(rng, canvas, image, "photograph", sigma)


def _heap(rng: Rng, shape: tuple[int, int]) -> tuple[Canvas, float]:
    """Grains side by side, strewn, or heaped with the later ones on top."""
    if rng.random() < 0.4:
        gap = log_uniform(rng, 1.5, 7)
        canvas, _, diameter = packed(rng, shape, "grain", gap=gap, low=10, high=180)
        return canvas, diameter
    canvas, diameter = Canvas(shape), draw_diameter(rng, shape, 8)
    kind, heaped = KINDS["grains"], rng.random() < 0.6
    scatter_objects(
        rng,
        canvas,
        kind.maker(rng),
        kind.word,
        diameter,
        draw_count(rng, shape, diameter, (0.9, 2.0) if heaped else (0.15, 0.7)),
        spread=0.35,
        touching=rng.uniform(0, 0.6),
        overlap=0.45 if heaped else 0.1,
        on_top=heaped,
    )
    canvas.tidy()
    return canvas, diameter


def palette(rng: Rng, count: int, level: float, variety: float) -> Colour:
    """`count` colours (count, 3) about one random tone."""
    tone = level * np.exp(rng.normal(0, rng.choice([0.03, 0.08, 0.2]), 3))
    return (tone * np.exp(rng.normal(0, variety, (count, 3)))).astype(np.float32)
