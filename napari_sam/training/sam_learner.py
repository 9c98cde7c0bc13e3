"""A SAM as the rounds of training see it: windows in, four masks a prompt out."""

from __future__ import annotations

from collections import OrderedDict
from copy import copy, deepcopy
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from napari_sam.inference.framing import chunks_of_a_kind
from napari_sam.nn.sam import Sam

# A window has one pixel for two of SAM's input, so that the half resolution at which
# masks are scored is that of SAM's low resolution logits.
DETAIL = 2
# Prompts decoded at a time.
CHUNK = 8
# Bytes of embeddings that are kept; one of SAM's takes 2 MiB.
CACHE_BYTES = 2 * 2**30


@dataclass(frozen=True, eq=False)
class SamFeatures:
    """What SAM's encoder makes of windows.

    Attributes
    ----------
    embedding : Tensor
        (B, C, N / 8, N / 8).
    dense : None
        SAM has no dense head.
    """

    embedding: Tensor
    dense: None = None

    def select(self, index: Tensor) -> SamFeatures:
        """Features of the windows ``index`` (M,), one for each prompt."""
        return SamFeatures(self.embedding.index_select(0, index))


class EmbeddingCache:
    """Embeddings of windows that come again, by what is in the windows.

    Parameters
    ----------
    budget : int
        Bytes; the embeddings not used for longest are let go.
    """

    def __init__(self, budget: int) -> None:
        self.budget = budget
        self.hits = 0
        self._kept: OrderedDict[bytes, Tensor] = OrderedDict()
        self._bytes = 0

    def __deepcopy__(self, memo: dict[int, Any]) -> EmbeddingCache:
        # Copies of a model with a frozen encoder make the same embeddings.
        return self

    def get(self, key: bytes) -> Tensor | None:
        """Return a kept embedding (C, h, w), or None."""
        found = self._kept.get(key)
        if found is not None:
            self.hits += 1
            self._kept.move_to_end(key)
        return found

    def put(self, key: bytes, embedding: Tensor) -> None:
        """Keep an embedding, at half precision."""
        half = embedding.to(torch.float16)
        self._kept[key] = half
        self._bytes += half.nbytes
        while self._bytes > self.budget:
            _, old = self._kept.popitem(last=False)
            self._bytes -= old.nbytes


class SamLearner(nn.Module):
    """Give a SAM the interface that `napari_sam.training.rounds` needs.

    Its state dict has the keys of the SAM.

    Parameters
    ----------
    sam : Sam
        Its parts are shared, not copied.
    cache_bytes : int
        Embeddings to keep while the image encoder is frozen; 0 for windows that never
        come again.

    Attributes
    ----------
    window : int
        Side of the windows it takes, in pixels.
    """

    pixel_mean: Tensor
    pixel_std: Tensor

    def __init__(self, sam: Sam, cache_bytes: int = 0) -> None:
        super().__init__()
        self.image_encoder = sam.image_encoder
        self.prompt_encoder = sam.prompt_encoder
        self.mask_decoder = sam.mask_decoder
        self.image_size = sam.image_size
        self.window = sam.image_size // DETAIL
        self.cache = EmbeddingCache(cache_bytes) if cache_bytes else None
        for name in ("pixel_mean", "pixel_std"):
            self.register_buffer(name, getattr(sam, name), persistent=False)

    def __deepcopy__(self, memo: dict[int, Any]) -> SamLearner:
        """Copy what is fitted; share what is frozen, which may be gigabytes."""
        frozen = [each for each in self.parameters() if not each.requires_grad]
        memo.update({id(each): each for each in frozen})
        other = copy(self)
        memo[id(self)] = other
        other.__dict__ = deepcopy(self.__dict__, memo)
        return other

    def encode(self, windows: Tensor) -> SamFeatures:
        """Encode windows in 0..1, (B, 3, N, N) or at SAM's input size."""
        encoder = self.image_encoder
        fitted = any(each.requires_grad for each in encoder.parameters())
        if self.cache is None or fitted:
            pixels = self._prepare(windows)
            # Recomputing checkpoints pass gradients on only from inputs that have one.
            pixels.requires_grad_(fitted and torch.is_grad_enabled())
            return SamFeatures(encoder(pixels))
        rows = [self._embed_once(window, self.cache) for window in windows]
        return SamFeatures(torch.stack(rows))

    def _embed_once(self, window: Tensor, cache: EmbeddingCache) -> Tensor:
        key = blake2b(window.contiguous().numpy().tobytes(), digest_size=16).digest()
        kept = cache.get(key)
        if kept is None:
            with torch.no_grad():
                kept = self.image_encoder(self._prepare(window[None]))[0]
            cache.put(key, kept)
        return kept.float()

    def _prepare(self, windows: Tensor) -> Tensor:
        size = (self.image_size, self.image_size)
        if windows.shape[-2:] != size:
            windows = functional.interpolate(windows, size, mode="bilinear")
        normalised: Tensor = (windows * 255 - self.pixel_mean) / self.pixel_std
        return normalised

    def decode(
        self,
        features: SamFeatures,
        points: tuple[Tensor, Tensor],
        boxes: Tensor,
        masks: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Predict masks, one window of features for each prompt.

        Every prompt makes exactly the tokens that it makes in use, so only prompts of
        one kind are decoded together.

        Parameters
        ----------
        features : SamFeatures
        points : tuple of Tensor
            (x, y) window pixels (B, N, 2) and labels (B, N): 1, 0, -1 for padding.
        boxes : Tensor
            (B, 4) as x0, y0, x1, y1 in window pixels; zeros where there is none.
        masks : Tensor
            (B, 1, N / 2, N / 2), previous logits; zeros where there is none.

        Returns
        -------
        tuple of Tensor
            Logits (B, 4, N / 2, N / 2) and predicted IoU (B, 4): the single mask, then
            the three for an ambiguous prompt.
        """
        count = (points[1] >= 0).sum(1)
        boxed, masked = boxes[:, 2] > boxes[:, 0], masks.flatten(1).any(1)
        kinds = torch.stack([count, boxed.long(), masked.long()], dim=1).tolist()
        groups = list(chunks_of_a_kind(map(tuple, kinds), CHUNK))
        parts = [
            self._decode_kind(
                features.embedding[rows],
                _clicks(points, rows),
                boxes[rows] * DETAIL if boxed[rows[0]] else None,
                masks[rows] if masked[rows[0]] else None,
            )
            for rows in groups
        ]
        order = torch.tensor([row for rows in groups for row in rows]).argsort()
        logits, iou = (torch.cat(part)[order] for part in zip(*parts, strict=True))
        return logits, iou

    def _decode_kind(
        self,
        embedding: Tensor,
        points: tuple[Tensor, Tensor] | None,
        boxes: Tensor | None,
        masks: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        decoder = self.mask_decoder
        sparse, dense = self.prompt_encoder(points, boxes, masks)
        if len(sparse) != len(embedding):  # a mask alone makes no token
            sparse = sparse.expand(len(embedding), -1, -1)
        tokens, cells = decoder.attend(
            embedding + dense, self.prompt_encoder.get_dense_pe(), sparse
        )
        upscaled = decoder.output_upscaling(cells)
        logits = decoder.mix_masks(tokens, upscaled, slice(0, None))
        return logits, decoder.iou_prediction_head(tokens[:, 0])


def _clicks(
    points: tuple[Tensor, Tensor], rows: list[int]
) -> tuple[Tensor, Tensor] | None:
    """Points of prompts that have equally many, without padding, in input pixels."""
    coords, labels = points[0][rows], points[1][rows]
    given = labels >= 0
    if not given.any():
        return None
    count = int(given[0].sum())
    return (
        coords[given].reshape(-1, count, 2) * DETAIL,
        labels[given].reshape(-1, count),
    )
