"""Masks without the specks and pinholes that a person would remove."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from napari_sam.geometry import mask_to_box
from napari_sam.structures import MaskPrediction

# Separate parts and holes below these shares of the mask are taken for noise.
PART_SHARE = 0.15
HOLE_SHARE = 0.05


def tidy(prediction: MaskPrediction) -> MaskPrediction:
    """Return a prediction whose masks lack small separate parts and small holes.

    Logits and scores stay the model's own.
    """
    masks = np.stack([_tidy_mask(mask) for mask in prediction.masks])
    return replace(prediction, masks=masks)


def _tidy_mask(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    from napari_sam.inference.postprocess import fill_holes, remove_small_parts

    box = mask_to_box(mask)
    if box is None:
        return mask
    result = mask.copy()
    window = result[box[0] : box[2], box[1] : box[3]]
    area = np.count_nonzero(window)
    whole = remove_small_parts(window, PART_SHARE * area)
    window[...] = fill_holes(whole, HOLE_SHARE * area)
    return result
