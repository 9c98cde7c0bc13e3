"""Asking the bundled model again in the mirror, where its answer is unsure.

What an object is does not depend on which way round it is shown, but what a small model
says does a little. The mean of its answers to a window and to the window's mirror
images is better than any one of them: augmentation at test time, as in Krizhevsky et
al., "ImageNet classification with deep convolutional neural networks" (2012).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from napari_sam.inference.blocks import (
    PyramidEmbedding,
    View,
    encode_pixels,
    level_pixels,
)
from napari_sam.inference.window_prompts import place_prompts
from napari_sam.nn.pocket_encoder import PocketFeatures, stack_features
from napari_sam.structures import PromptSet

if TYPE_CHECKING:
    from napari_sam.nn.pocket import Pocket

# The axes that each mirror turns round: of columns, of rows, of both.
MIRRORS = ((-1,), (-2,), (-2, -1))
# Further clicks on an object are mostly seen where the last one was.
KEPT_VIEWS = 4


class MirroredViews:
    """Decodes prompts in the mirror images of their views.

    Parameters
    ----------
    model : Pocket
    """

    def __init__(self, model: Pocket) -> None:
        self._model = model

    @torch.no_grad()
    def decode(
        self,
        embedding: PyramidEmbedding,
        prompts: Sequence[PromptSet],
        views: Sequence[View],
        kept: slice,
    ) -> tuple[Tensor, Tensor]:
        """Decode each prompt in each mirror image of its view.

        Parameters
        ----------
        embedding : PyramidEmbedding
        prompts : sequence of PromptSet
            N that make equally many tokens.
        views : sequence of View
        kept : slice
            Of the model's four masks; the first is the single one.

        Returns
        -------
        tuple of Tensor
            Logits (3, N, K, h, w), turned back, and predicted IoU (3, N, K), on the
            CPU.
        """
        window, device = self._model.window, self._model.device
        frames = [view.frame(window) for view in views]
        points, boxes, masks = place_prompts(prompts, frames, device)
        seen = [self._features(embedding, view) for view in views]
        found = []
        for index, axes in enumerate(MIRRORS):
            chosen = torch.tensor([index], device=device)
            logits, iou = self._model.decode(
                stack_features([features.select(chosen) for features in seen]),
                points and (mirror_points(points[0], axes, window), points[1]),
                mirror_boxes(boxes, axes, window),
                None if masks is None else masks.flip(axes),
            )
            found.append((logits[:, kept].flip(axes).cpu(), iou[:, kept].cpu()))
        return (
            torch.stack([logits for logits, _ in found]),
            torch.stack([iou for _, iou in found]),
        )

    def _features(self, embedding: PyramidEmbedding, view: View) -> PocketFeatures:
        """Of the mirror images (3) of one view, which are kept for a while."""
        with embedding.lock:
            if view not in embedding.mirrored:
                side = self._model.window
                pixels = level_pixels(embedding, view, (side, side))
                mirrored = torch.cat([pixels.flip(axes) for axes in MIRRORS])
                while len(embedding.mirrored) >= KEPT_VIEWS:
                    embedding.mirrored.popitem(last=False)
                embedding.mirrored[view] = encode_pixels(self._model, mirrored)
            return embedding.mirrored[view]


def mirror_points(coords: Tensor, axes: Sequence[int], window: int) -> Tensor:
    """Mirror pixel indices (x, y).

    Parameters
    ----------
    coords : Tensor, shape (..., 2)
    axes : sequence of int
        Turned round: -1 columns, -2 rows.
    window : int
        Side of the window, in pixels.

    Returns
    -------
    Tensor, shape (..., 2)
    """
    mirrored = coords.clone()
    for axis in axes:
        place = -1 - axis
        mirrored[..., place] = window - 1 - coords[..., place]
    return mirrored


def mirror_boxes(boxes: Tensor, axes: Sequence[int], window: int) -> Tensor:
    """Mirror boxes, which lie on the edges between pixels.

    Parameters
    ----------
    boxes : Tensor, shape (N, 4)
        x0, y0, x1, y1; zeros, which stand for no box, stay so.
    axes : sequence of int
        Turned round: -1 columns, -2 rows.
    window : int
        Side of the window, in pixels.

    Returns
    -------
    Tensor, shape (N, 4)
    """
    mirrored = boxes.clone()
    for axis in axes:
        start, stop = -1 - axis, 1 - axis
        mirrored[:, start] = window - boxes[:, stop]
        mirrored[:, stop] = window - boxes[:, start]
    return torch.where(boxes.any(dim=1, keepdim=True), mirrored, boxes)
