"""Promptable segmentation for microscopy: points, boxes, masks and words.

Public names are loaded when they are first used, so that importing the package is
immediate: neither torch nor Qt is imported until something needs it.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from napari_sam.errors import (
        CheckpointError,
        DataError,
        DownloadError,
        ExportError,
        ImageError,
        ModelError,
        NapariSamError,
        PromptError,
    )
    from napari_sam.inference.predictor import SamPredictor
    from napari_sam.nn.registry import (
        PretrainedConfig,
        create_model,
        list_models,
        model_config,
        register_model,
    )
    from napari_sam.structures import (
        BoxPrompt,
        Frame,
        MaskPrediction,
        MaskPrompt,
        MaskRecord,
        PointPrompt,
        PromptSet,
        Provenance,
        TextPrompt,
    )

__all__ = [
    "BoxPrompt",
    "CheckpointError",
    "DataError",
    "DownloadError",
    "ExportError",
    "Frame",
    "ImageError",
    "MaskPrediction",
    "MaskPrompt",
    "MaskRecord",
    "ModelError",
    "NapariSamError",
    "PointPrompt",
    "PretrainedConfig",
    "PromptError",
    "PromptSet",
    "Provenance",
    "SamPredictor",
    "TextPrompt",
    "__version__",
    "create_model",
    "list_models",
    "model_config",
    "register_model",
]

_DISTRIBUTION = "napari-sam-clip"
_PREDICTOR = "napari_sam.inference.predictor"
_REGISTRY = "napari_sam.nn.registry"
_ELSEWHERE = {
    "SamPredictor": _PREDICTOR,
    "PretrainedConfig": _REGISTRY,
    "create_model": _REGISTRY,
    "list_models": _REGISTRY,
    "model_config": _REGISTRY,
    "register_model": _REGISTRY,
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version(_DISTRIBUTION)
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    default = "errors" if name.endswith("Error") else "structures"
    module = import_module(_ELSEWHERE.get(name, f"{__name__}.{default}"))
    value = getattr(module, name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
