"""Everything in an image: time and memory of the grid, and of the bundled model.

    python benchmarks/automatic.py [--points N] [--repeats N] [--threads N]
    python benchmarks/automatic.py --only dense

The grid is compared with `SamAutomaticMaskGenerator` of PyPI `segment-anything`: same
random weights of ViT-B, same embedding of a 1024 x 1024 image, thresholds so low that
masks survive, in one process and in turns; the peak memory of each is that of a process
of its own, less what it took before (Linux only). Then `pocket` finds about 300 nuclei
in 1024 x 1024 pixels by its dense head.
"""

from __future__ import annotations

import argparse
import gc
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pycocotools import mask as coco
from scipy import ndimage
from segment_anything import SamAutomaticMaskGenerator
from segment_anything.modeling import Sam as ReferenceSam
from text import make_image
from timing import print_ratios, time_in_turns
from torch import nn

from napari_sam import SamPredictor, create_model
from napari_sam.inference.automatic import segment_everything
from napari_sam.inference.fixed_frame import FixedFraming
from napari_sam.inference.grid import AutomaticMaskGenerator
from napari_sam.nn.sam import assemble_sam

SIZE = 1024
REFERENCE = "segment-anything"
DTYPES = {"ours, float32": torch.float32, "ours, bfloat16": torch.bfloat16}
TARGETS = {"ours, float32": 0.45, "ours, bfloat16": 0.25}
MEMORY_TARGET, MATCH_TARGET = 0.3, 0.99
NUCLEI, DENSE_BAR = 300, 6.0
# Of the masks of random weights about a tenth survive, all with much the same box.
SETTINGS: dict[str, Any] = {
    "stability_score_offset": 0.1,
    "box_nms_thresh": 1.0,
    "output_mode": "coco_rle",
}
Generate = Callable[[], list[dict[str, Any]]]


class _Frame(nn.Module):
    """Stands in for the image encoder, which is not run."""

    img_size = SIZE


def _reference_model() -> ReferenceSam:
    from segment_anything.modeling import (
        MaskDecoder,
        PromptEncoder,
        TwoWayTransformer,
    )

    torch.manual_seed(0)
    transformer = TwoWayTransformer(
        depth=2, embedding_dim=256, mlp_dim=2048, num_heads=8
    )
    prompts = PromptEncoder(
        embed_dim=256,
        image_embedding_size=(SIZE // 16, SIZE // 16),
        input_image_size=(SIZE, SIZE),
        mask_in_chans=16,
    )
    decoder = MaskDecoder(transformer_dim=256, transformer=transformer)
    return ReferenceSam(_Frame(), prompts, decoder).eval()


def _features() -> torch.Tensor:
    """An embedding whose masks are blobs, as those of an image, and not noise."""
    noise = np.random.default_rng(0).standard_normal((256, SIZE // 16, SIZE // 16))
    smooth = ndimage.gaussian_filter(noise, (0, 4, 4))
    smooth /= smooth.std()
    return torch.from_numpy(smooth.astype(np.float32))[None]


def _reference_run(
    model: ReferenceSam, features: torch.Tensor, settings: dict[str, Any]
) -> Generate:
    generator = SamAutomaticMaskGenerator(model, **settings)
    predictor = generator.predictor

    def set_features(_image: np.ndarray) -> None:
        predictor.features, predictor.is_image_set = features, True
        predictor.original_size = predictor.input_size = (SIZE, SIZE)

    predictor.set_image = set_features
    image = np.zeros((SIZE, SIZE, 3), np.uint8)
    return lambda: generator.generate(image)


def _our_run(
    model: ReferenceSam,
    features: torch.Tensor,
    settings: dict[str, Any],
    dtype: torch.dtype,
) -> Generate:
    ours = assemble_sam(_Frame())
    ours.load_state_dict(model.state_dict())
    ours.compute_dtype = dtype
    generator = AutomaticMaskGenerator(ours, **settings)
    embedding = FixedFraming(ours).restore(features, (SIZE, SIZE))
    image = np.zeros((SIZE, SIZE, 3), np.uint8)
    return lambda: generator.generate(image, embedding=embedding)


def _lowered(
    model: ReferenceSam, features: torch.Tensor, points: int
) -> dict[str, Any]:
    """Thresholds that about a tenth of the masks pass, found on a small grid."""
    few = SETTINGS | {
        "points_per_side": 8,
        "pred_iou_thresh": -100.0,
        "stability_score_thresh": 0.0,
    }
    found = _our_run(model, features, few, torch.float32)()
    rated = [each["predicted_iou"] for each in found]
    steady = [each["stability_score"] for each in found]
    return SETTINGS | {
        "points_per_side": points,
        "pred_iou_thresh": float(np.quantile(rated, 0.6)),
        "stability_score_thresh": float(np.quantile(steady, 0.75)),
    }


def _runs(points: int) -> dict[str, Generate]:
    model, features = _reference_model(), _features()
    settings = _lowered(model, features, points)
    runs = {REFERENCE: _reference_run(model, features, settings)}
    for name, dtype in DTYPES.items():
        runs[name] = _our_run(model, features, settings, dtype)
    return runs


def _print_match(runs: dict[str, Generate]) -> None:
    """Print the share of the reference's masks that ours match at IoU > .95."""
    theirs = runs[REFERENCE]()
    for name in list(runs)[1:]:
        ours = runs[name]()
        ious = coco.iou(
            [each["segmentation"] for each in ours],
            [each["segmentation"] for each in theirs],
            [0] * len(theirs),
        )
        share = float((np.asarray(ious).max(0) > 0.95).mean())
        print(
            f"{name:22s} {len(ours)} masks for {len(theirs)}, {share:.4f} matched "
            f"(target {MATCH_TARGET:.2f})",
            flush=True,
        )


def _megabytes(field: str) -> float:
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024 / 1e6


def _print_peak(name: str, points: int) -> None:
    run = _runs(points)[name]
    gc.collect()
    # Forget the peak of finding the thresholds.
    Path("/proc/self/clear_refs").write_text("5")
    before = _megabytes("VmRSS")
    run()
    print(_megabytes("VmHWM") - before)


def _compare_memory(names: list[str], points: int) -> None:
    reference = None
    for name in names:
        command = [sys.executable, __file__, "--peak", name, "--points", str(points)]
        result = subprocess.run(command, check=True, capture_output=True, text=True)
        added = float(result.stdout)
        reference = reference or added
        print(
            f"{name:22s} {added:7.0f} MB more at its peak "
            f"({added / reference:.2f}x, target {MEMORY_TARGET:.2f}x)",
            flush=True,
        )


def _has_bfloat16() -> bool:
    """Whether the processor multiplies bfloat16 by itself."""
    if platform.machine() not in ("x86_64", "AMD64"):
        return False
    return "avx512_bf16" in Path("/proc/cpuinfo").read_text()


def _compare_grid(points: int, repeats: int) -> None:
    print(f"grid of {points} x {points} points, {torch.get_num_threads()} threads")
    runs = _runs(points)
    if not _has_bfloat16():
        del runs["ours, bfloat16"]
        print("bfloat16 is left out: this processor has none (avx512_bf16)")
    _print_match(runs)
    print_ratios(time_in_turns(runs, repeats), TARGETS)
    _compare_memory(list(runs), points)


def _time_dense(repeats: int) -> None:
    image = make_image(NUCLEI)
    predictor = SamPredictor(create_model("pocket"))
    walls, cpus = [], []
    for _ in range(repeats + 1):
        wall, cpu = time.perf_counter(), time.process_time()
        predictor.set_image(image)
        count = len(segment_everything(predictor).records)
        walls.append(time.perf_counter() - wall)
        cpus.append(time.process_time() - cpu)
    print(
        f"pocket, dense, {image.shape[0]} x {image.shape[1]}, {count} objects, "
        f"{torch.get_num_threads()} threads: {min(walls[1:]):.2f} s "
        f"({min(cpus[1:]):.2f} s of processor; bar {DENSE_BAR:.0f} s on two cores)"
    )


@torch.no_grad()
def main() -> None:
    """Print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--points", type=int, default=32)
    parser.add_argument("--repeats", type=int, default=1)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--only", choices=("grid", "dense"))
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.peak:
        _print_peak(options.peak, options.points)
        return
    if options.only != "grid":
        _time_dense(options.repeats)
    if options.only != "dense":
        _compare_grid(options.points, options.repeats)


if __name__ == "__main__":
    main()
