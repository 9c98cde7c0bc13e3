"""The kinds of objects by name: word, outline, look and usual size."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from napari_sam.synthetic.cellular import (
    cell_maker,
    cell_relief,
    nucleus_maker,
    nucleus_relief,
)
from napari_sam.synthetic.fields import FloatImage
from napari_sam.synthetic.microbial import (
    coccus_maker,
    coccus_relief,
    rod_maker,
    rod_relief,
    worm_maker,
    worm_relief,
    yeast_maker,
    yeast_relief,
)
from napari_sam.synthetic.organelles import (
    filament_maker,
    filament_relief,
    membrane_maker,
    membrane_relief,
    mitochondrion_maker,
    mitochondrion_relief,
    vesicle_maker,
    vesicle_relief,
)
from napari_sam.synthetic.placement import Maker, scatter
from napari_sam.synthetic.relief import Rng
from napari_sam.synthetic.scene import Canvas
from napari_sam.synthetic.solids import (
    debris_maker,
    debris_relief,
    grain_maker,
    grain_relief,
    particle_maker,
    particle_relief,
)

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


KINDS: dict[str, Kind] = {
    "nuclei": Kind("nucleus", nucleus_maker, nucleus_relief),
    "cells": Kind("cell", cell_maker, cell_relief, 2.2, 0.25, 0.35, 0.1),
    "rod bacteria": Kind("rod bacterium", rod_maker, rod_relief, 0.7, 0.12, 0.55, 0.05),
    "cocci": Kind("coccus", coccus_maker, coccus_relief, 0.4, 0.08, 0.7, 0.12),
    "yeast": Kind("yeast", yeast_maker, yeast_relief, 1.0, 0.15, 0.5, 0.06),
    "filaments": Kind("filament", filament_maker, filament_relief, 1.6, 0.3, 0, 0.35),
    "mitochondria": Kind(
        "mitochondrion",
        mitochondrion_maker,
        mitochondrion_relief,
        1.1,
        0.25,
        0.2,
        0.02,
    ),
    "vesicles": Kind("vesicle", vesicle_maker, vesicle_relief, 0.4, 0.2, 0.5, 0.05),
    "membranes": Kind("membrane", membrane_maker, membrane_relief, 1.8, 0.3, 0, 0.3),
    "worms": Kind("worm", worm_maker, worm_relief, 2.2, 0.15, 0.2, 0.12),
    "grains": Kind("grain", grain_maker, grain_relief, 1.0, 0.3, 0.5, 0.15),
    "particles": Kind("particle", particle_maker, particle_relief, 0.6, 0.1, 0.6, 0.12),
    "debris": Kind("debris", debris_maker, debris_relief, 0.5, 0.5, 0.1, 0.05),
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
