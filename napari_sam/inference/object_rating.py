"""Ratings of what the bundled model suggests: how likely each mask is an object."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_sam.inference.blocks import PyramidEmbedding, View
from napari_sam.inference.framing import LowResMasks
from napari_sam.inference.instances import Candidate, record_iou
from napari_sam.inference.prompted_regions import DrawnRegion
from napari_sam.inference.pyramid import PyramidFraming
from napari_sam.nn.pocket_encoder import stack_features
from napari_sam.nn.pocket_objects import describe_masks

Answered = tuple[DrawnRegion, Candidate, LowResMasks]


class ObjectRater:
    """Rates the decoder's answers to the regions of one image.

    Parameters
    ----------
    framing : PyramidFraming
        Of the model that rates.
    embedding : PyramidEmbedding
    regions : sequence of DrawnRegion
        All of the image: a mask of another size than most is less likely an object.
    """

    def __init__(
        self,
        framing: PyramidFraming,
        embedding: PyramidEmbedding,
        regions: Sequence[DrawnRegion],
    ) -> None:
        self._model, self._framing, self._embedding = framing.model, framing, embedding
        self._usual = float(np.median([_octaves(r.region.area) for r in regions]))

    @torch.no_grad()
    def __call__(self, answered: Sequence[Answered]) -> NDArray[np.float32]:
        """Return the expected IoU (N,) of each answer with a true object."""
        seen = self.describe(answered)
        ratings: NDArray[np.float32] = self._model.object_head.rate(seen).cpu().numpy()
        return ratings

    @torch.no_grad()
    def describe(self, answered: Sequence[Answered]) -> Tensor:
        """Return what `napari_sam.nn.pocket_objects.ObjectHead` sees, (N, F)."""
        views = [View.of_frame(low.frame, self._model.window) for _, _, low in answered]
        crops = [
            self._framing.blocks.crop(self._embedding, view) for view in views if view
        ]
        logits = torch.stack([low.logits[:1] for _, _, low in answered])
        device = self._model.device
        shown = describe_masks(stack_features(crops), logits.to(device))
        hints = [self._hints(region, found) for region, found, _ in answered]
        return torch.cat(
            [torch.tensor(hints, dtype=torch.float32).to(device), shown], 1
        )

    def _hints(self, drawn: DrawnRegion, found: Candidate) -> list[float]:
        region, record = drawn.region, found.record
        (row0, col0, row1, col1), shape = found.box, self._embedding.image_shape
        touches = row0 == 0 or col0 == 0 or row1 == shape[0] or col1 == shape[1]
        return [
            record.predicted_iou,
            record.stability_score,
            region.certainty,
            region.size_mismatch,
            record_iou(found, drawn.candidate),
            _octaves(float(np.count_nonzero(record.mask))) - self._usual,
            float(touches),
        ]


def _octaves(area: float) -> float:
    return math.log2(max(area, 1.0)) / 2
