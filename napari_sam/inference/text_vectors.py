"""Masks of an image as vectors of CLIP space: from pooled features, or from crops."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, cast

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray

from napari_sam.errors import ImageError
from napari_sam.inference.blocks import PyramidEmbedding
from napari_sam.inference.predictor import SamPredictor
from napari_sam.inference.preprocess import to_model_image
from napari_sam.inference.text_features import MaskDescriber
from napari_sam.structures import MaskRecord
from napari_sam.text.clip import Clip, Vectors
from napari_sam.text.projector import HEAD_FILE, WordHead, load_head

if TYPE_CHECKING:
    from napari_sam.nn.pocket import Pocket

# A crop reaches this much beyond the mask's longest side.
CROP_ENLARGEMENT = 1.3
SMALLEST_CROP = 8


class Describer(Protocol):
    """Turns masks into vectors of CLIP space."""

    @property
    def scale(self) -> float | None:
        """What cosines are multiplied with; None for the CLIP's own."""

    def set_image(
        self, predictor: SamPredictor, image: ArrayLike, settings: Mapping[str, Any]
    ) -> None:
        """Take an image that the predictor has embedded."""

    def vectors(self, records: Sequence[MaskRecord]) -> Vectors:
        """Vectors (N, D) of masks that are not empty, of length 1."""


class PooledDescriber:
    """Reads a mask's vector from what `pocket` saw of it anyway.

    Parameters
    ----------
    model : Pocket
    head : WordHead
    """

    def __init__(self, model: Pocket, head: WordHead) -> None:
        self._features = MaskDescriber(model)
        self._head = head
        self._embedding: PyramidEmbedding | None = None

    @property
    def scale(self) -> float:
        """What the head was fitted with."""
        return float(self._head.scale)

    def set_image(
        self, predictor: SamPredictor, image: ArrayLike, settings: Mapping[str, Any]
    ) -> None:
        """Take the predictor's embedding."""
        embedding = predictor.embedding
        assert isinstance(embedding, PyramidEmbedding)
        self._embedding = embedding

    @torch.no_grad()
    def vectors(self, records: Sequence[MaskRecord]) -> Vectors:
        """Vectors (N, D) of masks that are not empty, of length 1."""
        if self._embedding is None:
            raise ImageError("There is no image yet: call set_image first.")
        features = self._features.describe(self._embedding, records)
        found: Vectors = self._head(torch.from_numpy(features)).numpy()
        return found


class CropDescriber:
    """Shows a CLIP what is around each mask, and the mask on its own.

    Parameters
    ----------
    clip : Clip
    """

    scale = None

    def __init__(self, clip: Clip) -> None:
        self._clip = clip
        self._pixels: NDArray[np.float32] | None = None

    def set_image(
        self, predictor: SamPredictor, image: ArrayLike, settings: Mapping[str, Any]
    ) -> None:
        """Keep the image, stretched to 0..1."""
        self._pixels = to_model_image(image, normalisation="pocket", **settings)

    def vectors(self, records: Sequence[MaskRecord]) -> Vectors:
        """Vectors (N, D) of masks that are not empty, of length 1."""
        pixels = self._pixels
        if pixels is None:
            raise ImageError("There is no image yet: call set_image first.")
        if not records:
            width = self._clip.embed_text(["nothing"]).shape[1]
            return np.zeros((0, width), np.float32)
        whole = [crop_of(pixels, record) for record in records]
        alone = [crop_of(pixels, record, masked=True) for record in records]
        found = self._clip.embed_crops(whole) + self._clip.embed_crops(alone)
        lengths = np.linalg.norm(found, axis=1, keepdims=True)
        normed: Vectors = found / np.maximum(lengths, 1e-6)
        return normed


def crop_of(
    pixels: NDArray[np.float32],
    record: MaskRecord,
    *,
    masked: bool = False,
    enlargement: float = CROP_ENLARGEMENT,
) -> NDArray[np.float32]:
    """Cut the square around a mask out of an image.

    Parameters
    ----------
    pixels : ndarray of float32, shape (3, H, W)
    record : MaskRecord
    masked : bool
        Paint what is not the mask in its surroundings' mean colour.
    enlargement : float
        Side of the square relative to the mask's longest side.

    Returns
    -------
    ndarray of float32, shape (3, s, s)
        Past the image's edge its last pixels go on.
    """
    side = max(round(max(record.mask.shape) * enlargement), SMALLEST_CROP)
    indices, places = [], []
    for start, length, limit in zip(
        record.origin, record.mask.shape, pixels.shape[1:], strict=True
    ):
        first = start + length // 2 - side // 2
        indices.append(np.clip(np.arange(first, first + side), 0, limit - 1))
        places.append(start - first)
    rows, cols = indices
    crop = pixels[:, rows[:, None], cols]
    if not masked:
        return crop
    inside = np.zeros((side, side), bool)
    (top, left), (height, width) = places, record.mask.shape
    inside[top : top + height, left : left + width] = record.mask
    around = crop[:, ~inside]
    fill = around.mean(1) if around.size else crop.mean((1, 2))
    painted: NDArray[np.float32] = np.where(inside, crop, fill[:, None, None])
    return painted


def make_describer(model: Any, clip: Clip, words: Path | None = None) -> Describer:
    """Choose how masks become vectors: from features if the CLIP's folder has a head.

    Parameters
    ----------
    model : Sam or Pocket
    clip : Clip
    words : Path, optional
        A head of ``napari-sam train-text``; the one in the CLIP's folder by default.

    Raises
    ------
    ModelError
        The head is for another CLIP.
    CheckpointError
        The head is damaged.
    """
    path = words or head_path(clip)
    if model.frame_kind != "pyramid" or path is None:
        return CropDescriber(clip)
    head, binding = load_head(path)
    binding.check(clip.identity, model.name)
    return PooledDescriber(cast("Pocket", model), head)


def head_path(clip: Clip) -> Path | None:
    """The file of a CLIP's word head; None if it has none."""
    folder = clip.source.folder
    path = None if folder is None else folder / HEAD_FILE
    return path if path is not None and path.is_file() else None
