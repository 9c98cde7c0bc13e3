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

from typing import Any

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from napari_sam.nn.mask_decoder import MaskDecoder
from napari_sam.nn.pocket_encoder import (
    DENSE_CHANNELS,
    WIDTH,
    WINDOW,
    PocketFeatures,
    PocketImageEncoder,
)
from napari_sam.nn.pocket_quality import MaskQualityHead
from napari_sam.nn.prompt_encoder import LayerNorm2d, PromptEncoder
from napari_sam.nn.transformer import TwoWayTransformer

STRIDE = 8
MASK_STRIDE = 2
# Standard deviation, in window pixels, of the spot that a click draws.
CLICK_SIGMA = 5.0
# Previous logits are divided by this, so that a confident one is drawn as about 1.
LOGIT_SCALE = 8.0
# Logits that stand for a mask given as yes or no, in training and in use.
MASK_LOGIT = 6.0


class PocketPromptEncoder(PromptEncoder):
    """SAM's prompt encoder, with its mask path widened to a map of all prompts.

    Parameters
    ----------
    embed_dim : int
        Width of a token.
    window : int
        Side of the window, in pixels.
    """

    def __init__(self, embed_dim: int = WIDTH, window: int = WINDOW) -> None:
        cells = (window // STRIDE, window // STRIDE)
        super().__init__(embed_dim, cells, (window, window), embed_dim // 4)
        quarter = embed_dim // 4
        # Channels: previous logits, positive clicks, negative clicks, box.
        self.mask_downscaling = nn.Sequential(
            nn.Conv2d(4, quarter, 3, 2, 1),
            LayerNorm2d(quarter),
            nn.GELU(),
            nn.Conv2d(quarter, embed_dim, 3, 2, 1),
            LayerNorm2d(embed_dim),
            nn.GELU(),
            nn.Conv2d(embed_dim, embed_dim, 1),
        )
        del self.no_mask_embed
        self.map_skip = nn.Conv2d(quarter, quarter, 1)
        self.point_content = nn.Linear(embed_dim, embed_dim)
        self._position: tuple[tuple[int, int], Tensor] | None = None

    def get_dense_pe(self) -> Tensor:
        """Return the position code of a window, (1, C, H, W), made once."""
        matrix = self.pe_layer.positional_encoding_gaussian_matrix
        # A counter that torch raises whenever the matrix is written, as by a load.
        made_from = (matrix.data_ptr(), matrix._version)
        if self._position is None or self._position[0] != made_from:
            self._position = made_from, super().get_dense_pe()
        return self._position[1]

    def draw_map(
        self,
        points: tuple[Tensor, Tensor] | None,
        boxes: Tensor | None,
        masks: Tensor | None,
        batch: int,
    ) -> Tensor:
        """Draw prompts as a map.

        Parameters
        ----------
        points : tuple of Tensor or None
            (x, y) pixel coordinates (B, N, 2) and labels (B, N), -1 for padding.
        boxes : Tensor or None
            (B, 4) as x0, y0, x1, y1; a box with x1 <= x0 draws nothing.
        masks : Tensor or None
            (B, 1, H / 2, W / 2) logits; 0 where there is no mask.
        batch : int
            B, for the case that there is no prompt at all.

        Returns
        -------
        Tensor
            (B, 4, H / 2, W / 2).
        """
        size = self.mask_input_size[0]
        weight = self.point_content.weight
        centres = (torch.arange(size, device=weight.device) + 0.5) * MASK_STRIDE
        drawn = weight.new_zeros((batch, 4, size, size), dtype=torch.float32)
        if masks is not None:
            drawn[:, :1] = (masks.float() / LOGIT_SCALE).clamp(-2, 2)
        if points is not None:
            drawn[:, 1:3] = _draw_clicks(*points, centres)
        if boxes is not None:
            drawn[:, 3] = _draw_boxes(boxes, centres)
        return drawn

    def embed_map(self, drawn: Tensor) -> tuple[Tensor, Tensor]:
        """Embed a map at stride 8 (B, C, H, W) and stride 4 (B, C / 4, 2 H, 2 W)."""
        drawn = drawn.to(memory_format=torch.channels_last)
        fine = self.mask_downscaling[:3](drawn)
        return self.mask_downscaling[3:](fine), self.map_skip(fine)

    def embed_tokens(
        self,
        points: tuple[Tensor, Tensor] | None,
        boxes: Tensor | None,
        image: Tensor,
    ) -> Tensor:
        """Tokens of the prompts, each click with the image embedding under it.

        Parameters
        ----------
        points, boxes : as for `draw_map`
        image : Tensor
            (B, C, H / 8, W / 8), the image embedding.

        Returns
        -------
        Tensor
            (B, N, C).
        """
        coords, labels = self._as_points(points, boxes, image)
        tokens = self._embed_points(coords, labels, pad=False)
        grid = 2 * (coords + 0.5) / self.input_image_size[0] - 1
        content = functional.grid_sample(
            image.float(), grid[:, :, None], align_corners=False
        )
        content = self.point_content(content[..., 0].transpose(1, 2))
        is_click = (labels == 0) | (labels == 1)
        return tokens + content * is_click[..., None]

    def _as_points(
        self,
        points: tuple[Tensor, Tensor] | None,
        boxes: Tensor | None,
        image: Tensor,
    ) -> tuple[Tensor, Tensor]:
        """Write boxes as corner points with labels 2 and 3, so that kinds may mix."""
        batch = len(image)
        coords = [image.new_zeros((batch, 1, 2), dtype=torch.float32)]
        labels = [coords[0].new_full((batch, 1), -1)]
        if points is not None:
            coords.append(points[0].float())
            labels.append(points[1].float())
        if boxes is not None:
            # Corners lie between pixels, and a click's position at a pixel's centre.
            corners = boxes.float().reshape(-1, 2, 2)
            kinds = labels[0].new_tensor([2.0, 3.0]).expand(batch, -1)
            is_box = (boxes[:, 2:3] > boxes[:, :1]).expand(-1, 2)
            coords.append(corners - 0.5)
            labels.append(torch.where(is_box, kinds, -1.0))
        return torch.cat(coords, dim=1), torch.cat(labels, dim=1)

    def _embed_points(self, coords: Tensor, labels: Tensor, pad: bool) -> Tensor:
        kinds = torch.stack(
            [self.not_a_point_embed.weight[0]]
            + [embedding.weight[0] for embedding in self.point_embeddings]
        )
        code = self._code(coords) * (labels >= 0)[..., None]
        return code + kinds[(labels + 1).long()]


def _draw_clicks(coords: Tensor, labels: Tensor, centres: Tensor) -> Tensor:
    """Spots of positive and negative clicks, (B, 2, n, n)."""
    offsets = (coords + 0.5)[..., None] - centres
    falloff = torch.exp(-(offsets**2) / (2 * CLICK_SIGMA**2))
    spots = falloff[:, :, 1, :, None] * falloff[:, :, 0, None, :]
    kinds = [spots * (labels == kind)[..., None, None] for kind in (1, 0)]
    return torch.stack([kind.amax(1) for kind in kinds], dim=1)


def _draw_boxes(boxes: Tensor, centres: Tensor) -> Tensor:
    """Filled boxes, (B, n, n)."""
    x0, y0, x1, y1 = boxes[..., None].unbind(1)
    columns = (centres > x0) & (centres < x1)
    rows = (centres > y0) & (centres < y1)
    return (rows[:, :, None] & columns[:, None, :]).float()


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
        x = act1(norm(_double(cells, up1, skip4)))
        return act2(_double(x, up2, skip2))


def _double(x: Tensor, up: nn.ConvTranspose2d, skip: Tensor) -> Tensor:
    """Apply a 2x2 transposed convolution and add a skip (B, C', 2 H, 2 W).

    It is a linear layer that gives each cell its four children. The sum puts them in
    their places: rearranging them first would be slower than the layer itself.
    """
    batch, _, height, width = x.shape
    weight = up.weight.permute(2, 3, 1, 0).flatten(0, 2)
    children = functional.linear(x.permute(0, 2, 3, 1), weight, up.bias.repeat(4))
    children = children.view(batch, height, width, 2, 2, -1).transpose(2, 3)
    skip = skip.permute(0, 2, 3, 1).reshape(batch, height, 2, width, 2, -1)
    return (
        (skip + children).reshape(batch, 2 * height, 2 * width, -1).permute(0, 3, 1, 2)
    )


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

    def encode(self, windows: Tensor) -> PocketFeatures:
        """Encode windows (B, 3, H, W) in 0..1; H and W are multiples of 32."""
        # Channels last suits the convolutions and makes the norms over them cheap.
        return self.image_encoder(windows.to(memory_format=torch.channels_last))

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
