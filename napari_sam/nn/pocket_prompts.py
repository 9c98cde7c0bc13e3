"""The prompt encoder of `pocket`: SAM's tokens, and a map of where they lie."""

from __future__ import annotations

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from napari_sam.nn.pocket_encoder import WIDTH, WINDOW
from napari_sam.nn.prompt_encoder import LayerNorm2d, PromptEncoder

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
        size: int | None = None,
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
        size : int, optional
            Side of the map, if it is not that of a whole window.

        Returns
        -------
        Tensor
            (B, 4, H / 2, W / 2).
        """
        size = size or self.mask_input_size[0]
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
    falloff = torch.exp(offsets.square() / (-2 * CLICK_SIGMA**2))
    is_kind = torch.stack([labels == 1, labels == 0], dim=-1)
    # The kind at the smallest of the factors: (B, N, 2, n, n) is the largest product.
    rows = falloff[:, :, None, 1] * is_kind[..., None]
    return (rows[..., None] * falloff[:, :, None, :1]).amax(1)


def _draw_boxes(boxes: Tensor, centres: Tensor) -> Tensor:
    """Filled boxes, (B, n, n)."""
    x0, y0, x1, y1 = boxes[..., None].unbind(1)
    columns = (centres > x0) & (centres < x1)
    rows = (centres > y0) & (centres < y1)
    return (rows[:, :, None] & columns[:, None, :]).float()
