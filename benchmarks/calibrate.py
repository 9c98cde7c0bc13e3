"""Calibrate the bundled model's predicted IoU on the images that it was fitted on.

    python benchmarks/calibrate.py WEIGHTS OUT

Measures clicks and boxes on the `train` part of the recipe's sets, and writes the
weights with the line that fits best folded into them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from napari_sam.evaluation.benchmark import BenchmarkSettings, run_benchmark
from napari_sam.evaluation.datasets import folder_set
from napari_sam.inference.predictor import SamPredictor
from napari_sam.nn.registry import create_model
from napari_sam.training.calibration import apply_ratings, fit_ratings
from napari_sam.training.recipe import Recipe
from napari_sam.training.weights import write_weights


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("weights", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/train"))
    parser.add_argument("--limit", type=int, default=12, help="images of each set")
    parser.add_argument("--max-objects", type=int, default=4, help="of each image")
    return parser.parse_args()


def main() -> None:
    options = parse()
    settings = BenchmarkSettings(
        clicks=5, max_objects=options.max_objects, limit=options.limit, examples=0
    )
    sets = [folder_set(options.data / name) for name in Recipe.named("pocket").sets]
    model = create_model("pocket", checkpoint=options.weights, dtype="float32")
    line = fit_ratings(run_benchmark(SamPredictor(model), sets, settings))
    print(f"true IoU = {line.gain:.3f} * predicted {line.offset:+.3f}")
    apply_ratings(model, line)
    write_weights(options.out, model.state_dict(), {"model": "pocket"})


if __name__ == "__main__":
    main()
