"""Candidates of an automatic search, sifted before they are drawn in the image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torchvision.ops import nms

from napari_sam.geometry import Box, image_to_frame, mask_to_box
from napari_sam.inference.crops import Crop, is_cut_off
from napari_sam.inference.framing import Framing, ImageEmbedding, LowResMasks
from napari_sam.inference.postprocess import (
    EIGHT_NEIGHBOURS,
    MASK_THRESHOLD,
    DrawnMask,
    largest_part,
)
from napari_sam.inference.run_lengths import RunLengthEncoder, RunLengths, decode_mask

# A mask's stability on the coarse grid is at most this much below that in the image.
STABILITY_MARGIN = 0.03


@dataclass(eq=False)
class Found:
    """A candidate that passed the thresholds.

    Attributes
    ----------
    point : tuple of float
        (row, col) asked, in the full image.
    crop : Box
        Where it was looked for.
    box : ndarray of int, shape (4,)
        First and last row and column, (row0, col0, row1, col1), in the full image.
    predicted_iou, stability_score : float
    runs : dict
        The mask.
    """

    point: tuple[float, float]
    crop: Box
    box: NDArray[np.int64]
    predicted_iou: float
    stability_score: float
    runs: RunLengths


class Sieve:
    """Sifts the candidates of one crop.

    Parameters
    ----------
    framing : Framing
    embedding : ImageEmbedding
        Of the crop.
    crop : Crop
    encoder : RunLengthEncoder
        Of the full image.
    thresholds : tuple of float
        Candidates need a higher predicted IoU than the first and at least the second
        as stability score.
    offset : float
        Of the stability score.
    """

    def __init__(
        self,
        framing: Framing,
        embedding: ImageEmbedding,
        crop: Crop,
        encoder: RunLengthEncoder,
        thresholds: tuple[float, float],
        offset: float,
    ) -> None:
        self._framing = framing
        self._embedding = embedding
        self._crop = crop
        self._encoder = encoder
        self._min_iou, self._min_stability = thresholds
        self._offset = offset

    def sift(
        self, points: Sequence[tuple[float, float]], answers: Sequence[LowResMasks]
    ) -> list[Found]:
        """Return the candidates that pass, those of one point together.

        Parameters
        ----------
        points : sequence of (row, col)
            Asked, in the crop.
        answers : sequence of LowResMasks
            One for each point.
        """
        passed = [
            found
            for point, answer in zip(points, answers, strict=True)
            for found in self._sift_one(point, answer)
        ]
        boxes = np.array([each.box for each in passed]).reshape(-1, 4)
        cut = is_cut_off(boxes, self._crop.box, self._image_shape)
        return [each for each, is_cut in zip(passed, cut, strict=True) if not is_cut]

    @property
    def _image_shape(self) -> tuple[int, int]:
        return self._encoder.image_shape

    def _sift_one(
        self, point: tuple[float, float], answer: LowResMasks
    ) -> Iterator[Found]:
        """Draw what passes on the coarse grid, and keep what passes in the image."""
        sure = torch.nonzero(answer.predicted_iou > self._min_iou).flatten().tolist()
        if not sure:
            return
        scores = coarse_stability(answer, sure, self._crop.shape, self._offset)
        for index, score in zip(sure, scores, strict=True):
            if score < self._min_stability - STABILITY_MARGIN:
                continue
            drawn = self._framing.draw(
                self._embedding, answer.logits[index], answer.frame, self._offset
            )
            if drawn is not None and drawn.stability_score >= self._min_stability:
                yield self._found(point, float(answer.predicted_iou[index]), drawn)

    def _found(
        self, point: tuple[float, float], predicted_iou: float, drawn: DrawnMask
    ) -> Found:
        top, left = self._crop.box[:2]
        row0, col0, row1, col1 = np.add(drawn.box, (top, left, top, left)).tolist()
        return Found(
            (point[0] + top, point[1] + left),
            self._crop.box,
            np.array([row0, col0, row1 - 1, col1 - 1]),
            predicted_iou,
            drawn.stability_score,
            self._encoder.encode(drawn.mask, (row0, col0, row1, col1)),
        )


def coarse_stability(
    answer: LowResMasks,
    indices: Sequence[int],
    image_shape: tuple[int, int],
    offset: float,
) -> list[float]:
    """Stability scores of some candidates, on the coarse grid, inside the image."""
    ends = image_to_frame(np.array([(0, 0), image_shape]), answer.frame)
    (row0, col0), (row1, col1) = np.clip(np.round(ends), 0, answer.frame.shape)
    logits = answer.logits[indices][:, int(row0) : int(row1), int(col0) : int(col1)]
    inner, outer = (
        torch.count_nonzero(logits > cut, dim=(1, 2)).tolist()
        for cut in (MASK_THRESHOLD + offset, MASK_THRESHOLD - offset)
    )
    return [a / b if b else 0.0 for a, b in zip(inner, outer, strict=True)]


def keep_apart(
    boxes: NDArray[np.int64], scores: NDArray[np.float64], threshold: float
) -> list[int]:
    """Indices of boxes that no better box overlaps by more than an IoU, best first."""
    corners = torch.from_numpy(boxes.reshape(-1, 4).astype(np.float32))
    ranked = torch.from_numpy(scores.astype(np.float32))
    kept: list[int] = nms(corners, ranked, threshold).tolist()
    return kept


def remove_small_regions(
    found: Sequence[Found], encoder: RunLengthEncoder, min_area: int, threshold: float
) -> list[Found]:
    """Clean masks of small holes and parts; of those that become alike keep one.

    Parameters
    ----------
    found : sequence of Found
        Changed in place.
    encoder : RunLengthEncoder
    min_area : int
        Holes and parts of fewer pixels go.
    threshold : float
        IoU of boxes; a mask that needed no cleaning is preferred.

    Returns
    -------
    list of Found
    """
    untouched = np.array([not _clean(each, encoder, min_area) for each in found], float)
    boxes = np.array([each.box for each in found]).reshape(-1, 4)
    return [found[index] for index in keep_apart(boxes, untouched, threshold)]


def _clean(found: Found, encoder: RunLengthEncoder, min_area: int) -> bool:
    """Clean one mask; return whether it changed."""
    mask = decode_mask(found.runs)
    filled = mask | _small_regions(~mask, min_area)
    cleaned = filled & ~_small_regions(filled, min_area)
    if not cleaned.any():
        cleaned = largest_part(filled)
    if (cleaned == mask).all():
        return False
    box = mask_to_box(cleaned)
    assert box is not None
    row0, col0, row1, col1 = box
    found.runs = encoder.encode(cleaned[row0:row1, col0:col1], box)
    found.box = np.array([row0, col0, row1 - 1, col1 - 1])
    return True


def _small_regions(mask: NDArray[np.bool_], min_area: int) -> NDArray[np.bool_]:
    """Parts of a mask, connected by edges or corners, of fewer pixels than this."""
    labels, _ = ndimage.label(mask, structure=EIGHT_NEIGHBOURS)
    is_small = np.bincount(labels.ravel()) < min_area
    is_small[0] = False
    small: NDArray[np.bool_] = is_small[labels]
    return small
