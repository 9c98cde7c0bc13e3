"""Prompts made from the truth of a sample: what a user would show."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_sam.geometry import Box, mask_to_box
from napari_sam.structures import BoxPrompt, MaskPrompt, PointPrompt, PromptSet

MAX_OBJECTS = 16
MIN_AREA = 30
# A rough mask goes beyond the object by this part of its inner radius.
SWELLING = 0.4

Mask = NDArray[np.bool_]


def chosen_ids(labels: NDArray[np.integer]) -> list[int]:
    """Choose the `MAX_OBJECTS` objects nearest the middle of an (H, W) label image.

    Those under `MIN_AREA` pixels are left out: a demo is looked at by eye.
    """
    areas = np.bincount(labels.ravel())
    ids = np.flatnonzero(areas >= MIN_AREA)
    ids = ids[ids > 0]
    centres = ndimage.center_of_mass(labels > 0, labels, ids)
    offsets = np.reshape(centres, (-1, 2)) - np.divide(labels.shape, 2)
    nearest = np.argsort(np.abs(offsets).max(axis=1), kind="stable")
    return sorted(int(id_) for id_ in ids[nearest[:MAX_OBJECTS]])


def centre_point(mask: Mask) -> PromptSet:
    """Click the pixel that is farthest inside the object."""
    top, left, *_ = _box(mask)
    depth = _depth(mask)
    row, col = np.unravel_index(np.argmax(depth), depth.shape)
    return PromptSet(points=(PointPrompt((float(top + row), float(left + col))),))


def tight_box(mask: Mask) -> PromptSet:
    """Draw the smallest box around the object."""
    box = _box(mask)
    return PromptSet(box=BoxPrompt(box[:2], box[2:]))


def rough_mask(mask: Mask) -> PromptSet:
    """Paint the object carelessly: beyond its outline all around."""
    reach = max(2.0, SWELLING * float(_depth(mask).max()))
    margin = int(np.ceil(reach))
    top, left, bottom, right = _box(mask)
    around = (
        slice(max(0, top - margin), bottom + margin),
        slice(max(0, left - margin), right + margin),
    )
    swollen = np.zeros_like(mask)
    swollen[around] = ndimage.distance_transform_edt(~mask[around]) <= reach
    return PromptSet(mask=MaskPrompt(swollen))


KINDS: dict[str, Callable[[Mask], PromptSet]] = {
    "point": centre_point,
    "box": tight_box,
    "mask": rough_mask,
}


def _box(mask: Mask) -> Box:
    box = mask_to_box(mask)
    assert box is not None  # chosen objects are never empty
    return box


def _depth(mask: Mask) -> NDArray[np.float64]:
    """Distance of each pixel of the object's box from outside the object."""
    top, left, bottom, right = _box(mask)
    crop = np.pad(mask[top:bottom, left:right], 1)
    depth: NDArray[np.float64] = ndimage.distance_transform_edt(crop)
    return depth[1:-1, 1:-1]
