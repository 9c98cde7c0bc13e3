"""Candidates for words: what the model takes for objects, whatever their kind."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from skimage.feature import peak_local_max
from torchvision.ops import nms

from napari_sam.geometry import mask_to_box
from napari_sam.inference.blocks import BlockEncoder, PyramidEmbedding, View
from napari_sam.inference.predictor import SamPredictor
from napari_sam.nn.pocket import MASK_STRIDE, Pocket
from napari_sam.structures import MaskRecord, PointPrompt, PromptSet, Provenance

GRID = 24
CHUNK = 32
LOWEST_IOU = 0.5
NMS_IOU = 0.6
FOREGROUND = 0.3


def find_candidates(predictor: SamPredictor) -> list[MaskRecord]:
    """Find candidate masks of the predictor's image.

    Parameters
    ----------
    predictor : SamPredictor
        With its image set.
    """
    embedding = predictor.embedding
    if isinstance(embedding, PyramidEmbedding):
        points = dense_seeds(cast("Pocket", predictor.model), embedding)
    else:
        points = grid_points(embedding.image_shape)
    records = []
    for start in range(0, len(points), CHUNK):
        chunk = points[start : start + CHUNK]
        prompts = [PromptSet((PointPrompt(point),)) for point in chunk]
        for prediction in predictor.predict_batch(prompts):
            index = prediction.best
            mask = prediction.masks[index]
            box = mask_to_box(mask)
            quality = float(prediction.predicted_iou[index])
            if box is not None and quality >= LOWEST_IOU:
                inner = mask[box[0] : box[2], box[1] : box[3]].copy()
                stability = float(prediction.stability_score[index])
                made = Provenance(predictor.model.name, method="text")
                records.append(MaskRecord(inner, box[:2], quality, stability, made))
    return _apart(records)


def grid_points(shape: tuple[int, int]) -> list[tuple[float, float]]:
    """Middles of a grid of cells, in image pixels."""
    steps = [(np.arange(GRID) + 0.5) * side / GRID for side in shape]
    return [(float(r), float(c)) for r, c in product(*steps)]


def dense_seeds(
    model: Pocket, embedding: PyramidEmbedding
) -> list[tuple[float, float]]:
    """Peaks of the centre map where the dense head sees foreground."""
    foreground, centre = dense_maps(model, embedding)
    smooth = np.where(foreground > FOREGROUND, centre, 0)
    peaks = peak_local_max(  # type: ignore[no-untyped-call]
        smooth, min_distance=2, threshold_abs=0.2
    )
    return [(r * MASK_STRIDE + 0.5, c * MASK_STRIDE + 0.5) for r, c in peaks.tolist()]


def dense_maps(
    model: Pocket, embedding: PyramidEmbedding
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Foreground and centre distance of the whole image, at half resolution."""
    blocks, window = BlockEncoder(model), model.window
    height, width = embedding.image_shape
    shape = (-(-height // MASK_STRIDE), -(-width // MASK_STRIDE))
    found = np.zeros((2, *shape), np.float32)
    for row, col in product(_starts(height, window), _starts(width, window)):
        dense = blocks.crop(embedding, View(0, row, col)).dense[0, :2].clone()
        dense[0].sigmoid_()
        top, left = row // MASK_STRIDE, col // MASK_STRIDE
        part = found[:, top : top + window // 2, left : left + window // 2]
        part[:] = dense[:, : part.shape[1], : part.shape[2]].cpu().numpy()
    return found[0], found[1]


def _starts(side: int, window: int) -> list[int]:
    last = max(-(-(side - window) // 8) * 8, 0)
    return sorted({*range(0, last, window), last})


def _apart(records: Sequence[MaskRecord]) -> list[MaskRecord]:
    """Of candidates whose boxes nearly agree, the one of highest predicted IoU."""
    if not records:
        return []
    boxes = [(*each.origin, *np.add(each.origin, each.mask.shape)) for each in records]
    quality = torch.tensor([each.predicted_iou for each in records])
    kept = nms(torch.tensor(np.array(boxes, np.float32)), quality, NMS_IOU)
    return [records[i] for i in kept.tolist()]
