"""`Pocket.decode` without gradients, in a third of its steps.

Of a few clicks only a part of the prompt map is not empty. What the convolutions make
of an empty map is kept, and they run on that part alone. Beyond that, see
`napari_sam.nn.fused_attention`. Nothing here has weights of its own.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
import torch.nn.functional as functional
from torch import Tensor

from napari_sam.nn.fused_attention import FusedLinear, FusedMLP, FusedTransformer
from napari_sam.nn.mask_decoder import children_weights
from napari_sam.nn.pocket_encoder import PocketFeatures
from napari_sam.nn.pocket_prompts import (
    CLICK_SIGMA,
    MASK_STRIDE,
    STRIDE,
    PocketPromptEncoder,
)
from napari_sam.nn.pocket_quality import look
from napari_sam.nn.pocket_upscaling import children, double, places
from napari_sam.nn.transformer import as_cells
from napari_sam.nn.versions import Versions

if TYPE_CHECKING:
    from napari_sam.nn.pocket import Pocket, PocketMaskDecoder

Points = tuple[Tensor, Tensor] | None
# (row0, col0, row1, col1) in cells of the embedding, the stop exclusive.
Span = tuple[int, int, int, int]
# A click's spot is below 1e-7 at this distance, in window pixels.
REACH = 5.7 * CLICK_SIGMA
# Above this share of the window's side it is not worth cutting a part out of the map.
LARGEST_PART = 0.6


class FusedDecoder:
    """Decodes as a `Pocket` does.

    Parameters
    ----------
    model : Pocket
        In eval mode. Its weights are read here: see `is_current`.
    """

    @torch.no_grad()
    def __init__(self, model: Pocket) -> None:
        prompts, decoder = model.prompt_encoder, model.mask_decoder
        self._read = Versions([*prompts.parameters(), *decoder.parameters()])
        self._map = PromptMap(prompts)
        self._tokens = PromptTokens(prompts, decoder)
        self._transformer = FusedTransformer(decoder.transformer)
        self._upscale = Upscaling(decoder)
        self._mixing = MaskWeights(decoder)
        self._rate = Rating(decoder)
        self._decoder = decoder
        self._position = as_cells(prompts.get_dense_pe())

    def is_current(self) -> bool:
        """Whether the model's weights are still those that were read."""
        return self._read.are_current()

    def __call__(
        self,
        features: PocketFeatures,
        points: Points,
        boxes: Tensor | None,
        masks: Tensor | None,
    ) -> tuple[Tensor, Tensor]:
        """Predict masks; see `Pocket.decode`."""
        decoder, image = self._decoder, features.embedding
        cells, fine = self._map(points, boxes, masks, len(image))
        # In place where it may be: fresh memory costs as much as the sums.
        cells += image
        fine += features.skip4
        tokens, cells = self._transformer(
            as_cells(cells), self._position, self._tokens(points, boxes, image)
        )
        cells = cells.mT.unflatten(2, image.shape[-2:])
        upscaled = self._upscale(cells, fine, features.skip2)
        mixing = self._mixing(tokens[:, 1 : 1 + decoder.num_mask_tokens])
        logits = (mixing @ upscaled.flatten(2)).unflatten(2, upscaled.shape[2:])
        if masks is not None:
            logits = decoder.keep(tokens, logits, masks)
        return logits, self._rate(tokens, logits, upscaled, features.dense)


class PromptMap:
    """`draw_map` and `embed_map`, where prompts have drawn something.

    Parameters
    ----------
    prompts : PocketPromptEncoder
    """

    def __init__(self, prompts: PocketPromptEncoder) -> None:
        self._prompts = prompts
        self._side = prompts.image_embedding_size[0]
        self._empty = prompts.embed_map(prompts.draw_map(None, None, None, 1))

    def __call__(
        self, points: Points, boxes: Tensor | None, masks: Tensor | None, batch: int
    ) -> tuple[Tensor, Tensor]:
        """Embed prompts at strides 8 (B, C, H, W) and 4 (B, C / 4, 2 H, 2 W).

        Both are new tensors, the caller's to change.
        """
        prompts = self._prompts
        parts = None
        # Elsewhere, waiting for the prompts' positions would cost more.
        if masks is None and self._empty[0].device.type == "cpu":
            if boxes is not None and not (boxes[:, 2] > boxes[:, 0]).any():
                boxes = None
            parts = self._parts(points, boxes, batch)
        if parts is None:
            return prompts.embed_map(prompts.draw_map(points, boxes, masks, batch))
        return self._embed_parts(points, boxes, parts)

    def _parts(
        self, points: Points, boxes: Tensor | None, batch: int
    ) -> list[Span] | None:
        """A part of the map for each prompt, all of one size, with all it has drawn.

        None if it is not worth it. The first row and column of a part's cells are not
        to be used, unless they are the window's.
        """
        extents = _extents(points, boxes, batch)
        spans = [
            None if each is None else [self._cells(*axis) for axis in each]
            for each in extents
        ]
        sides = [stop - start for each in spans for start, stop in each or ()]
        side = max(sides, default=1)
        if side > LARGEST_PART * self._side:
            return None
        last = self._side - side
        corners = [
            (min(each[0][0], last), min(each[1][0], last)) if each else (0, 0)
            for each in spans
        ]
        return [(row, col, row + side, col + side) for row, col in corners]

    def _cells(self, low: float, high: float) -> tuple[int, int]:
        """Cells whose embedding prompts between two window pixels may change.

        A cell sees the map's sample at its start, the 3 before it and the 3 after it.
        One more cell comes first, for the border of the convolutions.
        """
        reach = 3 * MASK_STRIDE
        first = math.ceil((low - reach - MASK_STRIDE) / STRIDE)
        last = math.floor((high + reach) / STRIDE)
        start = min(max(first - 1, 0), self._side - 1)
        return start, min(max(last + 1, start + 1), self._side)

    def _embed_parts(
        self, points: Points, boxes: Tensor | None, parts: list[Span]
    ) -> tuple[Tensor, Tensor]:
        prompts = self._prompts
        side = parts[0][2] - parts[0][0]
        weight = prompts.point_content.weight
        origin = weight.new_tensor(
            [[STRIDE * col, STRIDE * row] for row, col, _, _ in parts]
        )
        if points is not None:
            points = points[0] - origin[:, None], points[1]
        if boxes is not None:
            boxes = boxes - origin.repeat(1, 2)
        size = side * STRIDE // MASK_STRIDE
        drawn = prompts.draw_map(points, boxes, None, len(parts), size)
        whole = [
            empty.expand(len(parts), -1, -1, -1).clone(
                memory_format=torch.channels_last
            )
            for empty in self._empty
        ]
        for scale, to, made in zip(
            (1, 2), whole, prompts.embed_map(drawn), strict=True
        ):
            for index, (row, col, row1, col1) in enumerate(parts):
                skip_row, skip_col = scale * (row > 0), scale * (col > 0)
                to[
                    index,
                    :,
                    scale * row + skip_row : scale * row1,
                    scale * col + skip_col : scale * col1,
                ] = made[index, :, skip_row:, skip_col:]
        return whole[0], whole[1]


class PromptTokens:
    """The decoder's own tokens and those of the prompts, in one batch.

    Parameters
    ----------
    prompts : PocketPromptEncoder
    decoder : PocketMaskDecoder
    """

    def __init__(
        self, prompts: PocketPromptEncoder, decoder: PocketMaskDecoder
    ) -> None:
        height, width = prompts.input_image_size
        self._size = float(width)
        self._kinds = torch.cat(
            [
                prompts.not_a_point_embed.weight,
                *(each.weight for each in prompts.point_embeddings),
            ]
        )
        self._content = prompts.point_content
        # Phases of (x, y) window pixels, whose position is their centre.
        matrix = prompts.pe_layer.positional_encoding_gaussian_matrix
        turns = 2 * math.pi * matrix
        scale = turns.new_tensor([[2 / width], [2 / height]])
        offset = turns.new_tensor([[1 / width - 1], [1 / height - 1]])
        self._phase = FusedLinear((turns * scale).t(), (turns * offset).sum(0))
        own = [decoder.iou_token.weight, decoder.mask_tokens.weight]
        # One token of padding comes before the prompts.
        self._first = torch.cat([*own, self._kinds[:1]])[None]

    def __call__(self, points: Points, boxes: Tensor | None, image: Tensor) -> Tensor:
        """Tokens (B, T, C); prompts as for `Pocket.decode`, image (B, C, H, W)."""
        batch = len(image)
        parts = [self._first.expand(batch, -1, -1)]
        if points is not None:
            coords, labels = points[0].float(), points[1]
            kind = self._code(coords, labels)
            is_click = ((labels == 0) | (labels == 1))[..., None]
            parts.append(torch.addcmul(kind, self._under(coords, image), is_click))
        if boxes is not None:
            is_box = (boxes[:, 2:3] > boxes[:, :1]).expand(-1, 2)
            labels = torch.where(is_box, boxes.new_tensor([2.0, 3.0]), -1.0)
            # Corners lie between pixels, and a click's position at a pixel's centre.
            parts.append(self._code(boxes.float().view(-1, 2, 2) - 0.5, labels))
        return torch.cat(parts, dim=1)

    def _code(self, coords: Tensor, labels: Tensor) -> Tensor:
        """Position and kind of points (B, N, 2), -1 for padding, as (B, N, C)."""
        phase = self._phase(coords)
        code = torch.cat([phase.sin(), phase.cos()], dim=-1)
        return torch.addcmul(
            self._kinds[(labels + 1).long()], code, (labels >= 0)[..., None]
        )

    def _under(self, coords: Tensor, image: Tensor) -> Tensor:
        """What the image embedding says of points (B, N, 2), as (B, N, C)."""
        grid = (2 * (coords + 0.5) / self._size - 1)[:, :, None]
        found = functional.grid_sample(image, grid, align_corners=False)
        content: Tensor = self._content(found[..., 0].mT)
        return content


class Upscaling:
    """`PocketMaskDecoder.upscale`, its weights put in order once.

    Parameters
    ----------
    decoder : PocketMaskDecoder
    """

    def __init__(self, decoder: PocketMaskDecoder) -> None:
        up1, self._norm, _, up2, _ = decoder.output_upscaling
        self._children = [
            [part.contiguous() for part in children_weights(up)] for up in (up1, up2)
        ]

    def __call__(self, cells: Tensor, skip4: Tensor, skip2: Tensor) -> Tensor:
        """Upscale cells (B, C, H, W) to (B, C / 8, 4 H, 4 W); overwrites ``skip4``."""
        first, second = self._children
        places(skip4).add_(children(cells, *first))
        x = torch.ops.aten.gelu_(self._norm(skip4))
        upscaled: Tensor = torch.ops.aten.gelu_(double(x, *second, skip2))
        return upscaled


class Rating:
    """`PocketMaskDecoder.rate`.

    Parameters
    ----------
    decoder : PocketMaskDecoder
    """

    def __init__(self, decoder: PocketMaskDecoder) -> None:
        self._count = decoder.num_mask_tokens
        self._predict = FusedMLP(decoder.iou_prediction_head.layers)
        self._correct = FusedMLP(decoder.quality_head.mlp.layers)

    def __call__(
        self, tokens: Tensor, logits: Tensor, upscaled: Tensor, dense: Tensor
    ) -> Tensor:
        """Predicted IoU (B, K) of the masks ``logits`` (B, K, H, W)."""
        masks = tokens[:, 1 : 1 + self._count]
        seen = torch.cat([masks, look(logits, upscaled, dense)], -1)
        return self._predict(tokens[:, 0]) + self._correct(seen)[..., 0]


class MaskWeights:
    """The hypernetworks, one for each mask, in one product a layer.

    Parameters
    ----------
    decoder : PocketMaskDecoder
    """

    def __init__(self, decoder: PocketMaskDecoder) -> None:
        layers = zip(
            *(mlp.layers for mlp in decoder.output_hypernetworks_mlps), strict=True
        )
        self._layers = [
            (
                torch.stack([each.weight.t() for each in layer]),
                torch.stack([each.bias for each in layer])[:, None],
            )
            for layer in layers
        ]

    def __call__(self, tokens: Tensor) -> Tensor:
        """Weights (B, K, C / 8) of the upscaled features, from tokens (B, K, C)."""
        x = tokens.transpose(0, 1)
        for index, (weight, bias) in enumerate(self._layers):
            x = torch.baddbmm(bias, x if index == 0 else x.relu_(), weight)
        return x.transpose(0, 1)


def _extents(
    points: Points, boxes: Tensor | None, batch: int
) -> list[tuple[tuple[float, float], tuple[float, float]] | None]:
    """Rows and columns, in window pixels, that each prompt draws on; None if none."""
    found: list[list[tuple[float, float, float, float]]] = [[] for _ in range(batch)]
    if points is not None:
        for drawn, coords, labels in zip(
            found, points[0].tolist(), points[1].tolist(), strict=True
        ):
            drawn += [
                (y - REACH, y + REACH, x - REACH, x + REACH)
                for (x, y), label in zip(coords, labels, strict=True)
                if label in (0, 1)
            ]
    if boxes is not None:
        for drawn, (x0, y0, x1, y1) in zip(found, boxes.tolist(), strict=True):
            if x1 > x0 and y1 > y0:
                drawn.append((y0, y1, x0, x1))
    return [_joined(drawn) for drawn in found]


def _joined(
    drawn: list[tuple[float, float, float, float]],
) -> tuple[tuple[float, float], tuple[float, float]] | None:
    if not drawn:
        return None
    row0, row1, col0, col1 = zip(*drawn, strict=True)
    return (min(row0), max(row1)), (min(col0), max(col1))
