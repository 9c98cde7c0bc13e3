"""`pocket`, the bundled model: SAM at the size of a laptop.

A convolutional encoder gives an embedding at stride 8 (a nucleus of 17 pixels would be
a single cell at SAM's stride 16) and skips at strides 4 and 2. Prompt encoder and mask
decoder are SAM's at a smaller width. Beside SAM's tokens the clicks, the box and the
previous mask are drawn as a small map, which SAM's mask-prompt convolutions embed: a
token alone must first discover by attention where it points, a map says so at once.

The model sees square windows of ``WINDOW`` pixels; `napari_sam.inference.pyramid`
chooses where they lie and at which scale.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from napari_sam.nn.mask_decoder import MaskDecoder, children_weights
from napari_sam.nn.pocket_encoder import (
    DENSE_CHANNELS,
    WIDTH,
    WINDOW,
    PocketFeatures,
    PocketImageEncoder,
)
from napari_sam.nn.pocket_folded import FoldedEncoder
from napari_sam.nn.pocket_fused import FusedDecoder
from napari_sam.nn.pocket_objects import ObjectHead
from napari_sam.nn.pocket_prompts import LOGIT_SCALE, PocketPromptEncoder
from napari_sam.nn.pocket_quality import MaskQualityHead
from napari_sam.nn.pocket_upscaling import double
from napari_sam.nn.transformer import TwoWayTransformer


class PocketMaskDecoder(MaskDecoder):
    """SAM's mask decoder with skips, and with a look at its masks to rate them.

    Parameters
    ----------
    width : int
        Width of tokens and embedding.
    """

    def __init__(self, width: int = WIDTH) -> None:
        super().__init__(
            transformer_dim=width,
            transformer=TwoWayTransformer(
                depth=2, embedding_dim=width, num_heads=4, mlp_dim=4 * width
            ),
            iou_head_hidden_dim=2 * width,
        )
        self.quality_head = MaskQualityHead(width, width // 8, len(DENSE_CHANNELS))
        self.keep_head = nn.Linear(width, 1)
        nn.init.zeros_(self.keep_head.weight)
        nn.init.constant_(self.keep_head.bias, -1.0)

    def keep(self, tokens: Tensor, logits: Tensor, previous: Tensor) -> Tensor:
        """Add to the logits (B, K, H, W) what each mask keeps of the one before.

        A click corrects a part of a mask. Without this the rest would be drawn anew,
        and a good mask would get worse by a small correction.

        Parameters
        ----------
        tokens : Tensor
            (B, N, C), from `attend`.
        logits : Tensor
            (B, K, H, W).
        previous : Tensor
            (B, 1, H, W) logits; zeros where there is none.

        Returns
        -------
        Tensor
            (B, K, H, W).
        """
        masks = tokens[:, 1 : 1 + self.num_mask_tokens]
        share = torch.sigmoid(self.keep_head(masks))[..., None]
        return logits + share * previous.to(logits.dtype).clamp(
            -LOGIT_SCALE, LOGIT_SCALE
        )

    def rate(
        self, tokens: Tensor, logits: Tensor, upscaled: Tensor, dense: Tensor
    ) -> Tensor:
        """Predicted IoU (B, K) of the masks ``logits`` (B, K, H, W)."""
        masks = tokens[:, 1 : 1 + self.num_mask_tokens]
        correction = self.quality_head(masks, logits, upscaled, dense)
        return self.iou_prediction_head(tokens[:, 0]) + correction

    def upscale(self, cells: Tensor, skip4: Tensor, skip2: Tensor) -> Tensor:
        """Upscale cells (B, C, H, W) to (B, C / 8, 4 H, 4 W)."""
        up1, norm, act1, up2, act2 = self.output_upscaling
        x = act1(norm(double(cells, *children_weights(up1), skip4)))
        return act2(double(x, *children_weights(up2), skip2))


class Pocket(nn.Module):
    """The bundled promptable model.

    Parameters
    ----------
    width : int
        Width of tokens and embedding.
    window : int
        Side of the square windows it was trained on, in pixels.
    """

    frame_kind = "pyramid"
    # Set by `create_model`.
    name: str = "pocket"
    config: Any = None
    checkpoint_sha256: str | None = None
    device: torch.device = torch.device("cpu")
    compute_dtype: torch.dtype = torch.float32

    def __init__(self, width: int = WIDTH, window: int = WINDOW) -> None:
        super().__init__()
        self.window = window
        self.image_encoder = PocketImageEncoder(width)
        self.prompt_encoder = PocketPromptEncoder(width, window)
        self.mask_decoder = PocketMaskDecoder(width)
        self.object_head = ObjectHead(width)
        self._folded: FoldedEncoder | None = None
        self._fused: FusedDecoder | None = None

    def _apply(self, *args: Any, **kwargs: Any) -> Pocket:
        """Forget what was derived from the weights when they move, as by `to`."""
        self._folded = self._fused = None
        return super()._apply(*args, **kwargs)

    def encode(self, windows: Tensor) -> PocketFeatures:
        """Encode windows (B, 3, H, W) in 0..1; H and W are multiples of 32."""
        # Channels last suits the convolutions and makes the norms over them cheap.
        windows = windows.to(memory_format=torch.channels_last)
        if torch.is_grad_enabled() or self.image_encoder.training:
            return self.image_encoder(windows)
        return self._fold()(windows)

    def running_layers(self) -> Iterator[nn.Module]:
        """The modules that run without gradients; some are not among `modules`."""
        yield from self.modules()
        yield from self._fold().encoder.modules()

    def _fold(self) -> FoldedEncoder:
        folded = self._folded
        if folded is None or not folded.is_current():
            folded = self._folded = FoldedEncoder(self.image_encoder)
        return folded

    def decode(
        self,
        features: PocketFeatures,
        points: tuple[Tensor, Tensor] | None = None,
        boxes: Tensor | None = None,
        masks: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Predict masks, one window of features for each prompt.

        Parameters
        ----------
        features : PocketFeatures
            Of B windows of the model's own size.
        points : tuple of Tensor, optional
            (x, y) window pixels (B, N, 2) and labels (B, N): 1, 0, -1 for padding.
        boxes : Tensor, optional
            (B, 4) as x0, y0, x1, y1 in window pixels.
        masks : Tensor, optional
            (B, 1, H / 2, W / 2), previous logits.

        Returns
        -------
        tuple of Tensor
            Logits (B, 4, H / 2, W / 2) and predicted IoU (B, 4): the single mask, then
            the three for an ambiguous prompt.
        """
        device = features.embedding.device.type
        if torch.is_grad_enabled() or torch.is_autocast_enabled(device):
            return self._decode(features, points, boxes, masks)
        fused = self._fused
        if fused is None or not fused.is_current():
            fused = self._fused = FusedDecoder(self)
        return fused(features, points, boxes, masks)

    def _decode(
        self,
        features: PocketFeatures,
        points: tuple[Tensor, Tensor] | None,
        boxes: Tensor | None,
        masks: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        prompts, decoder = self.prompt_encoder, self.mask_decoder
        batch = len(features.embedding)
        drawn = prompts.draw_map(points, boxes, masks, batch)
        dense, fine = prompts.embed_map(drawn)
        sparse = prompts.embed_tokens(points, boxes, features.embedding)
        tokens, cells = decoder.attend(
            features.embedding + dense, prompts.get_dense_pe(), sparse
        )
        upscaled = decoder.upscale(cells, features.skip4 + fine, features.skip2)
        logits = decoder.mix_masks(tokens, upscaled, slice(0, None))
        if masks is not None:
            logits = decoder.keep(tokens, logits, masks)
        return logits, decoder.rate(tokens, logits, upscaled, features.dense)


def build_pocket() -> Pocket:
    """Return `pocket` with random weights."""
    return Pocket()
