"""The two-way transformer with its small steps joined, for use without gradients.

A few tokens meet a thousand cells. Each product of tokens alone takes longer to start
than to compute, so the linear maps that follow one another on the tokens' side are
multiplied into one when the weights are read: a token goes straight to the query that
each head compares with cells, and what the heads read straight to the token's update.
The results are those of `napari_sam.nn.transformer`.

Weights are read once, under ``torch.no_grad``.
"""

from __future__ import annotations

from collections.abc import Iterable

import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from napari_sam.nn.transformer import (
    Attention,
    TwoWayAttentionBlock,
    TwoWayTransformer,
)


class FusedLinear:
    """A linear map made of others; weight (C', C), bias (C')."""

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        self.weight = weight.contiguous()
        self.bias = bias.contiguous()

    def __call__(self, x: Tensor) -> Tensor:
        """Map (..., C) to (..., C')."""
        return functional.linear(x, self.weight, self.bias)


class FusedNorm:
    """A layer norm without its module, which costs as much as norming few tokens."""

    def __init__(self, norm: nn.LayerNorm) -> None:
        self.shape, self.eps = norm.normalized_shape, norm.eps
        self.weight, self.bias = norm.weight, norm.bias

    def __call__(self, x: Tensor) -> Tensor:
        """Normalise the last axis of (..., C)."""
        return functional.layer_norm(x, self.shape, self.weight, self.bias, self.eps)


class FusedMLP:
    """Linear layers with a ReLU after each but the last, without their modules."""

    def __init__(self, layers: Iterable[nn.Linear]) -> None:
        self.layers = [FusedLinear(each.weight, each.bias) for each in layers]

    def __call__(self, x: Tensor) -> Tensor:
        """Map (..., C) to (..., C')."""
        for layer in self.layers[:-1]:
            x = layer(x).relu_()
        return self.layers[-1](x)


class CellReader:
    """`Attention.read_cells` in five steps; also `Attention.forward`, for few tokens.

    Parameters
    ----------
    attention : Attention
    """

    def __init__(self, attention: Attention) -> None:
        self.heads = attention.num_heads
        wq, bq = _by_head(attention.q_proj, self.heads)
        wk, _ = _by_head(attention.k_proj, self.heads)
        wv, _ = _by_head(attention.v_proj, self.heads)
        out = _out_by_head(attention)
        # The keys' bias adds the same to all scores of a token: softmax ignores it.
        self.query = FusedLinear(
            (attention.scale * wk.mT @ wq).flatten(0, 1),
            (attention.scale * wk.mT @ bq[..., None]).flatten(),
        )
        bias = attention.out_proj(attention.v_proj.bias)
        self.update = FusedLinear((out @ wv).transpose(0, 1).flatten(1), bias)

    def __call__(self, tokens: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Attend from tokens (B, T, C) to keys and values (B, N, C)."""
        batch, count, width = tokens.shape
        query = self.query(tokens).view(batch, count * self.heads, width)
        weights = torch.bmm(query, keys.mT).softmax(-1)
        return self.update(torch.bmm(weights, values).view(batch, count, -1))


class CellWriter:
    """`Attention.write_cells` in six steps.

    Parameters
    ----------
    attention : Attention
    """

    def __init__(self, attention: Attention) -> None:
        self.heads = attention.num_heads
        wq, bq = _by_head(attention.q_proj, self.heads)
        wk, bk = _by_head(attention.k_proj, self.heads)
        wv, bv = _by_head(attention.v_proj, self.heads)
        out = _out_by_head(attention)
        scaled_wk, scaled_bk = attention.scale * wk, attention.scale * bk[..., None]
        self.key = FusedLinear(
            (wq.mT @ scaled_wk).flatten(0, 1), (wq.mT @ scaled_bk).flatten()
        )
        self.offset = FusedLinear(
            (bq[:, None] @ scaled_wk).flatten(0, 1), (bq[:, None] @ scaled_bk).flatten()
        )
        # Each head's weights sum to 1, so each may carry its part of the bias.
        share = attention.out_proj.bias / self.heads
        self.message = FusedLinear(
            (out @ wv).flatten(0, 1), ((out @ bv[..., None])[..., 0] + share).flatten()
        )

    def __call__(self, cells: Tensor, k: Tensor, v: Tensor, base: Tensor) -> Tensor:
        """Add to ``base`` (B, N, C), in place, what tokens (B, T, C) say to cells."""
        batch, count, width = k.shape
        rows = (batch, count * self.heads)
        key = self.key(k).view(*rows, width)
        offset = self.offset(k).view(*rows, 1)
        scores = torch.baddbmm(offset, key, cells.mT)
        weights = scores.view(batch, count, -1).softmax(1).view(*rows, -1)
        message = self.message(v).view(*rows, width)
        return base.baddbmm_(weights.mT, message)


class FusedBlock:
    """`TwoWayAttentionBlock`, from the parts above.

    Parameters
    ----------
    block : TwoWayAttentionBlock
    """

    def __init__(self, block: TwoWayAttentionBlock) -> None:
        self.skip_first_layer_pe = block.skip_first_layer_pe
        self.attend = CellReader(block.self_attn)
        self.read = CellReader(block.cross_attn_token_to_image)
        self.write = CellWriter(block.cross_attn_image_to_token)
        self.mlp = FusedMLP((block.mlp.lin1, block.mlp.lin2))
        self.norm1, self.norm2, self.norm3, self.norm4 = map(
            FusedNorm, (block.norm1, block.norm2, block.norm3, block.norm4)
        )

    def __call__(
        self, tokens: Tensor, cells: Tensor, token_pe: Tensor, cell_pe: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return new tokens (B, T, C) and cells (B, N, C); these are overwritten."""
        if self.skip_first_layer_pe:
            tokens = self.norm1(self.attend(tokens, tokens, tokens))
        else:
            q = tokens + token_pe
            tokens = self.norm1(tokens + self.attend(q, q, tokens))
        located = cells + cell_pe
        tokens = self.norm2(tokens + self.read(tokens + token_pe, located, cells))
        tokens = self.norm3(tokens + self.mlp(tokens))
        cells = self.write(located, tokens + token_pe, tokens, cells)
        return tokens, self.norm4(cells)


class FusedTransformer:
    """`TwoWayTransformer` for prompts that have cells of their own each.

    Parameters
    ----------
    transformer : TwoWayTransformer
    """

    def __init__(self, transformer: TwoWayTransformer) -> None:
        self.blocks = [FusedBlock(block) for block in transformer.layers]
        self.read = CellReader(transformer.final_attn_token_to_image)
        self.norm = FusedNorm(transformer.norm_final_attn)

    def __call__(
        self, cells: Tensor, cell_pe: Tensor, prompts: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Run the blocks.

        Parameters
        ----------
        cells : Tensor
            (B, N, C); overwritten.
        cell_pe : Tensor
            (1, N, C), their position code.
        prompts : Tensor
            (B, T, C), the tokens.

        Returns
        -------
        tuple of Tensor
            Tokens (B, T, C) and cells (B, N, C).
        """
        tokens = prompts
        for block in self.blocks:
            tokens, cells = block(tokens, cells, prompts, cell_pe)
        read = self.read(tokens + prompts, cells + cell_pe, cells)
        return self.norm(tokens + read), cells


def _by_head(layer: nn.Linear, heads: int) -> tuple[Tensor, Tensor]:
    """Weight (heads, d, C) and bias (heads, d) of a projection."""
    return layer.weight.unflatten(0, (heads, -1)), layer.bias.unflatten(0, (heads, -1))


def _out_by_head(attention: Attention) -> Tensor:
    """Weight (heads, C, d) of the projection that joins the heads."""
    weight = attention.out_proj.weight
    return weight.unflatten(1, (attention.num_heads, -1)).transpose(0, 1)
