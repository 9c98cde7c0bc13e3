"""Print the quality table of the bundled model beside the bars it must reach.

    python benchmarks/quality.py                    # whole sets
    python benchmarks/quality.py --max-objects 8    # a quick look
    python benchmarks/quality.py --baseline         # and the classical method

The data (``--data``, ``../shared/data`` by default) are folders ``train/SET`` and
``val/SET`` with ``images/`` and ``labels/``. Sets marked * are of kinds that the model
is never trained on and are measured on train and val together. A figure with ! misses
its bar, which stands behind it.
"""

from __future__ import annotations

import argparse
import json
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

from napari_sam.evaluation.baseline import ClassicalPredictor
from napari_sam.evaluation.benchmark import BenchmarkSettings, run_benchmark
from napari_sam.evaluation.datasets import folder_set
from napari_sam.evaluation.labelled import ImageSet
from napari_sam.evaluation.report import look_up, write_report
from napari_sam.evaluation.summary import summarise_all
from napari_sam.evaluation.trials import Predictor

# Mean IoU to reach after 1, 3 and 5 clicks and with a box.
BARS: dict[str, tuple[float, float, float, float]] = {
    "dsb2018_fluo": (0.76, 0.84, 0.87, 0.86),
    "stardist_test_2d": (0.72, 0.82, 0.86, 0.85),
    "dsb2018_histology": (0.60, 0.76, 0.80, 0.80),
    "phase_t98g_cells": (0.55, 0.66, 0.72, 0.72),
    "bacteria_ecoli": (0.62, 0.74, 0.78, 0.80),
    "gravel_grains": (0.62, 0.74, 0.78, 0.80),
    "em_particles": (0.45, 0.70, 0.76, 0.84),
    "wbc_smear": (0.40, 0.60, 0.72, 0.75),
    "em_isbi2012_neurites": (0.38, 0.55, 0.62, 0.66),
    "natural_davis2016_objects": (0.30, 0.50, 0.58, 0.58),
}
UNSEEN = ("em_particles", "wbc_smear", "em_isbi2012_neurites")
BARRED = ("points.mean_iou.1", "points.mean_iou.3", "points.mean_iou.5", "box.exact")
FREE = (
    ("2 clicks", "points.mean_iou.2"),
    ("8 clicks", "points.mean_iou.8"),
    ("best of 3", "points.oracle"),
    ("noisy box", "box.noisy"),
    ("box+2", "box.clicks.2"),
)
BIAS_LIMIT = 0.05
GAIN_WANTED = 0.10


def open_set(data: Path, name: str) -> ImageSet:
    """Open a set; kinds never trained on with their train and val folders."""
    parts = ("train", "val") if name in UNSEEN else ("val",)
    sources = [
        source for part in parts for source in folder_set(data / part / name).sources
    ]
    return ImageSet(name, tuple(sources))


def load_predictor(options: argparse.Namespace) -> Predictor:
    from napari_sam.inference.predictor import SamPredictor
    from napari_sam.nn.registry import create_model

    model = create_model(
        options.model,
        checkpoint=options.checkpoint,
        device=options.device,
        dtype=options.dtype,
    )
    return SamPredictor(model)


def rises(summary: dict[str, Any]) -> bool:
    """Whether no further click lowers the mean IoU."""
    curve = list(summary["points"]["mean_iou"].values())
    return all(later >= earlier for earlier, later in pairwise(curve))


def barred(figure: float, bar: float) -> str:
    return f"{figure:.3f}{' ' if round(figure, 2) >= bar else '!'}/{bar:.2f}"


def row(name: str, summary: dict[str, Any]) -> str:
    cells = [
        barred(look_up(summary, path) or 0.0, bar)
        for path, bar in zip(BARRED, BARS[name], strict=True)
    ]
    free = [look_up(summary, path) for _, path in FREE]
    cells += ["" if figure is None else f"{figure:.3f}" for figure in free]
    bias = summary["calibration"]["all"]["bias"]
    cells.append(f"{bias:+.3f}{' ' if abs(bias) <= BIAS_LIMIT else '!'}")
    cells.append("yes" if rises(summary) else "NO!")
    cells.append(str(summary["objects"]))
    return f"| {name}{' *' if name in UNSEEN else ''} | " + " | ".join(cells) + " |"


def print_table(summary: dict[str, Any]) -> None:
    heads = ["set", "1 click", "3 clicks", "5 clicks", "box"]
    heads += [head for head, _ in FREE] + ["bias", "rises", "objects"]
    print("| " + " | ".join(heads) + " |")
    print("|" + "---|" * len(heads))
    for name, part in summary["sets"].items():
        print(row(name, part))
    seconds = summary["all_objects"]["seconds"]
    print("\nmilliseconds:", {key: round(1000 * s, 1) for key, s in seconds.items()})


def print_gain(ours: dict[str, Any], theirs: dict[str, Any]) -> None:
    print("\nclassical baseline (model - baseline in brackets)")
    pairs = [(name, part, theirs["sets"][name]) for name, part in ours["sets"].items()]
    pairs.append(("mean over sets", ours["mean_over_sets"], theirs["mean_over_sets"]))
    for name, part, other in pairs:
        values = [(look_up(part, path), look_up(other, path)) for path in BARRED]
        cells = [f"{b:.3f} ({a - b:+.3f})" for a, b in values if a and b]
        print(f"| {name} | " + " | ".join(cells) + " |")
    gain = look_up(ours["mean_over_sets"], BARRED[0]) or 0.0
    gain -= look_up(theirs["mean_over_sets"], BARRED[0]) or 0.0
    verdict = "reached" if gain >= GAIN_WANTED else "MISSED!"
    print(f"gain at one click {gain:+.3f}, wanted {GAIN_WANTED:+.2f}: {verdict}")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--model", default="pocket")
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--dtype", default="auto")
    parser.add_argument("--set", action="append", choices=list(BARS), dest="sets")
    parser.add_argument("--clicks", type=int, default=8)
    parser.add_argument("--max-objects", type=int, help="of each image")
    parser.add_argument("--limit", type=int, help="images of each set")
    parser.add_argument("--baseline", action="store_true")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--report", type=Path, help="folder for the HTML page")
    return parser.parse_args()


def main() -> None:
    options = parse()
    settings = BenchmarkSettings(
        clicks=max(options.clicks, 5),
        max_objects=options.max_objects,
        limit=options.limit,
        examples=3 if options.report else 0,
    )
    sets = [open_set(options.data, name) for name in options.sets or BARS]
    started = time.perf_counter()
    results = run_benchmark(load_predictor(options), sets, settings)
    document = {"model": options.model, **summarise_all(results)}
    print_table(document)
    print(f"measured in {time.perf_counter() - started:.0f} s")
    if options.baseline:
        classical = run_benchmark(ClassicalPredictor(), sets, settings)
        document["baseline"] = summarise_all(classical)
        print_gain(document, document["baseline"])
    if options.json:
        options.json.write_text(json.dumps(document, indent=2), encoding="utf-8")
    if options.report:
        print("report:", write_report(options.report, document, results))


if __name__ == "__main__":
    main()
