"""Choose the number type that matrix products are computed in.

bfloat16 has float32's range, so nothing overflows where the hardware has it; float16
is for devices that have only that. What the hardware claims is not what it is fast at,
so a short measurement decides.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from time import perf_counter

import torch

from napari_sam.errors import ModelError

DTYPES = {
    "float32": torch.float32,
    "bfloat16": torch.bfloat16,
    "float16": torch.float16,
}
# A gain below this does not pay for the lost digits.
WORTHWHILE = 1.2
# Inputs and outputs of the measured product, and its tokens on a CPU (about 1 ms) and
# elsewhere.
PROBE = (768, 768)
CPU_TOKENS = 128
GPU_TOKENS = 4096
REPEATS = 15


def choose_dtype(dtype: str, device: torch.device) -> torch.dtype:
    """Resolve the name of a compute type.

    Parameters
    ----------
    dtype : str
        "auto" (lower precision where it is supported and measured to be faster),
        "float32", "bfloat16" or "float16".
    device : torch.device

    Returns
    -------
    torch.dtype
        For autocast; float32 means off.

    Raises
    ------
    ModelError
        No such type, or not on this device.
    """
    if dtype == "auto":
        return _fastest(device)
    if dtype not in DTYPES:
        names = ", ".join(repr(name) for name in DTYPES)
        raise ModelError(f"{dtype!r} is no dtype of a model; use 'auto', {names}.")
    if dtype == "float16" and device.type == "cpu":
        raise ModelError(
            "float16 is not for CPUs: use 'auto', 'bfloat16' or 'float32'."
        )
    return DTYPES[dtype]


@cache
def _fastest(device: torch.device) -> torch.dtype:
    candidate = _candidate(device)
    if candidate == torch.float32:
        return candidate
    # In turns, so that other work on the machine meets both.
    with _one_thread():
        pairs = [
            (_measure(torch.float32, device), _measure(candidate, device))
            for _ in range(REPEATS)
        ]
    full, reduced = (min(times) for times in zip(*pairs, strict=True))
    return candidate if full > WORTHWHILE * reduced else torch.float32


@contextmanager
def _one_thread() -> Iterator[None]:
    """Keep to one thread: on a busy CPU several mostly wait for each other."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def _candidate(device: torch.device) -> torch.dtype:
    """Return the lower precision that a device computes in, float32 if none."""
    if device.type == "cuda":
        native = torch.cuda.get_device_capability(device) >= (8, 0)
        return torch.bfloat16 if native else torch.float16
    if device.type == "mps":
        return torch.float16
    if device.type == "cpu" and torch.ops.mkldnn._is_mkldnn_bf16_supported():
        return torch.bfloat16
    return torch.float32


@torch.no_grad()
def _measure(dtype: torch.dtype, device: torch.device) -> float:
    """Return the time of one linear layer under autocast, in seconds."""
    inputs, outputs = PROBE
    tokens = CPU_TOKENS if device.type == "cpu" else GPU_TOKENS
    x = torch.ones((tokens, inputs), device=device)
    weight = torch.ones((outputs, inputs), device=device)
    with torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32):
        start = perf_counter()
        # Reading one number waits until the device has finished.
        torch.nn.functional.linear(x, weight)[0, 0].item()
        return perf_counter() - start
