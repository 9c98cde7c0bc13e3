"""The file from which an interrupted run goes on."""

from __future__ import annotations

import pickle
from collections.abc import Collection
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from napari_sam.errors import CheckpointError

# What an averaged model puts before the keys of the model.
AVERAGED = "module."


def load_fitted(
    module: nn.Module, state: dict[str, Tensor], frozen: Collection[str]
) -> None:
    """Load a state dict that lacks what is frozen.

    Parameters
    ----------
    module : nn.Module
        A model, or an average of it.
    state : dict of str to Tensor
    frozen : collection of str
        Keys of the model that may be missing.

    Raises
    ------
    KeyError
        Others are missing, or there are some too many.
    RuntimeError
        A tensor has another shape.
    """
    missing, unknown = module.load_state_dict(state, strict=False)
    wrong = [key for key in missing if key.removeprefix(AVERAGED) not in frozen]
    if wrong or unknown:
        raise KeyError(*wrong, *unknown)


def write_state(path: Path, state: dict[str, Any]) -> None:
    """Replace the file in one step, so that a kill leaves the old or the new one."""
    path.parent.mkdir(parents=True, exist_ok=True)
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    partial.replace(path)


def read_state(path: Path) -> dict[str, Any]:
    """Read a saved run.

    Raises
    ------
    CheckpointError
        There is none, or the file is damaged.
    """
    if not path.exists():
        raise CheckpointError(
            f"There is no saved run at {path}; start without --resume."
        )
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except (RuntimeError, ValueError, EOFError, OSError, pickle.PickleError) as error:
        raise CheckpointError(_unfit(path)) from error
    if not isinstance(state, dict):
        raise CheckpointError(_unfit(path))
    return state


def foreign(path: Path) -> CheckpointError:
    """Make the error for a state that does not fit the run."""
    return CheckpointError(_unfit(path))


def check_identity(path: Path, saved: Any, wanted: dict[str, Any]) -> None:
    """Refuse to go on with other settings or data than a run began with.

    Parameters
    ----------
    path : Path
    saved, wanted : dict
        What identifies the saved run and this one; a saved run that tells nothing is
        taken on trust.

    Raises
    ------
    CheckpointError
        They differ; the message names where.
    """
    if saved is None:
        return
    for key, value in wanted.items():
        if saved.get(key) != value:
            raise CheckpointError(
                f"{path} is from a run with {key} {saved.get(key)!r}, not {value!r};"
                " give the options and data it began with, or start without --resume."
            )


def _unfit(path: Path) -> str:
    return (
        f"{path} is not the state of this run; start without --resume, or give the"
        " model and data it was made with."
    )
