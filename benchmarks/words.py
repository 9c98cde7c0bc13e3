"""Print what words reach beside their bars: real sets, two kinds, word and click.

    python benchmarks/words.py                 # all; the real sets whole
    python benchmarks/words.py --limit 10      # ten files of each real set
    python benchmarks/words.py --skip-sets     # the synthetic pictures alone

The real sets (``--data``, ``../shared/data/val`` by default) are asked by their own
word, by held-out synonyms and by eight words of what is not there, at one threshold.
The synthetic pictures are of seeds that nothing was fitted on. A figure with ! misses
its bar, which stands behind it.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import numpy as np

from napari_sam import SamPredictor, create_model
from napari_sam.evaluation.datasets import folder_set, label_targets
from napari_sam.evaluation.labelled import Target
from napari_sam.evaluation.words import measure_words, word_of_set
from napari_sam.inference.text_prompt import TextSegmenter
from napari_sam.inference.text_selection import DEFAULT_THRESHOLD
from napari_sam.structures import MaskRecord, PointPrompt, PromptSet, TextPrompt
from napari_sam.synthetic import KINDS, SCENES, SyntheticScene, draw_kinds, mixed

# Mean SA by the right word; for bacteria, of which not all are labelled, recall at .5.
BARS = {
    "dsb2018_fluo": ("mean_sa", 0.52),
    "stardist_test_2d": ("mean_sa", 0.55),
    "dsb2018_histology": ("mean_sa", 0.25),
    "phase_t98g_cells": ("mean_sa", 0.30),
    "gravel_grains": ("mean_sa", 0.30),
    "bacteria_ecoli": ("recall50", 0.70),
}
NOTHING_BAR, SYNONYM_BAR, PRECISION_BAR, CLICK_BAR = 0.90, 0.85, 0.85, 0.05
FIRST_SEED = 900_000
SIDE = 256


def show(what: str, value: float | None, bar: float, more: str = "") -> None:
    """Print a figure beside its bar."""
    if value is None:
        return
    mark = " " if value >= bar else "!"
    print(f"  {what:<34} {value:6.3f}{mark} (bar {bar:.2f}) {more}", flush=True)


def measure_set(segmenter: TextSegmenter, folder: Path, limit: int | None) -> None:
    """Ask for one real set's objects."""
    images, word = folder_set(folder).limited(limit), word_of_set(folder)
    figures = measure_words(segmenter, images, word, DEFAULT_THRESHOLD).summary()
    key, bar = BARS[folder.name]
    print(f"{folder.name}, {figures['images']} images, asked for {word!r}")
    show(key, figures[key], bar, f"AP50 {figures['ap50']:.3f}")
    show("synonyms over the word", figures["synonym_ratio"], SYNONYM_BAR)
    absent: dict[str, float] = figures["nothing_for_absent"]
    worst = min(absent, key=lambda name: absent[name])
    show("nothing for absent words", absent[worst], NOTHING_BAR, f"worst: {worst}")


def as_record(target: Target) -> MaskRecord:
    """A true mask as a candidate."""
    return MaskRecord(target.mask, target.origin, 1.0, 1.0)


def measure_pairs(segmenter: TextSegmenter, count: int, proposals: bool) -> None:
    """Name one of two kinds in one picture, and count what is of that kind."""
    right = wrong = asked = found = 0
    for seed in range(FIRST_SEED, FIRST_SEED + count):
        rng = np.random.default_rng(seed)
        kinds = draw_kinds(rng, 2)
        scene = mixed(rng, (SIDE, SIDE), kinds)
        segmenter.set_image(scene.image)
        targets = [t for t in label_targets(scene.labels) if t.area >= 16]
        if not proposals:
            segmenter.set_records([as_record(target) for target in targets])
        for kind in kinds:
            word = KINDS[kind].word
            own = sum(scene.classes[t.identifier] == word for t in targets)
            hits = [
                named(scene, each.record) == word
                for each in segmenter.candidates(None, kind).select().instances
                if named(scene, each.record)
            ]
            right, wrong = right + sum(hits), wrong + len(hits) - sum(hits)
            asked, found = asked + bool(own), found + bool(own and any(hits))
    source = "the model's masks" if proposals else "true masks"
    print(f"two kinds in a picture, {count} pictures, {source}")
    precision = right / max(right + wrong, 1)
    show("instance precision", precision, PRECISION_BAR, f"found {found}/{asked}")


def named(scene: SyntheticScene, record: MaskRecord) -> str:
    """The word of the object that a mask mostly covers; "" on the ground."""
    (row, col), (height, width) = record.origin, record.mask.shape
    covered = scene.labels[row : row + height, col : col + width][record.mask]
    counts = np.bincount(covered)
    best = int(counts.argmax())
    return scene.classes[best] if best else ""


def measure_clicks(segmenter: TextSegmenter, count: int) -> None:
    """Click on the nucleus of a cell and mean the one or the other."""
    plain: list[float] = []
    weighed: list[float] = []
    for seed in range(FIRST_SEED, FIRST_SEED + count):
        name = ("fluorescence_cells", "blood_smear")[seed % 2]
        scene = SCENES[name](np.random.default_rng(seed), (SIDE, SIDE))
        segmenter.set_image(scene.image)
        for part in label_targets(scene.layers["nucleus"])[:6]:
            whole = scene.labels == part.identifier
            click = (PointPrompt(middle(part)),)
            wants = (("nucleus", part.full(scene.labels.shape)), (
                scene.classes[part.identifier], whole,
            ))  # fmt: skip
            free = segmenter.predictor.predict(PromptSet(click))
            for phrase, truth in wants:
                told = segmenter.predict(PromptSet(click, text=TextPrompt(phrase)))
                plain.append(iou(free.masks[free.best], truth))
                weighed.append(iou(told.masks[told.best], truth))
    gain = float(np.mean(weighed) - np.mean(plain))
    print(f"word and click on parts, {len(plain)} questions")
    show(
        "gain in IoU",
        gain,
        CLICK_BAR,
        f"{np.mean(plain):.3f} -> {np.mean(weighed):.3f}",
    )


def middle(part: Target) -> tuple[float, float]:
    """A pixel of a mask, nearest to its mean."""
    pixels = np.argwhere(part.mask)
    nearest = np.abs(pixels - pixels.mean(0)).sum(1).argmin()
    row, col = pixels[nearest] + part.origin
    return float(row), float(col)


def iou(mask: Any, truth: Any) -> float:
    """Overlap of two masks."""
    return float((mask & truth).sum() / max((mask | truth).sum(), 1))


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/val"))
    parser.add_argument("--limit", type=int)
    parser.add_argument("--pictures", type=int, default=60)
    parser.add_argument("--skip-sets", action="store_true")
    arguments = parser.parse_args()
    segmenter = TextSegmenter(SamPredictor(create_model("pocket")))
    given = TextSegmenter(segmenter.predictor, find=lambda _: [])
    measure_pairs(given, arguments.pictures, proposals=False)
    measure_clicks(given, arguments.pictures // 2)
    measure_pairs(segmenter, arguments.pictures // 3, proposals=True)
    for name in () if arguments.skip_sets else BARS:
        measure_set(segmenter, arguments.data / name, arguments.limit)


if __name__ == "__main__":
    main()
