"""The weights a run starts from, and the file that it makes."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import torch
from safetensors.torch import save_file
from torch import Tensor

from napari_sam.errors import CheckpointError, ExportError, ModelError
from napari_sam.nn.download import find_checkpoint
from napari_sam.nn.pocket import Pocket
from napari_sam.nn.registry import build_model, create_model, list_models, model_config

TRAINABLE = "pocket"


def check_trainable(name: str) -> None:
    """Refuse models that cannot be trained.

    Raises
    ------
    ModelError
        There is no such model, or this package cannot train it.
    """
    if model_config(name).architecture == TRAINABLE:
        return
    possible = [
        each for each in list_models() if model_config(each).architecture == TRAINABLE
    ]
    raise ModelError(
        f"Training of {name} is not available yet; these models can be trained:"
        f" {', '.join(possible)}."
    )


def start_model(name: str, init: Path | None, from_scratch: bool, seed: int) -> Pocket:
    """Build the model that a run starts from, on the CPU in float32.

    Parameters
    ----------
    name : str
    init : Path or None
        Weights to start from; the model's own by default.
    from_scratch : bool
        Start from random weights if ``init`` is None.
    seed : int
        Of random weights.

    Raises
    ------
    ModelError
        As by `check_trainable`.
    CheckpointError
        The weights are missing or do not fit.
    """
    check_trainable(name)
    if init is None and from_scratch:
        torch.manual_seed(seed)
        return cast("Pocket", build_model(name))
    if init is None and find_checkpoint(name) is None:
        raise CheckpointError(
            f"The weights of {name} are not on this machine; name a file with --init,"
            " or begin with random weights by --from-scratch."
        )
    model = create_model(name, checkpoint=init, device="cpu", dtype="float32")
    return cast("Pocket", model)


def write_weights(
    path: Path, state: dict[str, Tensor], metadata: dict[str, str]
) -> None:
    """Write weights as float16 safetensors, in one atomic step.

    Parameters
    ----------
    path : Path
    state : dict of str to Tensor
    metadata : dict of str to str
        Kept in the file's header.

    Raises
    ------
    ExportError
        The file cannot be written.
    """
    half = {
        key: (value.half() if value.is_floating_point() else value).contiguous()
        for key, value in state.items()
    }
    partial = path.with_suffix(".partial")
    try:
        save_file(half, partial, {"format": "pt", **metadata})
        partial.replace(path)
    except OSError as error:
        raise ExportError(f"{path} cannot be written: {error}.") from error
