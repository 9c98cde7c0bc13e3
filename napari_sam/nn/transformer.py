"""The two-way transformer between prompt tokens and image cells.

Structure and parameter names follow Kirillov et al., "Segment Anything" (2023),
appendix A, so that official checkpoints load unchanged.
"""

from __future__ import annotations

import torch
import torch.nn.functional as functional
from torch import Tensor, nn


class Attention(nn.Module):
    """Multi-head attention with an optional smaller inner width.

    Queries and keys may differ in batch size where one of them is 1: what is shared by
    a whole batch of prompts is projected once and broadcast.

    Parameters
    ----------
    embedding_dim : int
        Width of queries, keys and values.
    num_heads : int
        Number of heads; must divide the inner width.
    downsample_rate : int
        ``embedding_dim`` divided by the inner width.
    """

    def __init__(
        self, embedding_dim: int, num_heads: int, downsample_rate: int = 1
    ) -> None:
        super().__init__()
        inner = embedding_dim // downsample_rate
        if inner % num_heads:
            raise ValueError(f"{num_heads} heads do not divide a width of {inner}.")
        self.num_heads = num_heads
        self.q_proj = nn.Linear(embedding_dim, inner)
        self.k_proj = nn.Linear(embedding_dim, inner)
        self.v_proj = nn.Linear(embedding_dim, inner)
        self.out_proj = nn.Linear(inner, embedding_dim)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attend from ``q`` (B, N, C) to ``k`` and ``v`` (B or 1, M, C)."""
        query, key, value = (
            self._split(self.q_proj(q)),
            self._split(self.k_proj(k)),
            self._split(self.v_proj(v)),
        )
        batch = max(query.shape[0], key.shape[0])
        query, key, value = (
            x.expand(batch, -1, -1, -1) for x in (query, key, value)
        )
        out = functional.scaled_dot_product_attention(query, key, value)
        return self.out_proj(out.transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        heads = x.reshape(batch, length, self.num_heads, width // self.num_heads)
        return heads.transpose(1, 2)


class MLPBlock(nn.Module):
    """Two linear layers with an activation between them."""

    def __init__(
        self, embedding_dim: int, mlp_dim: int, act: type[nn.Module] = nn.GELU
    ) -> None:
        super().__init__()
        self.lin1 = nn.Linear(embedding_dim, mlp_dim)
        self.lin2 = nn.Linear(mlp_dim, embedding_dim)
        self.act = act()

    def forward(self, x: Tensor) -> Tensor:
        """Map (..., C) to (..., C)."""
        return self.lin2(self.act(self.lin1(x)))


class TwoWayAttentionBlock(nn.Module):
    """Tokens to themselves, to the image, an MLP, and the image to the tokens.

    Parameters
    ----------
    embedding_dim, num_heads, mlp_dim : int
    attention_downsample_rate : int
        Inner width reduction of the two cross attentions.
    skip_first_layer_pe : bool
        Set in the first block, whose tokens still are their own position code: there
        self-attention replaces the tokens, without position code and residual.
    """

    def __init__(
        self,
        embedding_dim: int,
        num_heads: int,
        mlp_dim: int = 2048,
        attention_downsample_rate: int = 2,
        skip_first_layer_pe: bool = False,
    ) -> None:
        super().__init__()
        cross = (embedding_dim, num_heads, attention_downsample_rate)
        self.self_attn = Attention(embedding_dim, num_heads)
        self.norm1 = nn.LayerNorm(embedding_dim)
        self.cross_attn_token_to_image = Attention(*cross)
        self.norm2 = nn.LayerNorm(embedding_dim)
        self.mlp = MLPBlock(embedding_dim, mlp_dim, nn.ReLU)
        self.norm3 = nn.LayerNorm(embedding_dim)
        self.norm4 = nn.LayerNorm(embedding_dim)
        self.cross_attn_image_to_token = Attention(*cross)
        self.skip_first_layer_pe = skip_first_layer_pe

    def forward(
        self, queries: Tensor, keys: Tensor, query_pe: Tensor, key_pe: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Update tokens (B, N, C) and image cells (B or 1, M, C)."""
        queries = self.norm1(self._attend_self(queries, query_pe))
        q, k = queries + query_pe, keys + key_pe
        queries = queries + self.cross_attn_token_to_image(q, k, keys)
        queries = self.norm2(queries)
        queries = self.norm3(queries + self.mlp(queries))
        q = queries + query_pe
        keys = keys + self.cross_attn_image_to_token(k, q, queries)
        return queries, self.norm4(keys)

    def _attend_self(self, queries: Tensor, query_pe: Tensor) -> Tensor:
        if self.skip_first_layer_pe:
            return self.self_attn(queries, queries, queries)
        q = queries + query_pe
        return queries + self.self_attn(q, q, queries)


class TwoWayTransformer(nn.Module):
    """Blocks of two-way attention, then the tokens look at the image once more.

    Parameters
    ----------
    depth, embedding_dim, num_heads, mlp_dim : int
    attention_downsample_rate : int
    """

    def __init__(
        self,
        depth: int,
        embedding_dim: int,
        num_heads: int,
        mlp_dim: int,
        attention_downsample_rate: int = 2,
    ) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            TwoWayAttentionBlock(
                embedding_dim,
                num_heads,
                mlp_dim,
                attention_downsample_rate,
                skip_first_layer_pe=index == 0,
            )
            for index in range(depth)
        )
        self.final_attn_token_to_image = Attention(
            embedding_dim, num_heads, attention_downsample_rate
        )
        self.norm_final_attn = nn.LayerNorm(embedding_dim)

    def forward(
        self, image_embedding: Tensor, image_pe: Tensor, point_embedding: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Run the blocks.

        Parameters
        ----------
        image_embedding : Tensor
            (B or 1, C, H, W); 1 where every prompt of the batch shares it.
        image_pe : Tensor
            (1, C, H, W), the position code of the cells.
        point_embedding : Tensor
            (B, N, C), the tokens.

        Returns
        -------
        tuple of Tensor
            Tokens (B, N, C) and image cells (B, H * W, C).
        """
        keys = image_embedding.flatten(2).transpose(1, 2)
        key_pe = image_pe.flatten(2).transpose(1, 2)
        queries = point_embedding
        for layer in self.layers:
            queries, keys = layer(queries, keys, point_embedding, key_pe)
        q, k = queries + point_embedding, keys + key_pe
        queries = queries + self.final_attn_token_to_image(q, k, keys)
        return self.norm_final_attn(queries), keys
