"""The models to choose from, in words: bundled, here, or to be downloaded."""

from __future__ import annotations

from dataclasses import dataclass

from napari_sam.nn.download import find_checkpoint
from napari_sam.nn.registry import list_models, model_config

DEFAULT_MODEL = "pocket"


@dataclass(frozen=True)
class ModelState:
    """A model and whether it can be used at once.

    Attributes
    ----------
    name : str
    words : str
        "bundled", "on this machine", or the size of the download.
    is_here : bool
    """

    name: str
    words: str
    is_here: bool

    @property
    def text(self) -> str:
        """For a list."""
        return f"{self.name}  ({self.words})"


def model_state(name: str) -> ModelState:
    """Return the state of a registered model."""
    config = model_config(name)
    if config.bundled:
        return ModelState(name, "bundled", True)
    if find_checkpoint(name) is not None:
        return ModelState(name, "on this machine", True)
    if config.size is None:
        return ModelState(name, "to download", False)
    return ModelState(name, f"download {config.size / 1e6:.0f} MB", False)


def model_states() -> list[ModelState]:
    """Return all models, those that are here first."""
    states = [model_state(name) for name in list_models()]
    return sorted(states, key=lambda state: not state.is_here)


def device_names() -> list[str]:
    """Return what a model can run on, "auto" first; imports torch."""
    import torch

    names = ["auto", "cpu"]
    names += [f"cuda:{number}" for number in range(torch.cuda.device_count())]
    if torch.backends.mps.is_available():
        names.append("mps")
    return names
