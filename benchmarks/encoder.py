"""Time and memory of SAM's ViT-B image encoder, against PyPI `segment-anything`.

Same random weights, one 1024 x 1024 image, timed in one process and in turns; the peak
memory of each is that of a process of its own, in all and less what it took before
encoding (Linux only): ``python benchmarks/encoder.py [--repeats N] [--threads N]``.
"""

from __future__ import annotations

import argparse
import gc
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import torch
from segment_anything import sam_model_registry
from timing import our_dtypes, print_ratios, time_in_turns

from napari_sam.nn.sam import build_sam_vit_b

REFERENCE = "segment-anything"
TIME_TARGETS = {"ours, float32": 0.62, "ours, bfloat16": 0.38}
MEMORY_TARGET = 0.6
Encode = Callable[[torch.Tensor], torch.Tensor]
# By the name of the run; None for the reference.
Dtypes = dict[str, torch.dtype | None]


def _reference_encoder() -> torch.nn.Module:
    torch.manual_seed(0)
    encoder = sam_model_registry["vit_b"]().image_encoder
    for name, parameter in encoder.named_parameters():
        if "rel_pos" in name or "pos_embed" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    return encoder


def _encoder(dtype: torch.dtype | None) -> Encode:
    """Build the reference's encoder, or ours in a number type."""
    reference = _reference_encoder()
    if dtype is None:
        return reference
    model = build_sam_vit_b()
    model.image_encoder.load_state_dict(reference.state_dict())
    model.compute_dtype = dtype
    return model.encode_image


def _gigabytes(field: str) -> float:
    status = Path("/proc/self/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith(field))
    return int(line.split()[1]) * 1024 / 1e9


def _print_peak(dtype: str) -> None:
    """Print what encoding adds to this process's memory, and its peak, in GB."""
    encode = _encoder(None if dtype == "None" else getattr(torch, dtype))
    gc.collect()
    # Forget the peak of building the model.
    Path("/proc/self/clear_refs").write_text("5")
    before = _gigabytes("VmRSS")
    encode(torch.randn(1, 3, 1024, 1024))
    print(_gigabytes("VmHWM") - before, _gigabytes("VmHWM"))


def _compare_memory(dtypes: Dtypes) -> None:
    reference = None
    for name, dtype in dtypes.items():
        peak = str(dtype).removeprefix("torch.")
        command = [sys.executable, __file__, "--peak", peak]
        result = subprocess.run(command, check=True, capture_output=True, text=True)
        added, total = (float(word) for word in result.stdout.split())
        reference = reference or (added, total)
        print(
            f"{name:22s} {added:5.2f} GB for encoding ({added / reference[0]:.2f}x), "
            f"{total:5.2f} GB in all ({total / reference[1]:.2f}x, "
            f"target {MEMORY_TARGET:.2f}x)"
        )


def _compare_time(dtypes: Dtypes, repeats: int) -> None:
    x = torch.randn(1, 3, 1024, 1024)
    encoders = {name: _encoder(dtype) for name, dtype in dtypes.items()}
    expected = encoders[REFERENCE](x)
    for name, encode in list(encoders.items())[1:]:
        difference = float((encode(x) - expected).abs().max())
        print(f"{name:22s} differs by at most {difference:.1e}")
    runs = {name: lambda e=encode: e(x) for name, encode in encoders.items()}
    print_ratios(time_in_turns(runs, repeats), TIME_TARGETS)


@torch.no_grad()
def main() -> None:
    """Print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    parser.add_argument("--peak", help=argparse.SUPPRESS)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    if options.peak:
        _print_peak(options.peak)
        return
    print(f"ViT-B, 1024 x 1024, {options.threads} threads")
    dtypes: Dtypes = {REFERENCE: None, **our_dtypes()}
    _compare_time(dtypes, options.repeats)
    _compare_memory(dtypes)


if __name__ == "__main__":
    main()
