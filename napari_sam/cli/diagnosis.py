"""The facts of this machine that a bug report needs."""

from __future__ import annotations

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from napari_sam.conflict import rival_warning

PACKAGES = (
    "napari-sam-clip", "torch", "torchvision", "timm", "open-clip-torch", "numpy",
    "scipy", "scikit-image", "tifffile", "napari", "npe2", "PyQt6", "PySide6",
)  # fmt: skip


def diagnose() -> dict[str, Any]:
    """Gather versions, devices, folders and models.

    Returns
    -------
    dict
        Of strings, numbers, lists and dicts, as JSON knows them.
    """
    return {
        "system": _system(),
        "packages": {name: _version(name) for name in PACKAGES},
        "devices": _devices(),
        "folders": _folders(),
        "models": _models(),
        "warnings": [text for text in (rival_warning(),) if text],
    }


def _system() -> dict[str, Any]:
    return {
        "python": platform.python_version(),
        "executable": sys.executable,
        "platform": platform.platform(),
        "cpus": os.cpu_count(),
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None


def _devices() -> dict[str, Any]:
    import torch

    from napari_sam.nn.device import choose_device

    gpus = [
        torch.cuda.get_device_name(index) for index in range(torch.cuda.device_count())
    ]
    return {
        "chosen": str(choose_device()),
        "threads": torch.get_num_threads(),
        "cpu_capability": torch.backends.cpu.get_cpu_capability(),
        "cuda": torch.version.cuda,
        "gpus": gpus,
        "mps": torch.backends.mps.is_available(),
    }


def _folders() -> dict[str, Any]:
    from napari_sam.nn.storage import HOME_VARIABLE, home_folder, models_folder
    from napari_sam.samples import sample_folder

    folder = models_folder()
    kept = list(folder.iterdir()) if folder.is_dir() else []
    return {
        "home": str(home_folder()),
        HOME_VARIABLE: os.environ.get(HOME_VARIABLE),
        "models": str(folder),
        "models_bytes": sum(each.stat().st_size for each in kept if each.is_file()),
        "samples": str(sample_folder()),
    }


def _models() -> dict[str, str]:
    """Say of each model where its weights come from, or that they are missing."""
    from napari_sam.nn.registry import list_models, model_config
    from napari_sam.nn.storage import WEIGHTS_FOLDER, models_folder

    states = {}
    for name in list_models():
        config = model_config(name)
        folder = WEIGHTS_FOLDER if config.bundled else models_folder()
        present = (folder / config.filename).is_file()
        kind = "bundled" if config.bundled else "downloaded"
        states[name] = kind if present else f"not {kind}"
    return states


def print_diagnosis(found: dict[str, Any]) -> None:
    """Print `diagnose`'s facts in sections."""
    import typer

    for section, facts in found.items():
        if not facts:
            continue
        typer.echo(f"{section}")
        if isinstance(facts, list):
            facts = dict.fromkeys(facts, "")
        for key, value in facts.items():
            typer.echo(f"  {key}: {_plain(value)}" if value != "" else f"  {key}")


def _plain(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "-" if value is None else str(value)
