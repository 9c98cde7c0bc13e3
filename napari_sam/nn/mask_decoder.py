"""SAM's mask decoder: image embedding and prompt tokens to masks and their IoU.

Structure and parameter names follow Kirillov et al., "Segment Anything" (2023),
appendix A, so that official checkpoints load unchanged.
"""

from __future__ import annotations

from itertools import pairwise

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from napari_sam.nn.prompt_encoder import LayerNorm2d
from napari_sam.nn.transformer import (
    ImageProjections,
    TwoWayTransformer,
    as_cells,
)


class MLP(nn.Module):
    """Linear layers with a ReLU after each but the last."""

    def __init__(
        self, input_dim: int, hidden_dim: int, output_dim: int, num_layers: int
    ) -> None:
        super().__init__()
        widths = [input_dim] + [hidden_dim] * (num_layers - 1) + [output_dim]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., input_dim) to (..., output_dim)."""
        for layer in self.layers[:-1]:
            x = functional.relu(layer(x))
        return self.layers[-1](x)


class MaskDecoder(nn.Module):
    """Predict masks and the quality of each.

    Parameters
    ----------
    transformer_dim : int
        Width of tokens and image embedding.
    transformer : TwoWayTransformer
    num_multimask_outputs : int
        Masks offered for an ambiguous prompt, beside the single one.
    iou_head_depth, iou_head_hidden_dim : int
        Size of the head that predicts each mask's IoU.
    """

    def __init__(
        self,
        *,
        transformer_dim: int,
        transformer: TwoWayTransformer,
        num_multimask_outputs: int = 3,
        iou_head_depth: int = 3,
        iou_head_hidden_dim: int = 256,
    ) -> None:
        super().__init__()
        dim = transformer_dim
        self.transformer = transformer
        self.num_mask_tokens = num_multimask_outputs + 1
        self.iou_token = nn.Embedding(1, dim)
        self.mask_tokens = nn.Embedding(self.num_mask_tokens, dim)
        self.output_upscaling = nn.Sequential(
            nn.ConvTranspose2d(dim, dim // 4, 2, 2),
            LayerNorm2d(dim // 4),
            nn.GELU(),
            nn.ConvTranspose2d(dim // 4, dim // 8, 2, 2),
            nn.GELU(),
        )
        self.output_hypernetworks_mlps = nn.ModuleList(
            MLP(dim, dim, dim // 8, 3) for _ in range(self.num_mask_tokens)
        )
        self.iou_prediction_head = MLP(
            dim, iou_head_hidden_dim, self.num_mask_tokens, iou_head_depth
        )

    def forward(
        self,
        image_embeddings: Tensor,
        image_pe: Tensor,
        sparse_prompt_embeddings: Tensor,
        dense_prompt_embeddings: Tensor,
        multimask_output: bool,
    ) -> tuple[Tensor, Tensor]:
        """Predict masks for a batch of prompts on one image.

        Parameters
        ----------
        image_embeddings : Tensor
            (1 or B, C, H, W).
        image_pe : Tensor
            (1, C, H, W).
        sparse_prompt_embeddings : Tensor
            (B, N, C).
        dense_prompt_embeddings : Tensor
            (1 or B, C, H, W).
        multimask_output : bool
            Three masks for an ambiguous prompt, or the single one.

        Returns
        -------
        tuple of Tensor
            Mask logits (B, K, 4 H, 4 W) and predicted IoU (B, K).
        """
        image = image_embeddings + dense_prompt_embeddings
        tokens, cells = self.attend(image, image_pe, sparse_prompt_embeddings)
        return self.predict(tokens, cells, multimask_output)

    def predict(
        self, tokens: Tensor, cells: Tensor, multimask_output: bool
    ) -> tuple[Tensor, Tensor]:
        """Turn the results of `attend` into mask logits and predicted IoU."""
        kept = slice(1, None) if multimask_output else slice(0, 1)
        masks = self._upscale_and_mix(cells, self._mask_weights(tokens, kept))
        return masks, self.iou_prediction_head(tokens[:, 0])[:, kept]

    def attend(
        self,
        image: Tensor,
        image_pe: Tensor,
        sparse_prompt_embeddings: Tensor,
        projections: ImageProjections | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Run the transformer; return tokens (B, N, C) and cells (B, C, H, W)."""
        output = torch.cat([self.iou_token.weight, self.mask_tokens.weight])
        batch = len(sparse_prompt_embeddings)
        tokens = torch.cat(
            [output.expand(batch, -1, -1), sparse_prompt_embeddings], dim=1
        )
        tokens, cells = self.transformer(image, image_pe, tokens, projections)
        return tokens, cells.transpose(1, 2).unflatten(2, image.shape[-2:])

    def mix_masks(self, tokens: Tensor, upscaled: Tensor, kept: slice) -> Tensor:
        """Mix upscaled features (B, C / 8, H, W) into the ``kept`` masks' logits."""
        weights = self._mask_weights(tokens, kept)
        masks = weights @ upscaled.flatten(2)
        return masks.unflatten(2, upscaled.shape[2:])

    def _mask_weights(self, tokens: Tensor, kept: slice) -> Tensor:
        """Weights of the upscaled features for each kept mask, (B, K, C / 8)."""
        indices = range(self.num_mask_tokens)[kept]
        weights = [self.output_hypernetworks_mlps[i](tokens[:, 1 + i]) for i in indices]
        return torch.stack(weights, dim=1)

    def _upscale_and_mix(self, cells: Tensor, weights: Tensor) -> Tensor:
        """Do `output_upscaling` and mix its features into masks.

        A transposed convolution with stride 2 and kernel 2 is a linear layer that gives
        each cell its four children. Kept with their cell until the masks are mixed,
        the features need no rearranging and are normalised along the last axis.
        """
        up1, norm, act, up2, _ = self.output_upscaling
        height, width = cells.shape[2:]
        x = _children(as_cells(cells), up1)
        shape = (norm.weight.numel(),)
        x = act(functional.layer_norm(x, shape, norm.weight, norm.bias, norm.eps))
        x = act(_children(x, up2))
        masks = weights @ x.flatten(1, 3).transpose(1, 2)
        # (row, column, then row and column among the children, twice)
        masks = masks.unflatten(2, (height, width, 2, 2, 2, 2))
        return masks.permute(0, 1, 2, 4, 6, 3, 5, 7).reshape(
            *masks.shape[:2], 4 * height, 4 * width
        )


def children_weights(up: nn.ConvTranspose2d) -> tuple[Tensor, Tensor]:
    """Weight (4 C', C) and bias (4 C') of a 2x2 transposed convolution with stride 2.

    It is a linear layer that gives each cell its four children, row by row.
    """
    assert up.bias is not None
    return up.weight.permute(2, 3, 1, 0).flatten(0, 2), up.bias.repeat(4)


def _children(x: Tensor, up: nn.ConvTranspose2d) -> Tensor:
    """Apply a 2x2 transposed convolution to cells (..., C), as (..., 4, C')."""
    x = functional.linear(x, *children_weights(up))
    return x.unflatten(-1, (4, up.weight.shape[1]))
