"""Fit the image tower of the bundled CLIP on crops of masks.

The text tower stays as it is: pictures learn where the words for them are.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from safetensors.torch import save_file
from torch import Tensor, nn

from napari_sam.errors import DataError, ImageError
from napari_sam.inference.preprocess import to_model_image
from napari_sam.inference.text_vectors import crop_of
from napari_sam.text.clip import CONFIG_FILE, WEIGHTS_FILE
from napari_sam.text.vocabulary import Vocabulary
from napari_sam.training.text_head import WordTargets
from napari_sam.training.text_scenes import NamedImage

BATCH = 64
LEARNING_RATE = 1e-3
# Crops reach up to this much beyond a mask, and half of them show the mask alone.
LARGEST_ENLARGEMENT = 2.0


@dataclass(frozen=True, eq=False)
class CropTable:
    """Crops of masks with what they show.

    Attributes
    ----------
    crops : ndarray of uint8, shape (N, 3, s, s)
    owners : ndarray of int64, shape (N,)
        Concept of each; one past the last for none.
    """

    crops: NDArray[np.uint8]
    owners: NDArray[np.int64]


def gather_crops(
    images: Iterable[tuple[str, NamedImage]],
    vocabulary: Vocabulary,
    side: int,
    rng: np.random.Generator,
) -> CropTable:
    """Cut a crop of every mask.

    Parameters
    ----------
    images : iterable of tuple
        From `napari_sam.training.text_scenes.image_stream`.
    vocabulary : Vocabulary
    side : int
        Of the tower's input, in pixels.
    rng : numpy.random.Generator

    Raises
    ------
    DataError
        There is none.
    """
    crops: list[NDArray[np.uint8]] = []
    owners: list[int] = []
    for _, image in images:
        try:
            pixels = to_model_image(image.image, normalisation="pocket")
        except ImageError:
            continue
        for record, word in zip(image.records, image.words, strict=True):
            enlargement = float(rng.uniform(1.0, LARGEST_ENLARGEMENT))
            masked = bool(rng.random() < 0.5)
            crop = crop_of(pixels, record, masked=masked, enlargement=enlargement)
            crops.append(_shrink(crop, side))
            concept = vocabulary.concept_of(word) if word else None
            names = vocabulary.names
            owners.append(names.index(concept.name) if concept else len(names))
    if not crops:
        raise DataError("There is no image with named objects to learn from.")
    return CropTable(np.stack(crops), np.array(owners, np.int64))


def _shrink(crop: NDArray[np.float32], side: int) -> NDArray[np.uint8]:
    picture = torch.from_numpy(np.ascontiguousarray(crop))[None]
    small = functional.interpolate(
        picture, (side, side), mode="bilinear", antialias=True
    )
    values: NDArray[np.uint8] = (small[0].clamp(0, 1) * 255).byte().numpy()
    return values


def fit_image_tower(
    model: Any, table: CropTable, targets: WordTargets, hours: float, seed: int
) -> float:
    """Fit ``model.visual`` and the logit scale.

    Parameters
    ----------
    model : nn.Module
        An open_clip model.
    table : CropTable
    targets : WordTargets
        Embedded by the model's text tower.
    hours : float
        Of the processor's time.
    seed : int

    Returns
    -------
    float
        Share of the last crops whose nearest phrase was their own.
    """
    rng = np.random.default_rng(seed)
    parameters = [*model.visual.parameters(), model.logit_scale]
    optimizer = torch.optim.AdamW(parameters, lr=LEARNING_RATE, weight_decay=0.05)
    counts = np.bincount(table.owners, minlength=int(targets.owners.max()) + 1)
    chances = 1 / counts[table.owners] ** 0.6
    chances /= chances.sum()
    mean, std = (
        torch.tensor(values).reshape(3, 1, 1)
        for values in (model.visual.image_mean, model.visual.image_std)
    )
    model.visual.train()
    start, done, hits = time.process_time(), 0.0, 0.0
    while done < 1:
        done = min((time.process_time() - start) / (hours * 3600), 1.0)
        for group in optimizer.param_groups:
            group["lr"] = LEARNING_RATE * min(done * 30, 1) * (1.01 - done)
        picked = rng.choice(len(chances), BATCH, p=chances)
        pictures = (_augmented(table.crops[picked], rng) - mean) / std
        vectors = functional.normalize(model.encode_image(pictures), dim=-1)
        owners = torch.from_numpy(table.owners[picked])
        loss, share = _loss(model, vectors, owners, targets)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        hits += 0.02 * (share - hits)
    model.visual.eval()
    return hits


def _augmented(crops: NDArray[np.uint8], rng: np.random.Generator) -> Tensor:
    pictures = crops.astype(np.float32) / 255
    if rng.random() < 0.5:
        pictures = pictures[..., ::-1]
    pictures = np.rot90(pictures, int(rng.integers(4)), (2, 3))
    shape = (len(pictures), 1, 1, 1)
    gain = np.exp(rng.normal(0, 0.15, shape)).astype(np.float32)
    offset = rng.normal(0, 0.05, shape).astype(np.float32)
    changed = np.clip((pictures - 0.5) * gain + 0.5 + offset, 0, 1)
    return torch.from_numpy(np.ascontiguousarray(changed))


def _loss(
    model: Any, vectors: Tensor, owners: Tensor, targets: WordTargets
) -> tuple[Tensor, float]:
    """Contrast with all phrases, those of the crop's own concept all positive."""
    cosines = vectors @ targets.vectors.T
    scale = model.logit_scale.clamp(max=float(np.log(100))).exp()
    own = owners[:, None] == targets.owners
    counts = torch.bincount(targets.owners)[targets.owners]
    logits = scale * cosines - counts.float().log()
    positive = logits.masked_fill(~own, -torch.inf).logsumexp(1)
    share = (targets.owners[cosines.argmax(1)] == owners).float().mean()
    return (logits.logsumexp(1) - positive).mean(), float(share)


def build_clip(folder: Path) -> Any:
    """Build the model that a folder's configuration describes, with random weights.

    Parameters
    ----------
    folder : Path
    """
    from open_clip.model import CLIP

    config: dict[str, Any] = json.loads((folder / CONFIG_FILE).read_text("utf-8"))
    model = CLIP(**config["model_cfg"])
    preprocess = config["preprocess_cfg"]
    model.visual.image_mean = preprocess["mean"]
    model.visual.image_std = preprocess["std"]
    return model


def take_text_tower(model: nn.Module, state: dict[str, Tensor]) -> None:
    """Put the weights of a stand-alone text tower into a CLIP.

    Parameters
    ----------
    model : nn.Module
        An open_clip model, which keeps its text tower's parts at the top.
    state : dict of Tensor
        From `napari_sam.training.clip_distill`.
    """
    missing = model.load_state_dict(state, strict=False).missing_keys
    left_out = [
        key for key in missing if not key.startswith(("visual.", "logit_scale"))
    ]
    if left_out:
        raise DataError(f"The text tower lacks {left_out[0]}.")


def save_clip(model: nn.Module, folder: Path) -> Path:
    """Write a model's weights in half precision into its folder.

    Parameters
    ----------
    model : nn.Module
    folder : Path
    """
    path = folder / WEIGHTS_FILE
    state = {
        key: value.half().contiguous() if value.is_floating_point() else value
        for key, value in model.state_dict().items()
        if key != "attn_mask"
    }
    save_file(state, path, metadata={"format": "pt"})
    return path
