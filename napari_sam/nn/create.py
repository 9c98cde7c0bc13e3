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
from napari_sam.nn.download import find_checkpoint
from napari_sam.nn.fills import UnfilledWeights
from napari_sam.nn.precision import choose_dtype
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
    compute_dtype = choose_dtype(dtype, target)
    if pretrained:
        model, sha256 = _build_loaded(name, checkpoint)
    else:
        model, sha256 = build_model(name), None
    model = model.to(target).eval()
    labels: dict[str, Any] = {
        "name": name,
        "config": config,
        "device": target,
        "compute_dtype": compute_dtype,
        "checkpoint_sha256": sha256,
    }
    for key, value in labels.items():
        setattr(model, key, value)
    return cast("Sam", model)


def _build_loaded(
    name: str, checkpoint: str | Path | None
) -> tuple[nn.Module, str | None]:
    """Build a model with the published or the given file; return its sha256 too."""
    if checkpoint is None:
        path = _fetch_visibly(name)
        digests = verify_checkpoint(name, path)
    else:
        path = find_file(checkpoint)
        digests = digest_file(path)
    with UnfilledWeights():
        model = build_model(name)
    load_checkpoint(model, name, path)
    return model, digests.sha256


def _fetch_visibly(name: str) -> Path:
    """Find the checkpoint, or download it with a bar where a person looks on."""
    path = find_checkpoint(name)
    if path is not None:
        return path
    from tqdm import tqdm

    with tqdm(
        desc=f"Downloading {name}", unit="B", unit_scale=True, disable=None
    ) as bar:

        def show(done: int, total: int | None) -> None:
            bar.total = total
            bar.update(done - bar.n)

        return ensure_checkpoint(name, progress=show)
