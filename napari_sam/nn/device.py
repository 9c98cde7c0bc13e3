"""Choose the device a model runs on."""

from __future__ import annotations

import torch

from napari_sam.errors import ModelError


def choose_device(device: str = "auto") -> torch.device:
    """Resolve a device name to one that this machine has.

    Parameters
    ----------
    device : str
        "auto" (CUDA, else MPS, else CPU) or a torch device such as "cuda:1".

    Returns
    -------
    torch.device

    Raises
    ------
    ModelError
        The name means no device, or this machine lacks it.
    """
    if device == "auto":
        return torch.device(_best_type())
    try:
        chosen = torch.device(device)
    except (RuntimeError, TypeError) as error:
        raise ModelError(
            f"{device!r} is no device; use 'auto', 'cpu', 'cuda', 'cuda:N' or 'mps'."
        ) from error
    if not _is_available(chosen):
        raise ModelError(
            f"This machine has no device {device!r} that torch can use; use 'auto' or "
            "'cpu'."
        )
    return chosen


def _best_type() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


def _is_available(device: torch.device) -> bool:
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        return (device.index or 0) < count
    if device.type == "mps":
        return torch.backends.mps.is_available()
    return device.type == "cpu"
