"""Find a model's checkpoint, verify it, and load it into the model."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from napari_sam.errors import CheckpointError
from napari_sam.nn.architectures import check_architecture
from napari_sam.nn.containers import StateDict, read_state_dict
from napari_sam.nn.download import checkpoint_path, download_model, find_checkpoint
from napari_sam.nn.fills import UnfilledWeights
from napari_sam.nn.registry import build_model, model_config
from napari_sam.nn.storage import Digests, check_digests, digest_file

if TYPE_CHECKING:
    from napari_sam.nn.download import Progress


def ensure_checkpoint(name: str, progress: Progress | None = None) -> Path:
    """Path of a model's checkpoint, downloaded first if it is not here.

    Raises
    ------
    ModelError
        No model of this name.
    CheckpointError
        It is not here and cannot be fetched.
    """
    path = find_checkpoint(name)
    if path is not None:
        return path
    config = model_config(name)
    if config.url is None:
        raise CheckpointError(
            f"The file of {name}, {config.filename}, is missing; "
            + ("reinstall napari-sam-clip." if config.bundled else "import it again.")
        )
    return download_model(name, progress=progress)


def verify_checkpoint(
    name: str, path: Path, progress: Progress | None = None
) -> Digests:
    """Compare a checkpoint with the hashes published for a model.

    Parameters
    ----------
    name : str
    path : Path
    progress : callable, optional
        Called with the bytes hashed so far and the total.

    Returns
    -------
    Digests

    Raises
    ------
    CheckpointError
        It is not the published file.
    """
    config = model_config(name)
    digests = digest_file(path, progress)
    check_digests(path, digests, config.sha256, config.xxh128)
    return digests


def inspect_checkpoint(name: str, progress: Progress | None = None) -> Digests:
    """Check a model's file on this machine: hash, format, layers and values.

    Parameters
    ----------
    name : str
    progress : callable, optional
        Called with the bytes hashed so far and the total.

    Returns
    -------
    Digests

    Raises
    ------
    ModelError
        No model of this name.
    CheckpointError
        The file is not here or not sound.
    """
    path = find_checkpoint(name)
    if path is None:
        raise CheckpointError(
            f"{name} is not on this machine ({checkpoint_path(name)} does not exist); "
            f"fetch it with: napari-sam models download {name}"
        )
    digests = verify_checkpoint(name, path, progress)
    check_fit(read_state_dict(path), name, path)
    return digests


def load_checkpoint(model: nn.Module, name: str, path: Path) -> None:
    """Load a file's weights into a model, all of them or none.

    Parameters
    ----------
    model : nn.Module
        Built for ``name``; keeps its own dtypes, so half-precision files become
        float32.
    name : str
        For the architecture and for messages.
    path : Path

    Raises
    ------
    CheckpointError
        The file is unsafe or damaged, of another model, or holds values that no
        weight can have.
    """
    state = read_state_dict(path)
    check_architecture(state, model_config(name).architecture, name, path)
    _check_state(model, state, name, path)
    model.load_state_dict(state, strict=True)


def check_fit(state: StateDict, name: str, path: Path) -> None:
    """Check that a state dict could be loaded into a model, without building it.

    Parameters
    ----------
    state : dict of str to Tensor
    name : str
    path : Path
        Where it is from, for messages.

    Raises
    ------
    CheckpointError
        As by `load_checkpoint`.
    """
    # On the meta device a model has shapes but takes neither time nor memory.
    with torch.device("meta"), UnfilledWeights():
        model = build_model(name)
    check_architecture(state, model_config(name).architecture, name, path)
    _check_state(model, state, name, path)


def _check_state(model: nn.Module, state: StateDict, name: str, path: Path) -> None:
    """Raise at the first difference in keys, shapes, dtypes or sound values."""
    wanted = model.state_dict()
    _check_keys(wanted, state, name, path)
    for key, tensor in state.items():
        _check_shape(key, wanted[key], tensor, name, path)
        _check_dtype(key, wanted[key], tensor, path)
    _check_values(state, path)


def _check_keys(wanted: StateDict, state: StateDict, name: str, path: Path) -> None:
    missing = [key for key in wanted if key not in state]
    surplus = [key for key in state if key not in wanted]
    parts = [
        f"{len(keys)} {what} ({keys[0]}{', ...' if len(keys) > 1 else ''})"
        for keys, what in ((missing, "missing"), (surplus, "unknown"))
        if keys
    ]
    if parts:
        raise CheckpointError(
            f"{path} does not fit {name}: of its weights, {' and '.join(parts)}."
        )


def _check_shape(
    key: str, wanted: Tensor, found: Tensor, name: str, path: Path
) -> None:
    if wanted.shape != found.shape:
        raise CheckpointError(
            f"{path} does not fit {name}: {key} has shape {tuple(found.shape)}, not "
            f"{tuple(wanted.shape)}."
        )


def _check_dtype(key: str, wanted: Tensor, found: Tensor, path: Path) -> None:
    same_kind = wanted.is_floating_point() == found.is_floating_point()
    plain = found.layout == torch.strided and not found.is_quantized
    if not same_kind or not plain or found.is_complex():
        raise CheckpointError(
            f"{path} stores {key} as {str(found.dtype).removeprefix('torch.')}, which "
            f"does not convert to {str(wanted.dtype).removeprefix('torch.')} weights; "
            "save the model in float32 or float16."
        )


def _check_values(state: StateDict, path: Path) -> None:
    bad = [key for key, tensor in state.items() if not _is_finite(tensor)]
    if bad:
        raise CheckpointError(
            f"{path} holds NaN or infinite weights in {len(bad)} of {len(state)} "
            f"tensors ({bad[0]}{', ...' if len(bad) > 1 else ''}): the training that "
            "wrote it diverged or the file is damaged."
        )


def _is_finite(tensor: Tensor) -> bool:
    if not tensor.is_floating_point():
        return True
    # A sum is NaN or infinite if any part is, and needs no copy; float64 keeps large
    # but finite weights from overflowing it.
    return bool(tensor.sum(dtype=torch.float64).isfinite())
