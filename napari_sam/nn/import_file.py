"""Import a checkpoint file: recognise its model and put it where it is found."""

from __future__ import annotations

import shutil
from pathlib import Path

import safetensors.torch

from napari_sam.errors import CheckpointError, ModelError
from napari_sam.nn.architectures import describe_stranger, recognise
from napari_sam.nn.checkpoint import check_fit
from napari_sam.nn.containers import StateDict, read_state_dict
from napari_sam.nn.imported import (
    ImportRecord,
    check_name,
    write_record,
)
from napari_sam.nn.registry import list_models, model_config
from napari_sam.nn.storage import (
    Digests,
    digest_file,
    find_file,
    make_models_folder,
)


def import_checkpoint(
    path: str | Path, name: str | None = None, like: str | None = None
) -> str:
    """Make a checkpoint file available as a model.

    A published file is recognised by its hash and copied under its own model's name.
    Any other, such as a fine-tuned one, is recognised by its keys and shapes and kept
    as safetensors under a name of the user's.

    Parameters
    ----------
    path : path
    name : str, optional
        Name to give it; needed unless the file is a published one.
    like : str, optional
        Registered model whose conventions (normalisation, prompts) it shares; needed
        where several models have its layers.

    Returns
    -------
    str
        Name under which `create_model` now finds it.

    Raises
    ------
    CheckpointError
        The file is unsafe, damaged, or of no known model.
    ModelError
        The name is taken or cannot be used, or it must be said which model it is like.
    """
    path = find_file(path)
    state = read_state_dict(path)
    digests = digest_file(path)
    published = find_published(digests)
    if published is not None and name in (None, published):
        check_fit(state, published, path)
        _copy(path, make_models_folder() / model_config(published).filename)
        return published
    base = like or _choose_base(state, name, path)
    return _keep(state, _free_name(name, base, path), base, path)


def find_published(digests: Digests) -> str | None:
    """Name of the model whose published checkpoint has this hash, or None."""
    for name in list_models():
        config = model_config(name)
        if config.url is None:
            continue
        if config.sha256 == digests.sha256 or config.xxh128 == digests.xxh128:
            return name
    return None


def candidates(state: StateDict) -> list[str]:
    """Names of the registered models that have a state dict's architecture."""
    found = recognise(state)
    return [name for name in list_models() if found == model_config(name).architecture]


def _choose_base(state: StateDict, name: str | None, path: Path) -> str:
    names = candidates(state) if recognise(state) else []
    if not names:
        raise CheckpointError(
            f"{path} is {describe_stranger(state)}; if another package registered its "
            "model, name that one (--like MODEL)."
        )
    if name in names:
        # The user took it for the published one; _free_name says that it is not.
        return str(name)
    if len(names) > 1:
        raise ModelError(
            f"{path} is a {recognise(state)} model but none of the published files: "
            f"say which one's image normalisation it was trained with (--like), one of "
            f"{', '.join(names)}, and a name for it (--name)."
        )
    return names[0]


def _free_name(name: str | None, base: str, path: Path) -> str:
    if name is None:
        raise ModelError(
            f"{path} is a model like {base} but not the published file: give it a name "
            "of its own (--name)."
        )
    check_name(name)
    if name in list_models():
        raise ModelError(
            f"{path} cannot be imported as {name}: that name is taken and the file is "
            "not its published one; give it a name of its own (--name)."
        )
    return name


def _keep(state: StateDict, name: str, base: str, path: Path) -> str:
    check_fit(state, base, path)
    target = make_models_folder() / f"{name}.safetensors"
    part = target.with_name(target.name + ".part")
    # Copies, since safetensors refuses tensors that share memory.
    tensors = {key: tensor.contiguous().clone() for key, tensor in state.items()}
    safetensors.torch.save_file(tensors, part, metadata={"format": "pt"})
    part.replace(target)
    digests = digest_file(target)
    record = ImportRecord(
        name, base, target.name, digests.sha256, digests.size, str(path.absolute())
    )
    write_record(record)
    return name


def _copy(source: Path, target: Path) -> None:
    if target.exists() and source.samefile(target):
        return
    part = target.with_name(target.name + ".part")
    shutil.copyfile(source, part)
    part.replace(target)
