"""What the bundled model's encoder saw of a mask, as one vector of numbers.

The features that predict masks already tell kinds of objects apart. Averaged over a
mask, over a ring around it and over the neighbourhood, they cost next to nothing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from torch import Tensor

from napari_sam.inference.blocks import BlockEncoder, PyramidEmbedding, View
from napari_sam.nn.pocket import Pocket
from napari_sam.nn.pocket_encoder import (
    DENSE_CHANNELS,
    STAGE_WIDTHS,
    WIDTH,
    PocketFeatures,
)
from napari_sam.nn.pocket_prompts import STRIDE
from napari_sam.structures import MaskRecord

# The size, in pixels of its level, at which an object is looked at: enough to name it,
# and less work than drawing its outline takes.
WANTED_SIZE = 32.0
FINEST_LEVEL = 1
LARGEST_SHARE = 0.8
# Cells of the embedding around the mask's box that are looked at.
MARGIN_CELLS = 2
# Width of the ring around a mask, in samples at stride 4.
RING = 3
SHAPE_FEATURES = 9
TONE_FEATURES = 9
FEATURE_COUNT = (
    3 * WIDTH
    + 2 * (WIDTH // 4)
    + 2 * (WIDTH // 8)
    + 2 * len(DENSE_CHANNELS)
    + SHAPE_FEATURES
    + TONE_FEATURES
)
assert STAGE_WIDTHS[0] >= WIDTH // 8


@dataclass(frozen=True, eq=False)
class Patch:
    """The features around one mask, and the mask on their grids.

    Attributes
    ----------
    features : PocketFeatures
        Of the mask's surroundings, one batch element.
    inside : Tensor
        (2 h, 2 w) at stride 4, the share of each sample that the mask covers.
    """

    features: PocketFeatures
    inside: Tensor


class MaskDescriber:
    """Describes masks of an image that `pocket` has embedded.

    Parameters
    ----------
    model : Pocket
    """

    def __init__(self, model: Pocket) -> None:
        self._window = model.window
        self._blocks = BlockEncoder(model)

    def describe(
        self, embedding: PyramidEmbedding, records: Sequence[MaskRecord]
    ) -> NDArray[np.float32]:
        """Describe masks.

        Parameters
        ----------
        embedding : PyramidEmbedding
        records : sequence of MaskRecord
            N masks of this image, none of them empty.

        Returns
        -------
        ndarray of float32, shape (N, FEATURE_COUNT)
        """
        result = np.zeros((len(records), FEATURE_COUNT), np.float32)
        views = [self._view(embedding, record) for record in records]
        # By level and place, so that a block is encoded once even if few are kept.
        order = sorted(range(len(records)), key=lambda i: _block_key(views[i]))
        for index in order:
            record = records[index]
            patch = self._patch(embedding, record, views[index])
            result[index] = np.concatenate(
                [
                    _pool(patch),
                    shape_features(record, embedding.image_shape),
                    tone_features(record, embedding.pixels),
                ]
            )
        return result

    def _log_share(self, embedding: PyramidEmbedding) -> float:
        return math.log2(self._window / max(embedding.image_shape))

    def _view(self, embedding: PyramidEmbedding, record: MaskRecord) -> View:
        """The window around a mask, at the level that suits its size."""
        height, width = record.mask.shape
        wanted = math.log2(WANTED_SIZE / math.sqrt(height * width))
        fitting = math.log2(LARGEST_SHARE * self._window / max(height, width))
        level = min(round(wanted), math.floor(fitting), FINEST_LEVEL)
        level = max(level, min(0, math.floor(self._log_share(embedding))))
        corner = []
        middles = [
            start + side / 2
            for start, side in zip(record.origin, record.mask.shape, strict=True)
        ]
        for middle, length in zip(middles, embedding.image_shape, strict=True):
            start = middle * 2.0**level - self._window / 2
            last = max(length * 2.0**level - self._window, 0.0)
            corner.append(round(min(max(start, 0.0), last) / STRIDE) * STRIDE)
        return View(level, corner[0], corner[1])

    def _patch(
        self, embedding: PyramidEmbedding, record: MaskRecord, view: View
    ) -> Patch:
        """Cut the features around a mask out of its window."""
        window = self._blocks.crop(embedding, view)
        scale, cells = 2.0**view.level, self._window // STRIDE
        spans = []
        for corner, origin, side in zip(
            (view.row, view.col), record.origin, record.mask.shape, strict=True
        ):
            first = math.floor((origin * scale - corner) / STRIDE) - MARGIN_CELLS
            last = math.ceil(((origin + side) * scale - corner) / STRIDE) + MARGIN_CELLS
            low = min(max(first, 0), cells - 1)
            spans.append((low, max(min(last, cells), low + 1)))
        (top, bottom), (left, right) = spans
        parts = [
            part[:, :, top * k : bottom * k, left * k : right * k]
            for part, k in (
                (window.embedding, 1),
                (window.skip4, 2),
                (window.skip2, 4),
                (window.dense, 4),
            )
        ]
        start = view.row + top * STRIDE, view.col + left * STRIDE
        shape = (4 * (bottom - top), 4 * (right - left))
        inside = _sample_mask(record, start, shape, 2.0 / scale, 1 / scale)
        return Patch(PocketFeatures(*parts), inside)


def _block_key(view: View) -> tuple[int, int, int]:
    return view.level, view.row // 512, view.col // 512


def _sample_mask(
    record: MaskRecord,
    corner: tuple[int, int],
    shape: tuple[int, int],
    step: float,
    pixel: float,
) -> Tensor:
    """Covered share at stride 4, from samples at stride 2 of a level.

    ``corner`` is in level pixels; ``step`` and ``pixel`` are the image pixels that a
    sample and a level pixel measure.
    """
    inside = np.zeros(shape, np.float32)
    indices = []
    for first, count, origin, side in zip(
        corner, shape, record.origin, record.mask.shape, strict=True
    ):
        at = np.floor(first * pixel + (np.arange(count) + 0.5) * step) - origin
        valid = np.flatnonzero((at >= 0) & (at < side))
        indices.append((valid, at[valid].astype(int)))
    (rows, from_rows), (cols, from_cols) = indices
    inside[np.ix_(rows, cols)] = record.mask[np.ix_(from_rows, from_cols)]
    return functional.avg_pool2d(torch.from_numpy(inside)[None], 2)[0]


def _pool(patch: Patch) -> NDArray[np.float32]:
    """Mean features inside the mask, in the ring around it, and of both."""
    fine = patch.inside[None, None]
    grown = functional.max_pool2d(fine, 2 * RING + 1, 1, RING)
    ring = (grown - fine).clamp(min=0)
    inner, outer = (
        functional.avg_pool2d(each, 2)[0, 0].flatten() for each in (fine, ring)
    )
    features = patch.features
    cells = features.embedding[0].flatten(1).cpu()
    skip4 = features.skip4[0].flatten(1).cpu()
    halves = [
        functional.avg_pool2d(each, 2)[0].flatten(1).cpu()
        for each in (features.skip2, features.dense)
    ]
    weights = [_normalised(each.flatten()) for each in (fine, ring)]
    parts = [cells @ _normalised(inner), cells @ _normalised(outer), cells.mean(1)]
    parts += [skip4 @ each for each in weights]
    parts += [values @ each for values in halves for each in weights]
    result: NDArray[np.float32] = torch.cat(parts).numpy()
    return result


def _normalised(weights: Tensor) -> Tensor:
    total = weights.sum()
    if total <= 0:
        return torch.full_like(weights, 1 / weights.numel())
    return weights / total


def shape_features(
    record: MaskRecord, image_shape: tuple[int, int]
) -> NDArray[np.float32]:
    """Size and form of a mask.

    Parameters
    ----------
    record : MaskRecord
    image_shape : tuple of int

    Returns
    -------
    ndarray of float32, shape (SHAPE_FEATURES,)
        Log area, log box sides, elongation, extent, roughness of the outline, log area
        relative to the image, and whether it touches the image's border.
    """
    mask = record.mask
    height, width = mask.shape
    rows, cols = np.nonzero(mask)
    area = max(len(rows), 1)
    spread = np.cov(np.stack([rows, cols])) if len(rows) > 2 else np.eye(2)
    minor, major = np.sqrt(np.maximum(np.linalg.eigvalsh(spread), 1 / 12))
    padded = np.pad(mask, 1)
    edge = np.count_nonzero(padded[1:] != padded[:-1]) + np.count_nonzero(
        padded[:, 1:] != padded[:, :-1]
    )
    row, col = record.origin
    at_border = (
        row == 0
        or col == 0
        or row + height == image_shape[0]
        or col + width == image_shape[1]
    )
    return np.array(
        [
            math.log(area) / 4,
            math.log(height) / 4,
            math.log(width) / 4,
            math.log(major / minor),
            area / (height * width),
            edge / math.sqrt(area) / 4,
            area / max(4 * math.pi * major * minor, 1.0),
            math.log(area / (image_shape[0] * image_shape[1])) / 4,
            float(at_border),
        ],
        np.float32,
    )


def tone_features(
    record: MaskRecord, pixels: NDArray[np.float32]
) -> NDArray[np.float32]:
    """Colour of a mask and of what is around it.

    Parameters
    ----------
    record : MaskRecord
    pixels : ndarray of float32, shape (3, H, W)

    Returns
    -------
    ndarray of float32, shape (TONE_FEATURES,)
        Mean red, green and blue inside and in the box around, and the spread inside.
    """
    (row, col), (height, width) = record.origin, record.mask.shape
    margin = max(2, round(0.15 * max(height, width)))
    top, left = max(row - margin, 0), max(col - margin, 0)
    part = pixels[:, top : row + height + margin, left : col + width + margin]
    inside = np.zeros(part.shape[1:], bool)
    inside[row - top : row - top + height, col - left : col - left + width] = (
        record.mask
    )
    within, around = part[:, inside], part[:, ~inside]
    if around.shape[1] == 0:
        around = within
    parts = (within.mean(1), around.mean(1), within.std(1))
    return np.concatenate(parts).astype(np.float32)
