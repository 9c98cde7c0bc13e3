"""Several named kinds of objects in one picture, so that words must discriminate."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from napari_sam.synthetic.electron import cytoplasm, record_electrons
from napari_sam.synthetic.fields import FloatImage
from napari_sam.synthetic.kinds import KINDS
from napari_sam.synthetic.light import (
    bright_field,
    glow,
    phase_contrast,
    record_bright,
    record_glow,
)
from napari_sam.synthetic.placement import draw_count, log_uniform
from napari_sam.synthetic.relief import Rng
from napari_sam.synthetic.scene import Canvas, SyntheticScene

MODALITIES = ("fluorescence", "phase contrast", "bright field", "electron microscopy")


def mixed(
    rng: Rng,
    shape: tuple[int, int],
    kinds: Sequence[str],
    *,
    modality: str | None = None,
    diameter: float | None = None,
) -> SyntheticScene:
    """Put several kinds into one picture, each in its usual relative size.

    Parameters
    ----------
    rng : numpy.random.Generator
        The same state gives the same scene.
    shape : tuple of int
        (rows, columns).
    kinds : sequence of str
        Keys of `KINDS`, such as "nuclei" and "rod bacteria". Each gets at least one
        object unless the image has no room left.
    modality : str, optional
        One of `MODALITIES`; drawn if not given.
    diameter : float, optional
        Diameter of a nucleus in pixels; drawn if not given.

    Raises
    ------
    ValueError
        For an unknown kind or modality, or no kind at all.
    """
    unknown = [kind for kind in kinds if kind not in KINDS]
    if unknown or not kinds:
        raise ValueError(f"Kinds must be some of {sorted(KINDS)}, not {list(kinds)}.")
    chosen = modality or str(rng.choice(MODALITIES))
    if chosen not in MODALITIES:
        raise ValueError(f"The modality must be one of {MODALITIES}, not {chosen!r}.")
    unit = diameter or log_uniform(rng, 16, max(min(shape) / 4, 16))
    canvas = _populate(rng, shape, kinds, unit)
    return _picture(rng, canvas, _relief(rng, canvas, kinds, unit), chosen, unit)


def _populate(
    rng: Rng, shape: tuple[int, int], kinds: Sequence[str], unit: float
) -> Canvas:
    """Place the kinds from the largest to the smallest: small ones fill the gaps."""
    canvas = Canvas(shape)
    for name in sorted(kinds, key=lambda k: -KINDS[k].size):
        kind = KINDS[name]
        size = max(unit * kind.size, 8)
        coverage = (0.03 / len(kinds) ** 0.5, 0.35 / len(kinds) ** 0.5)
        count = draw_count(rng, shape, size, coverage, most=60)
        kind.place(rng, canvas, size, max(count, 2))
    canvas.tidy()
    return canvas


def _relief(rng: Rng, canvas: Canvas, kinds: Sequence[str], unit: float) -> FloatImage:
    """Each kind's own look on its own objects."""
    total = np.zeros(canvas.shape, np.float32)
    for name in kinds:
        kind = KINDS[name]
        own = np.asarray([word == kind.word for word in canvas.words])[canvas.labels]
        relief = kind.relief(rng, canvas, max(unit * kind.size, 8))
        total += own * relief * np.float32(rng.uniform(0.6, 1.0))
    return total


def _picture(
    rng: Rng, canvas: Canvas, relief: FloatImage, modality: str, unit: float
) -> SyntheticScene:
    fine = unit * 0.5
    if modality == "fluorescence":
        return record_glow(rng, canvas, glow(rng, np.maximum(relief, 0), fine))
    if modality == "electron microscopy":
        image = cytoplasm(rng, canvas.shape, unit)
        image = image * (
            1 - np.float32(rng.uniform(0.5, 0.85)) * np.clip(relief, -0.4, 1)
        )
        return record_electrons(rng, canvas, image, fine)
    paint = phase_contrast if modality == "phase contrast" else bright_field
    return record_bright(rng, canvas, paint(rng, relief, unit), modality, fine)
