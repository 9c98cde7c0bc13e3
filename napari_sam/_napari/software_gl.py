"""A crash that is not ours, kept away: triton and Mesa each bring their own LLVM."""

from __future__ import annotations

import sys
from pathlib import Path

MAPS = Path("/proc/self/maps")
# Mesa's drivers that compile shaders, such as llvmpipe, load it.
COMPILER = "libLLVM"


def keep_triton_out() -> bool:
    """Make ``import triton`` fail where it would end the process.

    Where Mesa has loaded LLVM to draw the viewer, loading triton's own copy of LLVM is
    a segmentation fault. Torch imports triton on the side, as with torchvision, and
    does without it where it is missing; nothing here compiles models.

    Returns
    -------
    bool
        Whether it is kept out.
    """
    if "triton" in sys.modules or not MAPS.exists():
        return False
    if COMPILER not in MAPS.read_text(encoding="utf-8", errors="replace"):
        return False
    sys.modules["triton"] = None  # type: ignore[assignment]
    return True
