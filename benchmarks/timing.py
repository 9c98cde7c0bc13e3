"""Compare two implementations on a machine that may have other work to do."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from time import perf_counter, process_time

import torch


def our_dtypes() -> dict[str, torch.dtype]:
    """Number types worth comparing here, by the name of our run in them.

    A CPU without bfloat16 would only emulate it, many times slower.
    """
    dtypes = {"ours, float32": torch.float32, "ours, bfloat16": torch.bfloat16}
    if not torch.ops.mkldnn._is_mkldnn_bf16_supported():
        del dtypes["ours, bfloat16"]
        print("This CPU has no bfloat16: it is left out.")
    return dtypes


def time_in_turns(
    runs: dict[str, Callable[[], object]], repeats: int
) -> dict[str, list[float]]:
    """Time functions in turns, after one untimed round.

    With one thread the time is the processor's, which does not run while other work
    has the core; with several it is the clock's.

    Parameters
    ----------
    runs : dict of str to callable
    repeats : int

    Returns
    -------
    dict of str to list of float
        Seconds of each repeat.
    """
    times: dict[str, list[float]] = {name: [] for name in runs}
    now = process_time if torch.get_num_threads() == 1 else perf_counter
    for run in runs.values():
        run()
    for _ in range(repeats):
        for name, run in runs.items():
            start = now()
            run()
            times[name].append(now() - start)
    return times


def print_ratios(times: dict[str, list[float]], targets: dict[str, float]) -> None:
    """Print each run's time and its ratio to the first one's.

    The ratio of the shortest times is what idle cores give; the median of the ratios
    of each round shows whether other work has blurred it.
    """
    reference = next(iter(times.values()))
    for name, each in times.items():
        rounds = median(a / b for a, b in zip(each, reference, strict=True))
        line = (
            f"{name:22s} {min(each):8.3f} s   ratio of minima "
            f"{min(each) / min(reference):.2f}x, median of rounds {rounds:.2f}x"
        )
        if name in targets:
            line += f"   (target {targets[name]:.2f}x)"
        print(line, flush=True)
