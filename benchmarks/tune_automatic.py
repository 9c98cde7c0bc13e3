"""Try settings of automatic segmentation on a few training images.

    python benchmarks/tune_automatic.py ../shared/data/train [--images 3]
    python benchmarks/tune_automatic.py ... --checkpoint /runs/pocket.safetensors

What is slow, encoding and decoding, is done once; every setting is then tried on the
same candidates. Run it for new weights, and look at the mean over sets: those that a
model will meet are other ones. Never run it on images that a score is told of.
"""

from __future__ import annotations

import argparse
import itertools
import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch

from napari_sam import SamPredictor, create_model
from napari_sam.evaluation.datasets import open_datasets
from napari_sam.evaluation.labelled import LabelledImage
from napari_sam.evaluation.metrics import score_labels
from napari_sam.inference.automatic import BETTER_ONES
from napari_sam.inference.dense import DenseFinder
from napari_sam.inference.instances import (
    Candidate,
    InstanceSettings,
    record_iou,
    resolve,
)
from napari_sam.inference.prompted_regions import (
    DrawnRegion,
    prompt_regions,
    region_candidates,
)
from napari_sam.structures import Provenance

SETS = (
    "dsb2018_fluo", "dsb2018_histology", "phase_t98g_cells", "gravel_grains",
    "em_particles", "wbc_smear", "stardist_test_3d",
)  # fmt: skip
# Larger images are cut to the middle.
SIDE = 320
LOWEST, SHARES = (0.1, 0.2, 0.3, 0.4), (0.3, 0.5)
POWERS, MISMATCHES = (1, 2, 3), (0.4, 0.6, 1.0)


@dataclass(frozen=True, eq=False)
class Suggested:
    """A candidate, the region it comes from, and how well they agree."""

    candidate: Candidate
    drawn: DrawnRegion
    agreement: float


@dataclass(frozen=True, eq=False)
class Prepared:
    """Candidates of one image."""

    set_name: str
    truth: np.ndarray
    found: list[Suggested]


def crop(image: LabelledImage) -> tuple[np.ndarray, np.ndarray]:
    """The middle of an image and of its labels."""
    labels = image.labels()
    spans = [slice(max(0, (n - SIDE) // 2), (n + SIDE) // 2) for n in labels.shape]
    return image.image[spans[0], spans[1]], labels[spans[0], spans[1]]


def prepare(predictor: SamPredictor, set_name: str, image: LabelledImage) -> Prepared:
    """Encode and decode one image."""
    pixels, truth = crop(image)
    predictor.set_image(pixels, channel_axis=image.channel_axis)
    framing, embedding = predictor.framing, predictor.embedding
    regions = DenseFinder(framing)(embedding, lambda *_: None)
    drawn = region_candidates(regions, embedding.image_shape, Provenance("pocket", ""))
    by_box = {each.prompts.box: each for each in drawn}
    masks = prompt_regions(framing, embedding, drawn, lambda *_: None)
    pairs = [(each, by_box[each.record.provenance.prompts.box]) for each in masks]
    found = [Suggested(a, b, record_iou(a, b.candidate)) for a, b in pairs]
    return Prepared(set_name, truth, found)


def prepare_all(predictor: SamPredictor, root: Path, count: int) -> Iterator[Prepared]:
    """Prepare some images of each set, a plane of each stack."""
    for name in SETS:
        for images in open_datasets(root / name):
            for image in itertools.islice(images.limited(count), count):
                print(f"{name} {image.name}", flush=True)
                yield prepare(predictor, name, image)


def score(
    image: Prepared, lowest: float, share: float, power: int, mismatch: float
) -> float:
    """Mean SA of one image by one setting."""
    rated = []
    for each in image.found:
        region = each.drawn.region
        value = each.candidate.record.predicted_iou**power * each.agreement
        value *= math.exp(-((region.size_mismatch / mismatch) ** 2) / 2)
        rated.append(replace(each.candidate, score=value * region.certainty))
    scores = [each.score for each in rated] or [0.0]
    lowest = max(lowest, share * float(np.quantile(scores, BETTER_ONES)))
    labels = np.zeros(image.truth.shape, np.int32)
    kept = [each for each in rated if each.score >= lowest]
    resolve(kept, labels, InstanceSettings())
    return score_labels(image.truth, labels).mean_sa


def main() -> None:
    """Print a line for each setting, the best last."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--images", type=int, default=3)
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    predictor = SamPredictor(create_model("pocket", checkpoint=options.checkpoint))
    images = list(prepare_all(predictor, options.data, options.images))
    lines = []
    for setting in itertools.product(LOWEST, SHARES, POWERS, MISMATCHES):
        by_set = defaultdict(list)
        for image in images:
            by_set[image.set_name].append(score(image, *setting))
        means = {name: float(np.mean(each)) for name, each in by_set.items()}
        lines.append((float(np.mean(list(means.values()))), setting, means))
    for mean, setting, means in sorted(lines, key=lambda line: line[0]):
        lowest, share, power, mismatch = setting
        rest = " ".join(f"{name[:12]} {each:.3f}" for name, each in means.items())
        print(
            f"{mean:.4f}  lowest {lowest}, share {share}, IoU to the {power}, "
            f"mismatch {mismatch}: {rest}"
        )


if __name__ == "__main__":
    main()
