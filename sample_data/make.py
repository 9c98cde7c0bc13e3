"""Regenerate every file of this folder: `python sample_data/make.py [FOLDER]`.

The same numpy, scipy and scikit-image give the same bytes; the seeds were chosen by
looking for pictures that show what the sample is about.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tifffile

from napari_sam.synthetic import (
    SCENES,
    SyntheticScene,
    dividing_cells,
    mixed,
    nuclei_volume,
)

LICENCE = "CC0-1.0"
ORIGIN = "made by napari_sam.synthetic, sample_data/make.py"


@dataclass(frozen=True)
class Recipe:
    """How one sample is made and described; scale in units per pixel along axes."""

    name: str
    title: str
    seed: int
    make: Callable[[np.random.Generator], SyntheticScene]
    axes: str
    scale: tuple[float, ...]
    unit: str = "um"
    time_step: str = ""


def scene(name: str, size: int) -> Callable[[np.random.Generator], SyntheticScene]:
    """Maker of a square picture by a generator of `SCENES`."""
    return lambda rng: SCENES[name](rng, (size, size))


VOXEL = (2.0, 0.5, 0.5)
RECIPES = (
    Recipe(
        "fluorescence_nuclei",
        "Fluorescent nuclei, some touching",
        1,
        scene("fluorescence_nuclei", 384),
        "YX",
        (0.4, 0.4),
    ),
    Recipe(
        "phase_contrast_cells",
        "Cells in phase contrast",
        59,
        scene("phase_contrast_cells", 384),
        "YX",
        (0.5, 0.5),
    ),
    Recipe(
        "rod_bacteria",
        "Rod-shaped bacteria, some in clusters",
        35,
        scene("rod_bacteria", 256),
        "YX",
        (0.12, 0.12),
    ),
    Recipe(
        "em_mitochondria",
        "Mitochondria in an electron micrograph",
        1,
        scene("em_mitochondria", 384),
        "YX",
        (0.02, 0.02),
    ),
    Recipe(
        "histology_nuclei",
        "Stained nuclei in tissue, in colour",
        20,
        scene("histology_nuclei", 256),
        "YXS",
        (0.4, 0.4, 1.0),
    ),
    Recipe(
        "blood_smear",
        "Blood smear in colour: cells with nuclei inside",
        7,
        scene("blood_smear", 256),
        "YXS",
        (0.25, 0.25, 1.0),
    ),
    Recipe(
        "mixed_kinds",
        "Nuclei, rod bacteria and worms in one picture",
        3,
        lambda rng: mixed(
            rng,
            (256, 256),
            ["nuclei", "rod bacteria", "worms"],
            modality="bright field",
            diameter=26.0,
        ),
        "YX",
        (0.3, 0.3),
    ),
    Recipe(
        "nuclei_volume",
        "Fluorescent nuclei in a volume with thick sections",
        7,
        lambda rng: nuclei_volume(rng, (24, 128, 128), VOXEL),
        "ZYX",
        VOXEL,
    ),
    Recipe(
        "dividing_cells",
        "Time series of moving, dividing cells",
        5,
        lambda rng: dividing_cells(rng, (20, 128, 128)),
        "TYX",
        (300.0, 0.65, 0.65),
        time_step="s",
    ),
)


def write_tiff(path: Path, array: np.ndarray, recipe: Recipe, axes: str) -> None:
    """Write an ImageJ TIFF, compressed, that carries its axes and scale."""
    scale = dict(zip(recipe.axes, recipe.scale, strict=True))
    metadata: dict[str, Any] = {"axes": axes, "unit": recipe.unit}
    if "Z" in axes:
        metadata["spacing"] = scale["Z"]
    if "T" in axes:
        metadata["finterval"] = scale["T"]
    tifffile.imwrite(
        path,
        array,
        imagej=True,
        compression="zlib",
        compressionargs={"level": 9},
        resolution=(1 / scale["X"], 1 / scale["Y"]),
        metadata=metadata,
    )


def words_of(made: SyntheticScene) -> dict[str, list[int]]:
    """Ids of each word of the truth."""
    words: dict[str, list[int]] = {}
    for number, word in sorted(made.classes.items()):
        words.setdefault(word, []).append(number)
    return words


def write_sample(folder: Path, recipe: Recipe) -> dict[str, Any]:
    """Make one sample, write its files and return its entry for the index."""
    made = recipe.make(np.random.default_rng(recipe.seed))
    plane_axes = recipe.axes.replace("S", "")
    write_tiff(folder / f"{recipe.name}.tif", made.image, recipe, recipe.axes)
    truths = {"labels": made.labels, **made.layers}
    for word, labels in truths.items():
        path = folder / f"{recipe.name}_{word}.tif"
        write_tiff(path, labels.astype(np.uint16), recipe, plane_axes)
    units = {"T": recipe.time_step, "S": ""}
    return {
        "name": recipe.name,
        "title": recipe.title,
        "axes": recipe.axes,
        "scale": recipe.scale,
        "unit": [units.get(axis, recipe.unit) for axis in recipe.axes],
        "modality": made.modality,
        "classes": words_of(made),
        "layers": sorted(made.layers),
        "parents": {str(child): mother for child, mother in made.parents.items()},
        "licence": LICENCE,
        "origin": f"{ORIGIN}, seed {recipe.seed}",
    }


def main(folder: Path) -> None:
    """Write all samples and their index."""
    folder.mkdir(parents=True, exist_ok=True)
    entries = [write_sample(folder, recipe) for recipe in RECIPES]
    index = "[\n" + ",\n".join(json.dumps(entry) for entry in entries) + "\n]\n"
    (folder / "samples.json").write_text(index, encoding="utf-8", newline="\n")


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).parent)
