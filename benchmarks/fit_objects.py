"""Fit the bundled model's rating of its own suggestions on images to fit on.

    python benchmarks/fit_objects.py WEIGHTS OUT

The last step of making weights, after `calibrate.py`: on crops of the `train` part of
the sets whose objects are labelled, and on synthetic scenes.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np

from napari_sam.evaluation.datasets import folder_set
from napari_sam.inference.predictor import SamPredictor
from napari_sam.nn.registry import create_model
from napari_sam.synthetic import SCENES
from napari_sam.training.object_rating import ObjectTable, fit_object_head, tabulate
from napari_sam.training.weights import write_weights

SETS = (
    "dsb2018_fluo", "dsb2018_histology", "dsb2018_brightfield", "phase_t98g_cells",
    "phase_t98g_movie", "gravel_grains", "plant_nuclei_3d", "stardist_test_3d",
)  # fmt: skip
SIDE = 320


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("weights", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/train"))
    parser.add_argument("--limit", type=int, default=48, help="images of each set")
    parser.add_argument("--scenes", type=int, default=4, help="of each synthetic kind")
    return parser.parse_args()


def real(
    predictor: SamPredictor, root: Path, limit: int, rng: np.random.Generator
) -> Iterator[ObjectTable]:
    """Tables of crops of real images."""
    for name in SETS:
        for image in folder_set(root / name).limited(limit):
            labels = image.labels()
            corner = [int(rng.integers(0, max(1, n - SIDE + 1))) for n in labels.shape]
            crop = tuple(slice(start, start + SIDE) for start in corner)
            predictor.set_image(image.image[crop], channel_axis=image.channel_axis)
            yield tabulate(predictor, name, labels[crop])


def drawn(
    predictor: SamPredictor, count: int, rng: np.random.Generator
) -> Iterator[ObjectTable]:
    """Tables of synthetic scenes."""
    for name, make in SCENES.items():
        for _ in range(count):
            scene = make(rng, (256, 256))
            axis = -1 if scene.image.ndim == 3 else None
            predictor.set_image(scene.image, channel_axis=axis)
            yield tabulate(predictor, name, scene.labels)


def main() -> None:
    options = parse()
    rng = np.random.default_rng(0)
    model = create_model("pocket", checkpoint=options.weights, dtype="float32")
    predictor = SamPredictor(model)
    found = chain(
        real(predictor, options.data, options.limit, rng),
        drawn(predictor, options.scenes, rng),
    )
    tables = []
    for table in found:
        tables.append(table)
        print(f"{table.kind}: {len(table.iou)} suggestions", flush=True)
    losses = fit_object_head(model, tables)
    count = sum(len(table.iou) for table in tables)
    print(f"{count} suggestions of {len(tables)} images, loss {losses[-1]:.3f}")
    write_weights(options.out, model.state_dict(), {"model": "pocket"})


if __name__ == "__main__":
    main()
