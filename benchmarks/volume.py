"""What propagation costs: 20 objects through 64 slices of 512 x 512.

Run ``OMP_NUM_THREADS=1 python benchmarks/volume.py``. With one thread the time is the
processor's. Every object is followed through every slice, whatever the model thinks of
it: the rules by which objects end are off. ``--slices N`` takes fewer slices, which
changes the ratio little.
"""

from __future__ import annotations

import argparse
import resource
from time import perf_counter, process_time

import numpy as np
import torch

from napari_sam import create_model
from napari_sam.inference.volume import VolumeSegmenter
from napari_sam.inference.volume_steps import PropagationSettings
from napari_sam.structures import BoxPrompt, PromptSet

OBJECTS, SLICES, SIDE, DIAMETER = 20, 64, 512, 44
RATIO_TARGET, MEMORY_TARGET = 2.5, 1.5e9
ALWAYS = PropagationSettings(
    min_predicted_iou=-1,
    min_stability=-1,
    min_overlap=-1,
    max_area_ratio=1e9,
    revival=0,
    min_contrast=0,
    patience=10_000,
    min_area=0,
)


def make_volume(slices: int) -> tuple[np.ndarray, list[tuple[int, int]]]:
    """Bright discs that wander a little from slice to slice, on noise."""
    generator = np.random.default_rng(0)
    rows, cols = np.mgrid[:SIDE, :SIDE]
    centres = [(60 + 98 * row, 60 + 98 * col) for row in range(5) for col in range(5)]
    places = np.array(centres[:OBJECTS], dtype=float)
    volume = np.zeros((slices, SIDE, SIDE), np.uint16)
    for plane in volume:
        bright = generator.normal(300, 40, plane.shape)
        places += generator.normal(0, 0.5, places.shape)
        for row, col in places:
            bright[(rows - row) ** 2 + (cols - col) ** 2 < (DIAMETER / 2) ** 2] += 900
        plane[:] = bright.clip(0)
    return volume, centres[:OBJECTS]


def main() -> None:
    """Print the ratio to encoding alone, and the peak memory."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--slices", type=int, default=SLICES)
    parser.add_argument("--checkpoint")
    asked = parser.parse_args()
    now = process_time if torch.get_num_threads() == 1 else perf_counter
    volume, centres = make_volume(asked.slices)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    model = create_model("pocket", checkpoint=asked.checkpoint)
    segmenter = VolumeSegmenter(model, ALWAYS)
    middle, half = asked.slices // 2, DIAMETER / 2
    prompts = {
        number: {
            middle: PromptSet(
                box=BoxPrompt((row - half, col - half), (row + half, col + half))
            )
        }
        for number, (row, col) in enumerate(centres, start=1)
    }
    segmenter.open(volume).get(0)  # the first call of a model is slower
    planes, start = segmenter.open(volume), now()
    for index in range(asked.slices):
        planes.get(index)
    encoding = now() - start
    del planes  # else two volumes' features would be in memory
    start = now()
    found = segmenter.propagate(volume, prompts)
    whole = now() - start
    followed = sum(len(each.slices) for each in found.objects.values())
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    print(
        f"{torch.get_num_threads()} threads, {asked.slices} slices, {OBJECTS} objects"
    )
    print(f"encoding alone {encoding:.2f} s, with propagation {whole:.2f} s")
    print(f"ratio {whole / encoding:.2f}x (target {RATIO_TARGET:.2f}x)")
    print(f"masks found {followed} of {OBJECTS * asked.slices}")
    print(
        f"peak memory {peak / 1e9:.2f} GB (target {MEMORY_TARGET / 1e9:.1f} GB), of "
        f"which {before / 1e9:.2f} GB before the model"
    )


if __name__ == "__main__":
    main()
