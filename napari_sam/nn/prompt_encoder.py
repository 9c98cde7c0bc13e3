"""SAM's prompt encoder: points, boxes and masks to tokens and a dense embedding.

Parameter names follow Kirillov et al., "Segment Anything" (2023), so that official
checkpoints load unchanged.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as functional
from torch import Tensor, nn


class LayerNorm2d(nn.Module):
    """Layer norm over the channels of each pixel of a (B, C, H, W) map."""

    def __init__(self, num_channels: int, eps: float = 1e-6) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(num_channels))
        self.bias = nn.Parameter(torch.zeros(num_channels))
        self.eps = eps

    def forward(self, x: Tensor) -> Tensor:
        """Normalise over axis 1."""
        if x.is_contiguous(memory_format=torch.channels_last):
            last = x.permute(0, 2, 3, 1)
            shape = (self.weight.numel(),)
            normed = functional.layer_norm(
                last, shape, self.weight, self.bias, self.eps
            )
            return normed.permute(0, 3, 1, 2)
        mean = x.mean(1, keepdim=True)
        variance = (x - mean).square().mean(1, keepdim=True)
        x = (x - mean) * torch.rsqrt(variance + self.eps)
        return x * self.weight[:, None, None] + self.bias[:, None, None]


class PositionEmbeddingRandom(nn.Module):
    """Random Fourier features of a position (Tancik et al., 2020).

    Parameters
    ----------
    num_pos_feats : int
        Half the width of the code.
    scale : float
        Standard deviation of the frequencies.
    """

    positional_encoding_gaussian_matrix: Tensor

    def __init__(self, num_pos_feats: int, scale: float = 1.0) -> None:
        super().__init__()
        matrix = scale * torch.randn((2, num_pos_feats))
        self.register_buffer("positional_encoding_gaussian_matrix", matrix)

    def encode(self, coords: Tensor) -> Tensor:
        """Code (x, y) positions in 0..1, shape (..., 2), as (..., C)."""
        matrix = self.positional_encoding_gaussian_matrix
        # Phases of many turns: a short number type would blur the position.
        with torch.autocast(matrix.device.type, enabled=False):
            phase = 2 * math.pi * ((2 * coords.to(matrix.dtype) - 1) @ matrix)
        return torch.cat([phase.sin(), phase.cos()], dim=-1)

    def forward(self, size: tuple[int, int]) -> Tensor:
        """Code the cell centres of an (H, W) grid, as (C, H, W)."""
        matrix = self.positional_encoding_gaussian_matrix
        rows, cols = (
            (torch.arange(n, device=matrix.device, dtype=matrix.dtype) + 0.5) / n
            for n in size
        )
        y, x = torch.meshgrid(rows, cols, indexing="ij")
        return self.encode(torch.stack([x, y], dim=-1)).permute(2, 0, 1)


class PromptEncoder(nn.Module):
    """Turn prompts into sparse tokens and a dense embedding.

    Parameters
    ----------
    embed_dim : int
        Width of a token.
    image_embedding_size : tuple of int
        (height, width) of the image embedding, in cells.
    input_image_size : tuple of int
        (height, width) of the model's input, in pixels.
    mask_in_chans : int
        Hidden width of the mask prompt's convolutions.
    """

    def __init__(
        self,
        embed_dim: int,
        image_embedding_size: tuple[int, int],
        input_image_size: tuple[int, int],
        mask_in_chans: int,
    ) -> None:
        super().__init__()
        self.embed_dim = embed_dim
        self.image_embedding_size = image_embedding_size
        self.input_image_size = input_image_size
        self.pe_layer = PositionEmbeddingRandom(embed_dim // 2)
        # Negative point, positive point, upper left corner, lower right corner.
        self.point_embeddings = nn.ModuleList(
            nn.Embedding(1, embed_dim) for _ in range(4)
        )
        self.not_a_point_embed = nn.Embedding(1, embed_dim)
        height, width = image_embedding_size
        self.mask_input_size = (4 * height, 4 * width)
        self.mask_downscaling = nn.Sequential(
            nn.Conv2d(1, mask_in_chans // 4, 2, 2),
            LayerNorm2d(mask_in_chans // 4),
            nn.GELU(),
            nn.Conv2d(mask_in_chans // 4, mask_in_chans, 2, 2),
            LayerNorm2d(mask_in_chans),
            nn.GELU(),
            nn.Conv2d(mask_in_chans, embed_dim, 1),
        )
        self.no_mask_embed = nn.Embedding(1, embed_dim)

    def get_dense_pe(self) -> Tensor:
        """Return the position code of the image embedding, (1, C, H, W)."""
        return self.pe_layer(self.image_embedding_size)[None]

    def forward(
        self,
        points: tuple[Tensor, Tensor] | None,
        boxes: Tensor | None,
        masks: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Encode one batch of prompts.

        Parameters
        ----------
        points : tuple of Tensor or None
            (x, y) coordinates (B, N, 2) in input pixels, and labels (B, N): 1 positive,
            0 negative, -1 padding.
        boxes : Tensor or None
            (B, 4) as x0, y0, x1, y1 in input pixels.
        masks : Tensor or None
            (B, 1, 4 H, 4 W) logits.

        Returns
        -------
        tuple of Tensor
            Sparse tokens (B, N, C) and the dense embedding (B or 1, C, H, W): 1 where
            there is no mask, so that it is the same for every prompt.
        """
        sparse = self.embed_sparse(points, boxes, 1 if masks is None else len(masks))
        if masks is None:
            dense = self.no_mask_embed.weight[..., None, None]
            return sparse, dense.expand(-1, -1, *self.image_embedding_size)
        return sparse, self.mask_downscaling(masks)

    def embed_sparse(
        self, points: tuple[Tensor, Tensor] | None, boxes: Tensor | None, batch: int
    ) -> Tensor:
        """Return the tokens of points and boxes, (B, N, C); N may be 0."""
        tokens = []
        if points is not None:
            tokens.append(self._embed_points(*points, pad=boxes is None))
        if boxes is not None:
            tokens.append(self._embed_boxes(boxes))
        if tokens:
            return torch.cat(tokens, dim=1)
        weight = self.no_mask_embed.weight
        return weight.new_zeros((batch, 0, self.embed_dim))

    def _code(self, coords: Tensor) -> Tensor:
        height, width = self.input_image_size
        size = coords.new_tensor([width, height])
        # A pixel's position is its centre.
        return self.pe_layer.encode((coords + 0.5) / size)

    def _embed_points(self, coords: Tensor, labels: Tensor, pad: bool) -> Tensor:
        if pad:
            # SAM was trained with a "not a point" token wherever there is no box.
            coords = torch.cat([coords, coords.new_zeros(len(coords), 1, 2)], dim=1)
            labels = torch.cat([labels, -labels.new_ones(len(labels), 1)], dim=1)
        code = self._code(coords)
        kind = labels[..., None]
        code = torch.where(kind == -1, self.not_a_point_embed.weight, code)
        code = code + torch.where(kind == 0, self.point_embeddings[0].weight, 0.0)
        return code + torch.where(kind == 1, self.point_embeddings[1].weight, 0.0)

    def _embed_boxes(self, boxes: Tensor) -> Tensor:
        corners = self._code(boxes.reshape(-1, 2, 2))
        kinds = [self.point_embeddings[index].weight for index in (2, 3)]
        return corners + torch.stack(kinds, dim=1)
