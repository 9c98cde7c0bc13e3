"""Create a registered model: build it, load its weights, place it."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from napari_sam.nn.checkpoint import (
    ensure_checkpoint,
    load_checkpoint,
    verify_checkpoint,
)
from napari_sam.nn.device import choose_device
from napari_sam.nn.registry import build_model, model_config
from napari_sam.nn.storage import digest_file, find_file

if TYPE_CHECKING:
    from torch import nn

    from napari_sam.nn.sam import Sam


def create(
    name: str,
    checkpoint: str | Path | None,
    device: str,
    dtype: str,
    pretrained: bool,
) -> Sam:
    """Create a model; see `napari_sam.nn.registry.create_model`."""
    config = model_config(name)
    target = choose_device(device)
    model = build_model(name)
    sha256 = _load(model, name, checkpoint) if pretrained else None
    model = model.to(target).eval()
    labels: dict[str, Any] = {
        "name": name,
        "config": config,
        "device": target,
        "checkpoint_sha256": sha256,
    }
    for key, value in labels.items():
        setattr(model, key, value)
    return cast("Sam", model)


def _load(model: nn.Module, name: str, checkpoint: str | Path | None) -> str:
    """Load the published or the given file; return its sha256."""
    if checkpoint is None:
        path = ensure_checkpoint(name)
        digests = verify_checkpoint(name, path)
    else:
        path = find_file(checkpoint)
        digests = digest_file(path)
    load_checkpoint(model, name, path)
    return digests.sha256
