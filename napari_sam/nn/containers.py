"""Read a state dict out of the files in which SAM checkpoints travel.

Formats: safetensors, and PyTorch files read with ``weights_only=True``, which builds
tensors and plain containers but calls nothing that the file names. Containers: a plain
state dict, one under "model_state" (micro-sam), "state_dict" or "model", each with or
without "sam." before every key.
"""

from __future__ import annotations

import pickle
import zipfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from napari_sam.errors import CheckpointError
from napari_sam.nn.storage import looks_like_text

StateDict = dict[str, Tensor]
_WRAPPERS = ("model_state", "state_dict", "model")
_PREFIXES = ("sam.", "module.")
_ZIP_MAGIC = b"PK\x03\x04"
_TORCH_PICKLE = b"\x80\x02"
_OTHER_PICKLES = (b"\x80\x03", b"\x80\x04", b"\x80\x05")


def read_state_dict(path: Path) -> StateDict:
    """Read a model's tensors without running anything that the file holds.

    Parameters
    ----------
    path : Path
        The content decides how it is read, not the suffix.

    Returns
    -------
    dict of str to Tensor
        On the CPU, as stored, under the model's own key names.

    Raises
    ------
    CheckpointError
        The file is missing, empty, text, truncated, needs code to run, or holds no
        state dict.
    """
    head = _read_head(path)
    # The length of a safetensors header, under 2 ** 40, then the header itself.
    if head[5:9] == b"\0\0\0{":
        return unwrap(_read_safetensors(path), path)
    if head[:4] == _ZIP_MAGIC or head[:2] == _TORCH_PICKLE:
        return unwrap(_read_torch(path), path)
    if head[:2] in _OTHER_PICKLES:
        raise _refusal(path, "it was not written by torch.save")
    if looks_like_text(head):
        raise CheckpointError(_describe_text(path, head))
    raise CheckpointError(
        f"{path} is neither a safetensors nor a PyTorch file, or its start is damaged; "
        "fetch it again."
    )


def unwrap(content: Any, path: Path) -> StateDict:
    """Take the state dict out of its container and the prefix off its keys.

    Raises
    ------
    CheckpointError
        It holds no dict of tensors.
    """
    state = content
    for wrapper in _WRAPPERS:
        if isinstance(state, dict) and isinstance(state.get(wrapper), dict):
            state = state[wrapper]
            break
    if not isinstance(state, dict) or not state:
        raise CheckpointError(
            f"{path} holds no state dict but {_kind(state)}; save the model's "
            "state_dict() instead."
        )
    for key, value in state.items():
        if not isinstance(key, str) or not isinstance(value, Tensor):
            raise CheckpointError(
                f"{path} is not a state dict: under {key!r} it holds {_kind(value)}, "
                "not a tensor."
            )
    return _strip_prefixes(state)


def _strip_prefixes(state: StateDict) -> StateDict:
    for prefix in _PREFIXES:
        if all(key.startswith(prefix) for key in state):
            stripped = {key.removeprefix(prefix): state[key] for key in state}
            return _strip_prefixes(stripped)
    return state


def _kind(value: object) -> str:
    name = type(value).__name__
    return f"an empty {name}" if value in ({}, [], ()) else f"a value of type {name}"


def _read_head(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            head = file.read(512)
    except FileNotFoundError as error:
        raise CheckpointError(f"There is no file {path}.") from error
    except OSError as error:
        raise CheckpointError(f"Cannot read {path}: {error.strerror}.") from error
    if not head:
        raise CheckpointError(f"{path} is empty; fetch it again.")
    return head


def _describe_text(path: Path, head: bytes) -> str:
    start = head.lstrip().lower()
    if start.startswith((b"<!doctype", b"<html", b"<?xml")):
        return (
            f"{path} is a web page, not a checkpoint: the download was answered with "
            "an error or a login page; fetch it again."
        )
    if start.startswith(b"version https://git-lfs"):
        return f"{path} is a Git LFS pointer, not the checkpoint; run `git lfs pull`."
    return f"{path} is a text file, not a checkpoint."


def _read_safetensors(path: Path) -> StateDict:
    import safetensors
    import safetensors.torch

    try:
        return safetensors.torch.load_file(path)
    except safetensors.SafetensorError as error:
        raise CheckpointError(
            f"{path} is truncated or damaged (safetensors: {error}); fetch it again."
        ) from error


def _read_torch(path: Path) -> Any:
    zipped = False
    try:
        zipped = zipfile.is_zipfile(path)
        if zipped and _is_torchscript(path):
            raise CheckpointError(
                f"{path} is refused: it is a TorchScript program, not a state dict; "
                "save the model's state_dict() instead."
            )
        # Mapped into memory, a file of gigabytes is not held twice.
        return torch.load(path, map_location="cpu", weights_only=True, mmap=zipped)
    except (CheckpointError, MemoryError):
        raise
    except Exception as error:
        # Neither torch nor zipfile has one class for a damaged file.
        wanted = _find_globals(path, error, zipped)
        if wanted:
            raise _refusal(path, f"it asks for {wanted}") from error
        raise CheckpointError(
            f"{path} is truncated or damaged and cannot be read; fetch it again."
        ) from error


def _is_torchscript(path: Path) -> bool:
    with zipfile.ZipFile(path) as archive:
        return any(name.endswith("/constants.pkl") for name in archive.namelist())


def _refusal(path: Path, reason: str) -> CheckpointError:
    return CheckpointError(
        f"{path} is refused: it is a pickle that would run code ({reason}), as "
        "training states do. If you trust where it comes from, convert it where it was "
        "trained: micro_sam.util.export_custom_sam_model(checkpoint_path, model_type, "
        "save_path), or state = torch.load(path, weights_only=False); "
        "torch.save(state['model_state'], new_path)."
    )


def _find_globals(path: Path, error: Exception, zipped: bool) -> str:
    """Name what a refused pickle wants to import, without importing it.

    Empty where the pickle was not refused but damaged.
    """
    text = str(error)
    refused = isinstance(error, pickle.UnpicklingError)
    if not refused or ("GLOBAL" not in text and "REDUCE" not in text):
        return ""
    names: list[str] = []
    if zipped:
        # A pickle that is refused may be damaged further on.
        with suppress(Exception):
            names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    return ", ".join(sorted(names)[:3]) or "objects of its own"
