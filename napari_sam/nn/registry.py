"""The models this package knows, by name; other packages can add theirs.

Imports no torch until a model is created, so that listing models is immediate.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

from napari_sam.errors import ModelError
from napari_sam.nn import imported

if TYPE_CHECKING:
    from torch import nn

    from napari_sam.nn.sam import Sam

ENTRY_POINT_GROUP = "napari_sam.models"
Normalisation = Literal["sam", "micro_sam", "pocket"]
BuildFunction = TypeVar("BuildFunction", bound="Callable[[], nn.Module]")


@dataclass(frozen=True)
class PretrainedConfig:
    """Where a model's weights come from and what they expect.

    Attributes
    ----------
    url : str or None
        Where the checkpoint is published; None for bundled and imported ones.
    filename : str
        Name of the file in the models folder (in ``napari_sam/weights`` if bundled).
    sha256, xxh128 : str or None
        Published hashes, hexadecimal.
    size : int or None
        Bytes.
    licence, source : str
        Licence of the weights and who made them, for provenance.
    image_size : int
        Side of the square the encoder sees, in pixels.
    normalisation : {"sam", "micro_sam", "pocket"}
        Convention by which an image becomes the encoder's input.
    prompts : frozenset of str
        Kinds of prompt taken, of "point", "box", "mask" and "text".
    bundled : bool
        The weights are part of this package.
    decoder_url, decoder_xxh128 : str or None
        micro-sam's separate decoder for automatic instance segmentation.
    architecture : str
        Models of the same value have the same layers; "" if there is only this one.
    """

    url: str | None
    filename: str
    sha256: str | None = None
    xxh128: str | None = None
    size: int | None = None
    licence: str = "unknown"
    source: str = "unknown"
    image_size: int = 1024
    normalisation: Normalisation = "sam"
    prompts: frozenset[str] = frozenset({"point", "box", "mask"})
    bundled: bool = False
    decoder_url: str | None = None
    decoder_xxh128: str | None = None
    architecture: str = ""


@dataclass(frozen=True)
class _Entry:
    build: Callable[[], nn.Module]
    config: PretrainedConfig


_REGISTERED: dict[str, _Entry] = {}
_loaded = False


def register_model(
    name: str, *, config: PretrainedConfig
) -> Callable[[BuildFunction], BuildFunction]:
    """Register the decorated build function.

    Parameters
    ----------
    name : str
        What users type.
    config : PretrainedConfig

    Returns
    -------
    callable
        Decorator of a function without arguments that returns a `Sam` (or a module
        with its interface) with random weights, under the checkpoint's key names.
        All that is random in it must be in its state dict.

    Raises
    ------
    ModelError
        The name is taken.
    """

    def register(build: BuildFunction) -> BuildFunction:
        if name in _REGISTERED:
            raise ModelError(f"A model named {name!r} is registered already.")
        _REGISTERED[name] = _Entry(build, config)
        return build

    return register


def list_models() -> list[str]:
    """Names of all models: built in, of other packages, and imported by the user.

    Returns
    -------
    list of str
        In the order of registration, imported ones last.
    """
    return list(_entries())


def model_config(name: str) -> PretrainedConfig:
    """Source, hashes and conventions of a model.

    Raises
    ------
    ModelError
        There is no model of this name.
    """
    return _entry(name).config


def build_model(name: str) -> nn.Module:
    """Build a model with random weights, on the CPU.

    Raises
    ------
    ModelError
        There is no model of this name.
    """
    return _entry(name).build()


def create_model(
    name: str,
    checkpoint: str | Path | None = None,
    device: str = "auto",
    dtype: str = "auto",
    pretrained: bool = True,
) -> Sam:
    """Create a model in eval mode, with its weights.

    A published checkpoint that is not on this machine is downloaded first.

    Parameters
    ----------
    name : str
        One of `list_models`.
    checkpoint : path, optional
        A file to load instead of the published one.
    device : str
        "auto" (CUDA, else MPS, else CPU) or a torch device such as "cuda:1".
    dtype : str
        "auto" (the fastest safe one on the device), "float32", "bfloat16" or
        "float16": the type of autocast; weights stay float32.
    pretrained : bool
        False gives random weights.

    Returns
    -------
    Sam
        With attributes ``name``, ``config``, ``device``, ``compute_dtype`` and
        ``checkpoint_sha256`` (None with random weights).

    Raises
    ------
    ModelError
        No such model, device or dtype.
    CheckpointError
        The weights are missing, damaged, unsafe or of another model.
    """
    from napari_sam.nn.create import create

    return create(name, checkpoint, device, dtype, pretrained)


def _entry(name: str) -> _Entry:
    entries = _entries()
    if name not in entries:
        known = ", ".join(entries)
        raise ModelError(f"There is no model named {name!r}; there are: {known}.")
    return entries[name]


def _entries() -> dict[str, _Entry]:
    _load_once()
    entries = dict(_REGISTERED)
    for record in imported.read_records():
        base = entries.get(record.like)
        if base is not None and record.name not in entries:
            entries[record.name] = _Entry(base.build, record.config(base.config))
    return entries


def _load_once() -> None:
    global _loaded
    if _loaded:
        return
    _loaded = True
    import napari_sam.nn.models  # noqa: F401

    for point in entry_points(group=ENTRY_POINT_GROUP):
        try:
            point.load()
        except Exception as error:  # noqa: BLE001  (another package's fault)
            warnings.warn(
                f"The models of {point.value} could not be loaded: {error}",
                stacklevel=2,
            )
