"""The two-way transformer between prompt tokens and image cells.

Structure and parameter names follow Kirillov et al., "Segment Anything" (2023),
appendix A, so that official checkpoints load unchanged. A handful of tokens meets
thousands of cells here, so the projections of the cells, which are linear, are applied
to the tokens' side of each product instead: the result is the same.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as functional
from torch import Tensor, nn


@dataclass(frozen=True, eq=False)
class ImageProjections:
    """What the first block makes of the image alone, whatever the prompt.

    Attributes
    ----------
    key, value : Tensor
        (1, heads, N, d), for the tokens that look at the image.
    query : Tensor
        (1, heads, N, d), for the image that looks at the tokens.
    """

    key: Tensor
    value: Tensor
    query: Tensor


class Attention(nn.Module):
    """Multi-head attention with an optional smaller inner width.

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
        self.scale = (inner // num_heads) ** -0.5
        self.q_proj = nn.Linear(embedding_dim, inner)
        self.k_proj = nn.Linear(embedding_dim, inner)
        self.v_proj = nn.Linear(embedding_dim, inner)
        self.out_proj = nn.Linear(inner, embedding_dim)

    def forward(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        """Attend from ``q`` (B, N, C) to ``k`` and ``v`` (B, M, C)."""
        return self._merge(
            functional.scaled_dot_product_attention(
                self.split(self.q_proj(q)),
                self.split(self.k_proj(k)),
                self.split(self.v_proj(v)),
            )
        )

    def read_cells(self, tokens: Tensor, keys: Tensor, values: Tensor) -> Tensor:
        """Attend from few tokens to many cells, as `forward` would.

        Parameters
        ----------
        tokens : Tensor
            (B, T, C).
        keys, values : Tensor
            (B or 1, N, C).

        Returns
        -------
        Tensor
            (B, T, C).
        """
        query = self.split(self.q_proj(tokens)) * self.scale
        # The keys' bias adds the same to all scores of a token: softmax ignores it.
        query = (query @ self._by_head(self.k_proj.weight)).flatten(1, 2)
        weights = (query @ keys.transpose(1, 2)).softmax(-1)
        mixed = (weights @ values).unflatten(1, (self.num_heads, -1))
        value = mixed @ self._by_head(self.v_proj.weight).transpose(1, 2)
        return self._merge(value + self._by_head(self.v_proj.bias)[:, None])

    def read_projected(self, tokens: Tensor, image: ImageProjections) -> Tensor:
        """Attend from tokens (B, T, C) to cells that all of them share."""
        query = self.split(self.q_proj(tokens))
        batch = len(query)
        # One image: the prompts' tokens become one long row of queries.
        folded = query.transpose(0, 1).flatten(1, 2)[None]
        out = functional.scaled_dot_product_attention(folded, image.key, image.value)
        return self._merge(out[0].unflatten(1, (batch, -1)).transpose(0, 1))

    def write_cells(self, cells: Tensor, k: Tensor, v: Tensor, base: Tensor) -> Tensor:
        """Attend from many cells to few tokens, as `forward` would, and add.

        Parameters
        ----------
        cells : Tensor
            (B or 1, N, C), the queries.
        k, v : Tensor
            (B, T, C), the tokens.
        base : Tensor
            (B or 1, N, C), what the result is added to.

        Returns
        -------
        Tensor
            (B, N, C).
        """
        key = self.split(self.k_proj(k)) * self.scale
        offset = key @ self._by_head(self.q_proj.bias)[..., None]
        key = (key @ self._by_head(self.q_proj.weight)).flatten(1, 2)
        scores = key @ cells.transpose(1, 2) + offset.flatten(1, 2)
        return self._spread(scores.unflatten(1, (self.num_heads, -1)), v, base)

    def write_projected(
        self, image: ImageProjections, k: Tensor, v: Tensor, base: Tensor
    ) -> Tensor:
        """As `write_cells`, of cells that all prompts share."""
        key = self.split(self.k_proj(k)) * self.scale
        folded = key.transpose(0, 1).flatten(1, 2)
        scores = folded @ image.query[0].transpose(1, 2)
        return self._spread(
            scores.unflatten(1, (len(key), -1)).transpose(0, 1), v, base
        )

    def split(self, x: Tensor) -> Tensor:
        """Cut (B, N, heads * d) into (B, heads, N, d)."""
        return x.unflatten(2, (self.num_heads, -1)).transpose(1, 2)

    def _spread(self, scores: Tensor, v: Tensor, base: Tensor) -> Tensor:
        """Add to cells what tokens say, by scores (B, heads, T, N)."""
        weights = scores.softmax(2).flatten(1, 2)
        out = self.out_proj.weight.t().unflatten(0, (self.num_heads, -1))
        # Each head's weights sum to 1, so each may carry its part of the bias.
        share = self.out_proj.bias / self.num_heads
        message = (self.split(self.v_proj(v)) @ out + share).flatten(1, 2)
        base = base.expand(len(message), -1, -1)
        return torch.baddbmm(base, weights.transpose(1, 2), message)

    def _merge(self, heads: Tensor) -> Tensor:
        return self.out_proj(heads.transpose(1, 2).flatten(2))

    def _by_head(self, parameter: Tensor) -> Tensor:
        return parameter.unflatten(0, (self.num_heads, -1))


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
        queries = self._attend_self(queries, query_pe)
        located = keys + key_pe
        read = self.cross_attn_token_to_image.read_cells(
            queries + query_pe, located, keys
        )
        queries = self._digest(queries + read)
        keys = self.cross_attn_image_to_token.write_cells(
            located, queries + query_pe, queries, base=keys
        )
        return queries, self.norm4(keys)

    def forward_projected(
        self, queries: Tensor, keys: Tensor, query_pe: Tensor, image: ImageProjections
    ) -> tuple[Tensor, Tensor]:
        """As `forward`, for cells (1, M, C) that were projected before."""
        queries = self._attend_self(queries, query_pe)
        read = self.cross_attn_token_to_image.read_projected(queries + query_pe, image)
        queries = self._digest(queries + read)
        keys = self.cross_attn_image_to_token.write_projected(
            image, queries + query_pe, queries, base=keys
        )
        return queries, self.norm4(keys)

    def project(self, keys: Tensor, key_pe: Tensor) -> ImageProjections:
        """Project cells (1, M, C), for `forward_projected`."""
        reader = self.cross_attn_token_to_image
        writer = self.cross_attn_image_to_token
        located = keys + key_pe
        return ImageProjections(
            key=reader.split(reader.k_proj(located)),
            value=reader.split(reader.v_proj(keys)),
            query=writer.split(writer.q_proj(located)),
        )

    def _attend_self(self, queries: Tensor, query_pe: Tensor) -> Tensor:
        if self.skip_first_layer_pe:
            return self.norm1(self.self_attn(queries, queries, queries))
        q = queries + query_pe
        return self.norm1(queries + self.self_attn(q, q, queries))

    def _digest(self, queries: Tensor) -> Tensor:
        queries = self.norm2(queries)
        return self.norm3(queries + self.mlp(queries))


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
        self,
        image_embedding: Tensor,
        image_pe: Tensor,
        point_embedding: Tensor,
        projections: ImageProjections | None = None,
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
        projections : ImageProjections, optional
            What `project_image` made of the same image.

        Returns
        -------
        tuple of Tensor
            Tokens (B, N, C) and image cells (B, H * W, C).
        """
        keys, key_pe = (as_cells(x) for x in (image_embedding, image_pe))
        # Projecting the cells pays only where several prompts share them.
        if projections is None and len(keys) == 1 < len(point_embedding):
            projections = self.layers[0].project(keys, key_pe)
        queries, rest = point_embedding, list(self.layers)
        if projections is not None:
            first = rest.pop(0)
            queries, keys = first.forward_projected(
                queries, keys, point_embedding, projections
            )
        for layer in rest:
            queries, keys = layer(queries, keys, point_embedding, key_pe)
        read = self.final_attn_token_to_image.read_cells(
            queries + point_embedding, keys + key_pe, keys
        )
        return self.norm_final_attn(queries + read), keys

    def project_image(
        self, image_embedding: Tensor, image_pe: Tensor
    ) -> ImageProjections:
        """Do what depends on no prompt: once per image (1, C, H, W), not per click."""
        return self.layers[0].project(as_cells(image_embedding), as_cells(image_pe))


def as_cells(image: Tensor) -> Tensor:
    """Turn a map (B, C, H, W) into cells (B, H * W, C)."""
    return image.flatten(2).transpose(1, 2)
