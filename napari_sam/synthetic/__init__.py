"""Seeded generators of made-up microscopy images with exact instance truth.

For sample data, tests and training. Needs numpy, scipy and scikit-image only.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from napari_sam.synthetic import colour, electron, light, objects
from napari_sam.synthetic.kinds import KINDS, Kind, draw_kinds
from napari_sam.synthetic.mixed import MODALITIES, mixed
from napari_sam.synthetic.movie import dividing_cells
from napari_sam.synthetic.scene import SyntheticScene
from napari_sam.synthetic.volume import nuclei_volume

Scene = Callable[[np.random.Generator, tuple[int, int]], SyntheticScene]

SCENES: dict[str, Scene] = {
    "fluorescence_nuclei": light.fluorescence_nuclei,
    "fluorescence_cells": light.fluorescence_cells,
    "membrane_stained_cells": light.membrane_stained_cells,
    "phase_contrast_cells": light.phase_contrast_cells,
    "rod_bacteria": light.rod_bacteria,
    "cocci": light.cocci,
    "yeast": light.yeast,
    "worms": light.worms,
    "filaments": light.filaments,
    "em_mitochondria": electron.em_mitochondria,
    "em_neurites": electron.em_neurites,
    "em_membranes": electron.em_membranes,
    "vesicles": electron.vesicles,
    "particles": electron.particles,
    "histology_nuclei": colour.histology_nuclei,
    "blood_smear": colour.blood_smear,
    "grains": colour.grains,
    "random_objects": objects.random_objects,
}
"""A generator for each kind of picture: (rng, (rows, columns)) -> scene."""

__all__ = [
    "KINDS",
    "MODALITIES",
    "SCENES",
    "Kind",
    "Scene",
    "SyntheticScene",
    "dividing_cells",
    "draw_kinds",
    "mixed",
    "nuclei_volume",
]
