"""Time words: the first phrase on an image, another phrase, and the threshold's slider.

    python benchmarks/text.py                     # 1024 x 1024 with about 300 nuclei
    python benchmarks/text.py --objects 100

Bars: encoding, candidates and the first phrase in 8 s once the model is loaded; another
phrase on the same image in 50 ms; a slider move with 500 candidates in 30 ms.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable

import numpy as np
import torch

from napari_sam import SamPredictor, create_model
from napari_sam.inference.text_prompt import TextSegmenter
from napari_sam.inference.text_selection import TextCandidates, shared_areas
from napari_sam.structures import MaskRecord
from napari_sam.synthetic import mixed

FIRST_BAR, PHRASE_BAR, SLIDER_BAR = 8.0, 0.050, 0.030
PHRASES = ("mitochondria", "round cells", "DAPI-stained nuclei", "debris", "worms")
SLIDER_CANDIDATES = 500


def make_image(objects: int) -> np.ndarray:
    """A 1024 x 1024 picture, equally bright all over, of about so many nuclei."""
    diameter = 1024 * (0.28 / objects) ** 0.5
    rng = np.random.default_rng(0)
    drawn = [
        mixed(rng, (512, 512), ["nuclei"], modality="fluorescence", diameter=diameter)
        for _ in range(24)
    ]
    # How many a picture gets is chance, so that the nearest to a quarter are taken.
    drawn.sort(key=lambda scene: abs(int(scene.labels.max()) - objects / 4))
    tiles = [_stretch(scene.image) for scene in drawn[:4]]
    return np.concatenate([np.concatenate(tiles[:2], 1), np.concatenate(tiles[2:], 1)])


def _stretch(image: np.ndarray) -> np.ndarray:
    low, high = np.percentile(image, (1, 99.8))
    return (np.clip((image - low) / (high - low), 0, 1) * 65535).astype(np.uint16)


def clock(run: Callable[[], object]) -> tuple[float, float]:
    """Wall and processor seconds of a call."""
    wall, cpu = time.perf_counter(), time.process_time()
    run()
    return time.perf_counter() - wall, time.process_time() - cpu


def slider_candidates(count: int) -> TextCandidates:
    """Candidates in rows, with random scores for three classes."""
    rng = np.random.default_rng(0)
    side = int(np.ceil(count**0.5))
    records = tuple(
        MaskRecord(
            np.ones((40, 40), bool),
            (32 * (i // side), 32 * (i % side)),
            rng.random(),
            1,
        )
        for i in range(count)
    )
    return TextCandidates(
        records,
        np.zeros((count, 8), np.float32),
        rng.random((count, 3)).astype(np.float32),
        shared_areas(records),
        ("a", "b", "c"),
        ("", "", ""),
        (False, False, False),
        (32 * side + 8, 32 * side + 8),
    )


def report(what: str, wall: float, cpu: float, bar: float) -> None:
    """Print a figure beside its bar."""
    mark = " " if wall <= bar else "!"
    limits = f"(cpu {cpu * 1e3:.1f}, bar {bar * 1e3:.0f})"
    print(f"{what:<44} {wall * 1e3:9.1f} ms{mark} {limits}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--objects", type=int, default=300)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    arguments = parser.parse_args()
    torch.set_num_threads(arguments.threads)
    image = make_image(arguments.objects)
    segmenter = TextSegmenter(SamPredictor(create_model("pocket")))
    segmenter.space.query  # noqa: B018  loads the CLIP, as a running program has
    wall, cpu = clock(lambda: segmenter.candidates(image, "nuclei"))
    count = len(segmenter.candidates(None, "nuclei").records)
    report(f"encode, {count} candidates, first phrase", wall, cpu, FIRST_BAR)
    times = [clock(lambda p=p: segmenter.candidates(None, p)) for p in PHRASES]
    wall, cpu = (float(np.median(each)) for each in zip(*times, strict=True))
    report("another phrase", wall, cpu, PHRASE_BAR)
    found = slider_candidates(SLIDER_CANDIDATES)
    times = [clock(lambda t=t: found.select(t)) for t in np.linspace(0, 0.9, 10)]
    wall, cpu = (float(np.max(each)) for each in zip(*times, strict=True))
    report(f"a slider move, {SLIDER_CANDIDATES} candidates", wall, cpu, SLIDER_BAR)


if __name__ == "__main__":
    main()
