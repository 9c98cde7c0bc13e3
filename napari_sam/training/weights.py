"""The weights a run starts from, and the file that it makes."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor, nn

from napari_sam.errors import CheckpointError, ExportError, ModelError
from napari_sam.nn.download import find_checkpoint
from napari_sam.nn.lora import add_lora, merge_lora
from napari_sam.nn.pocket import Pocket
from napari_sam.nn.registry import build_model, create_model
from napari_sam.nn.sam import Sam
from napari_sam.training.learner import Learner
from napari_sam.training.recipe import Recipe
from napari_sam.training.sam_learner import CACHE_BYTES, SamLearner

# timm's switch, which its vision transformers have.
CHECKPOINTING = "set_grad_checkpointing"


def start_learner(name: str, init: Path | None, recipe: Recipe) -> Learner:
    """Build the model that a run starts from, on the CPU in float32.

    Parameters
    ----------
    name : str
        Any registered model.
    init : Path or None
        Weights to start from; the model's own by default.
    recipe : Recipe
        Says whether it starts from random weights if ``init`` is None, and what of it
        is fitted.

    Returns
    -------
    Learner

    Raises
    ------
    ModelError
        There is no such model, or it cannot be trained as the recipe wants.
    CheckpointError
        The weights are missing or do not fit.
    """
    model: nn.Module
    torch.manual_seed(recipe.seed)
    if init is None and recipe.from_scratch:
        model = build_model(name)
    elif init is None and find_checkpoint(name) is None:
        raise CheckpointError(
            f"The weights of {name} are not on this machine; fetch them by napari-sam"
            f" models download {name}, name a file with --init, or begin with random"
            " weights by --from-scratch."
        )
    else:
        model = create_model(name, checkpoint=init, device="cpu", dtype="float32")
    return as_learner(model, name, recipe)


def as_learner(model: nn.Module, name: str, recipe: Recipe) -> Learner:
    """Prepare a model for training.

    Parameters
    ----------
    model : nn.Module
        Its parts are shared, not copied.
    name : str
        For messages.
    recipe : Recipe

    Returns
    -------
    Learner
        With low-rank adapters if the recipe fits such; otherwise as it is.

    Raises
    ------
    ModelError
        It is neither `Pocket` nor a `Sam`, or has nothing that LoRA could adapt.
    """
    if not isinstance(model, Pocket | Sam):
        raise ModelError(
            f"{name} has an interface of its own and cannot be trained here: only"
            " models of the class Sam, and pocket, can."
        )
    if recipe.parts == "lora":
        add_lora(model.image_encoder, recipe.lora_rank)
    if isinstance(model, Pocket):
        return model
    # Activations of a large encoder fill the memory; all but a block's are made anew.
    if recipe.parts != "decoder" and hasattr(model.image_encoder, CHECKPOINTING):
        getattr(model.image_encoder, CHECKPOINTING)(True)
    comes_again = recipe.parts == "decoder" and recipe.frame == "fixed"
    return SamLearner(model, CACHE_BYTES if comes_again else 0)


def write_weights(
    path: Path, state: dict[str, Tensor], metadata: dict[str, str]
) -> None:
    """Write weights as float16 safetensors, in one atomic step.

    Adapters are merged into the weights they stand beside, so that the file is an
    ordinary checkpoint.

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
        for key, value in merge_lora(state).items()
    }
    partial = path.with_suffix(".partial")
    try:
        save_file(half, partial, {"format": "pt", **metadata})
        partial.replace(path)
    except OSError as error:
        raise ExportError(f"{path} cannot be written: {error}.") from error
