"""SAM: image encoder, prompt encoder and mask decoder, and how to build the families.

Kirillov et al., "Segment Anything" (2023); MobileSAM is Zhang et al., "Faster Segment
Anything" (2023). State dicts have the keys of the official checkpoints.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from napari_sam.nn.image_encoder import build_vit_encoder
from napari_sam.nn.mask_decoder import MaskDecoder
from napari_sam.nn.prompt_encoder import PromptEncoder
from napari_sam.nn.tiny_vit import TinyViTEncoder
from napari_sam.nn.transformer import ImageProjections, TwoWayTransformer

IMAGE_SIZE = 1024
STRIDE = 16
EMBED_DIM = 256
# Mean and standard deviation of ImageNet's red, green and blue, in 0..255.
PIXEL_MEAN = (123.675, 116.28, 103.53)
PIXEL_STD = (58.395, 57.12, 57.375)
# Prompts decoded at a time: more would not fit a CPU's cache and be slower for it.
DECODED_AT_ONCE = {"cpu": 4, "mps": 16, "cuda": 64}


@dataclass(frozen=True, eq=False)
class ImageContext:
    """All that the decoder needs of one image, whatever the prompt; read-only.

    Attributes
    ----------
    embedding : Tensor
        (1, C, H, W), from the image encoder.
    unmasked : Tensor
        (1, C, H, W), the embedding as it is where no mask is given.
    position : Tensor
        (1, C, H, W), the position code of the cells.
    projections : ImageProjections
        Of ``unmasked``, for the decoder's first block.
    """

    embedding: Tensor
    unmasked: Tensor
    position: Tensor
    projections: ImageProjections


class Sam(nn.Module):
    """A promptable segmentation model.

    Parameters
    ----------
    image_encoder : nn.Module
        Maps (B, 3, S, S) to (B, C, S / 16, S / 16).
    prompt_encoder : PromptEncoder
    mask_decoder : MaskDecoder
    pixel_mean, pixel_std : sequence of float
        Of the channels, in 0..255.

    Attributes
    ----------
    compute_dtype : torch.dtype
        Type that matrix products are computed in; float32 turns autocast off.
    """

    frame_kind = "fixed"
    pixel_mean: Tensor
    pixel_std: Tensor
    # Set by `create_model`.
    name: str = ""
    config: Any = None
    checkpoint_sha256: str | None = None
    device: torch.device = torch.device("cpu")
    compute_dtype: torch.dtype = torch.float32

    def __init__(
        self,
        image_encoder: nn.Module,
        prompt_encoder: PromptEncoder,
        mask_decoder: MaskDecoder,
        pixel_mean: Sequence[float] = PIXEL_MEAN,
        pixel_std: Sequence[float] = PIXEL_STD,
    ) -> None:
        super().__init__()
        self.image_encoder = image_encoder
        self.prompt_encoder = prompt_encoder
        self.mask_decoder = mask_decoder
        for name, values in (("pixel_mean", pixel_mean), ("pixel_std", pixel_std)):
            value = torch.tensor(values, dtype=torch.float32).reshape(-1, 1, 1)
            self.register_buffer(name, value, persistent=False)

    @property
    def image_size(self) -> int:
        """Side of the encoder's square input, in pixels."""
        return self.prompt_encoder.input_image_size[0]

    def preprocess(self, pixels: Tensor) -> Tensor:
        """Normalise (..., 3, h, w) in 0..255 and pad below and right to the input."""
        height, width = pixels.shape[-2:]
        margin = (0, self.image_size - width, 0, self.image_size - height)
        return functional.pad((pixels - self.pixel_mean) / self.pixel_std, margin)

    def encode_image(self, x: Tensor) -> Tensor:
        """Embed preprocessed images.

        Parameters
        ----------
        x : Tensor
            (B, 3, S, S) float32, normalised and padded.

        Returns
        -------
        Tensor
            (B, C, S / 16, S / 16) float32.
        """
        with self._autocast():
            embedding: Tensor = self.image_encoder(x)
        return embedding.float()

    def image_context(self, embedding: Tensor) -> ImageContext:
        """Prepare one image's embedding (1, C, H, W) for any number of prompts."""
        position = self.prompt_encoder.get_dense_pe()
        no_mask = self.prompt_encoder.no_mask_embed.weight[..., None, None]
        unmasked = embedding + no_mask
        projections = self.mask_decoder.transformer.project_image(unmasked, position)
        return ImageContext(embedding, unmasked, position, projections)

    def decode(
        self,
        image: ImageContext,
        points: tuple[Tensor, Tensor] | None = None,
        boxes: Tensor | None = None,
        masks: Tensor | None = None,
        multimask_output: bool = True,
        text: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Predict masks for a batch of prompts, all with the same kinds.

        Parameters
        ----------
        image : ImageContext
            From `image_context`.
        points : tuple of Tensor, optional
            (x, y) input pixels (B, N, 2) and labels (B, N): 1, 0, -1 for padding.
        boxes : Tensor, optional
            (B, 4) as x0, y0, x1, y1 in input pixels.
        masks : Tensor, optional
            (B, 1, S / 4, S / 4), logits of earlier predictions.
        multimask_output : bool
            Three masks for each prompt, or one.
        text : Tensor, optional
            Tokens (B, T, C) of phrases, from a `TextProjection`.

        Returns
        -------
        tuple of Tensor
            Logits (B, K, S / 4, S / 4) and predicted IoU (B, K), float32.
        """
        coords, labels = (None, None) if points is None else points
        given = (coords, labels, boxes, masks, text)
        batch = next((len(x) for x in given if x is not None), 1)
        step = DECODED_AT_ONCE.get(image.embedding.device.type, batch)
        parts = []
        for start in range(0, batch, step):
            some = [None if x is None else x[start : start + step] for x in given]
            with self._autocast():
                parts.append(self._decode_some(image, some, multimask_output))
        logits, iou = zip(*parts, strict=True)
        return torch.cat(logits).float(), torch.cat(iou).float()

    def _decode_some(
        self, image: ImageContext, prompts: list[Tensor | None], multimask_output: bool
    ) -> tuple[Tensor, Tensor]:
        coords, labels, boxes, masks, text = prompts
        points = None
        if coords is not None and labels is not None:
            points = (coords, labels)
        sparse, dense = self.prompt_encoder(points, boxes, masks)
        if text is not None:
            sparse = torch.cat([sparse.expand(len(text), -1, -1), text], dim=1)
        unmasked = masks is None
        source = image.unmasked if unmasked else image.embedding + dense
        projections = image.projections if unmasked else None
        tokens, cells = self.mask_decoder.attend(
            source, image.position, sparse, projections
        )
        return self.mask_decoder.predict(tokens, cells, multimask_output)

    def _autocast(self) -> AbstractContextManager[Any]:
        return torch.autocast(
            self.pixel_mean.device.type,
            dtype=self.compute_dtype,
            enabled=self.compute_dtype != torch.float32,
        )


def assemble_sam(image_encoder: nn.Module, image_size: int = IMAGE_SIZE) -> Sam:
    """Put an image encoder in front of SAM's prompt encoder and mask decoder.

    Parameters
    ----------
    image_encoder : nn.Module
        Maps (B, 3, S, S) to (B, 256, S / 16, S / 16).
    image_size : int
        S.

    Returns
    -------
    Sam
        With random weights, in eval mode.
    """
    cells = (image_size // STRIDE, image_size // STRIDE)
    transformer = TwoWayTransformer(
        depth=2, embedding_dim=EMBED_DIM, num_heads=8, mlp_dim=2048
    )
    return Sam(
        image_encoder,
        PromptEncoder(EMBED_DIM, cells, (image_size, image_size), 16),
        MaskDecoder(transformer_dim=EMBED_DIM, transformer=transformer),
    ).eval()


def build_sam_vit_b() -> Sam:
    """Build SAM with the base encoder, with random weights."""
    return assemble_sam(build_vit_encoder("samvit_base_patch16"))


def build_sam_vit_l() -> Sam:
    """Build SAM with the large encoder, with random weights."""
    return assemble_sam(build_vit_encoder("samvit_large_patch16"))


def build_sam_vit_h() -> Sam:
    """Build SAM with the huge encoder, with random weights."""
    return assemble_sam(build_vit_encoder("samvit_huge_patch16"))


def build_mobile_sam() -> Sam:
    """Build MobileSAM, with random weights."""
    return assemble_sam(TinyViTEncoder())
