"""Objects that micro-sam's instance decoder suggests."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from napari_sam.errors import ModelError
from napari_sam.geometry import resized_frame
from napari_sam.inference.fixed_frame import FixedEmbedding, FixedFraming
from napari_sam.inference.framing import ImageEmbedding
from napari_sam.inference.predictor import SamPredictor
from napari_sam.inference.regions import (
    DenseMaps,
    Region,
    Splitting,
    drop_repeats,
    find_regions,
)
from napari_sam.nn.unetr_decoder import UnetrDecoder

# Smoothing in pixels of the model's input, as micro-sam smooths its distances; the
# decoder tells no sizes that it could follow.
SPLITTINGS = (Splitting(1.6, 0.02), Splitting(4.0, 0.02))


class UnetrFinder:
    """Suggests objects by a micro-sam decoder on a SAM's image embedding.

    Parameters
    ----------
    predictor : SamPredictor
        Of the model that the decoder was trained with.
    decoder : UnetrDecoder

    Raises
    ------
    ModelError
        If the model is none of SAM's family.
    """

    def __init__(self, predictor: SamPredictor, decoder: UnetrDecoder) -> None:
        if not isinstance(predictor.framing, FixedFraming):
            raise ModelError(
                f"A micro-sam decoder needs a SAM, and {predictor.model.name!r} is "
                "none: name the model that the decoder belongs to."
            )
        self._decoder = decoder.to(predictor.model.device)

    def __call__(
        self, embedding: ImageEmbedding, progress: Callable[[int, int], object]
    ) -> list[Region]:
        """Return suggested regions, which overlap: each splitting gives its own."""
        assert isinstance(embedding, FixedEmbedding)
        progress(0, 1)
        maps = dense_maps(embedding, self._decoder)
        found = [r for each in SPLITTINGS for r in find_regions(maps, each)]
        progress(1, 1)
        return drop_repeats(found)


@torch.no_grad()
def dense_maps(embedding: FixedEmbedding, decoder: UnetrDecoder) -> DenseMaps:
    """Decode the maps of an embedded image, without the padding.

    Parameters
    ----------
    embedding : FixedEmbedding
    decoder : UnetrDecoder
        On the embedding's device.

    Returns
    -------
    DenseMaps
        Distances turned round, so that they are highest in the middle of an object.
    """
    maps: Tensor = decoder(embedding.context.embedding)[0]
    height, width = embedding.input_shape
    values = maps[:, :height, :width].float().cpu().numpy()
    foreground, centre, boundary = np.ascontiguousarray(values)
    frame = resized_frame(embedding.image_shape, embedding.input_shape)
    return DenseMaps(foreground, 1 - centre, 1 - boundary, frame)
