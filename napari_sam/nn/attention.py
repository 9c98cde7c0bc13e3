"""Self-attention with a decomposed relative position bias, in bounded memory.

The bias of query (y, x) for key (i, j) is ``q . Rh[y - i] + q . Rw[x - j]`` (Li et al.,
"MViTv2", 2022), with q before scaling. Written out it is a matrix as large as the
attention itself, several times over. Here one product gives every query's bias for
every offset; a sheared view of it is the bias for every key; and only the part that a
block of queries needs is ever written out.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product

import torch
import torch.nn.functional as functional
from torch import Tensor

# Elements of bias written out at a time: few enough to stay in a CPU's cache, and
# enough to keep a GPU busy.
CPU_BLOCK = 2**22
GPU_BLOCK = 2**27


def attend(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    rel_pos_h: Tensor,
    rel_pos_w: Tensor,
    size: tuple[int, int],
) -> Tensor:
    """Attend over a grid of tokens with relative position bias.

    Parameters
    ----------
    q, k, v : Tensor
        (B, heads, H * W, d), last axis contiguous.
    rel_pos_h, rel_pos_w : Tensor
        (2 H - 1, d) and (2 W - 1, d): one row for each offset, query minus key,
        from ``1 - H`` to ``H - 1``.
    size : tuple of int
        (H, W).

    Returns
    -------
    Tensor
        (B, H * W, heads * d).
    """
    bias_h, bias_w = _bias_views(q, rel_pos_h, rel_pos_w, size)
    batch, heads, length, width = q.shape
    out = q.new_empty((batch, length, heads, width))
    for some, few, rows in _blocks(q, size):
        queries = slice(rows.start * size[1], rows.stop * size[1])
        part = (some, few, rows)
        bias = bias_h[part][..., None] + bias_w[part][..., None, :]
        block = _attend_biased(q[some, few, queries], k[some, few], v[some, few], bias)
        out[some, queries, few] = block.transpose(1, 2)
    return out.flatten(2)


def _bias_views(
    q: Tensor, rel_pos_h: Tensor, rel_pos_w: Tensor, size: tuple[int, int]
) -> tuple[Tensor, Tensor]:
    """Bias of each query for each key row (B, heads, H, W, H) and column (..., W)."""
    height, width = size
    tables = torch.cat([rel_pos_h.flip(0), rel_pos_w.flip(0)]).to(q.dtype)
    # Flipped, offsets ascend with the key: key i of query y is entry i + H - 1 - y.
    products = q.reshape(-1, q.shape[-1]) @ tables.t()
    entries = len(tables)
    row = width * entries
    outer = (*q.shape[:2], height, width)
    strides = (q.shape[1] * height * row, height * row)
    bias_h = products.as_strided(
        (*outer, height), (*strides, row - 1, entries, 1), height - 1
    )
    bias_w = products.as_strided(
        (*outer, width), (*strides, row, entries - 1, 1), 2 * height + width - 2
    )
    return bias_h, bias_w


def _blocks(q: Tensor, size: tuple[int, int]) -> Iterator[tuple[slice, slice, slice]]:
    """Cut (batch, heads, query rows) into blocks whose bias is small enough."""
    budget = CPU_BLOCK if q.device.type == "cpu" else GPU_BLOCK
    batch, heads, length = q.shape[:3]
    lengths = (batch, heads, size[0])
    costs = (heads * length * length, length * length, size[1] * length)
    cuts = []
    for total, cost in zip(lengths, costs, strict=True):
        step = min(total, max(1, budget // cost))
        cuts.append([slice(i, min(i + step, total)) for i in range(0, total, step)])
    yield from product(*cuts)


def _attend_biased(q: Tensor, k: Tensor, v: Tensor, bias: Tensor) -> Tensor:
    """Attend (B, heads, N, d) with a bias (B, heads, rows, W, H, W) that it may use."""
    bias = bias.flatten(4, 5).flatten(2, 3)
    if q.device.type == "cpu" and q.dtype == torch.bfloat16:
        # The fused kernel computes its blocks in float32 here, at half the speed.
        scores = bias.flatten(0, 1).baddbmm_(
            q.flatten(0, 1),
            k.flatten(0, 1).transpose(1, 2),
            alpha=q.shape[-1] ** -0.5,
        )
        return (scores.softmax(-1) @ v.flatten(0, 1)).unflatten(0, q.shape[:2])
    return functional.scaled_dot_product_attention(q, k, v, attn_mask=bias)
