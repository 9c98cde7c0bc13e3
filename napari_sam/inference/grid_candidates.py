"""Candidates of an automatic search, sifted before they are drawn in the image."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor
from torchvision.ops import nms

from napari_sam.geometry import Box, frame_to_image, image_to_frame, mask_to_box
from napari_sam.inference.crops import Crop, is_cut_off
from napari_sam.inference.framing import Framing, ImageEmbedding, LowResMasks
from napari_sam.inference.postprocess import (
    EIGHT_NEIGHBOURS,
    MASK_THRESHOLD,
    DrawnMask,
    crop_logits,
    largest_part,
)
from napari_sam.inference.run_lengths import RunLengthEncoder, RunLengths, decode_mask
from napari_sam.structures import Frame

# The coarse grid's stability is within this of the image's; nearer to the threshold
# than this, the image's decides.
STABILITY_MARGIN = 0.02
# Bytes of logits that may wait to be drawn.
WAITING_BYTES = 96_000_000


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
        Stability is that of the coarse grid until the mask is drawn.
    logits : Tensor or None
        (h, w) on ``frame`` of the crop's image; None once it is drawn.
    frame : Frame
    runs : dict or None
        The mask, once it is drawn.
    """

    point: tuple[float, float]
    crop: Box
    box: NDArray[np.int64]
    predicted_iou: float
    stability_score: float
    logits: Tensor | None
    frame: Frame
    runs: RunLengths | None = None


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
        self._waiting = 0

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

    def draw(self, found: Found) -> bool:
        """Draw a candidate, if it is not yet; False if no pixel of it is left."""
        if found.logits is None:
            return True
        drawn = self._framing.draw(
            self._embedding, found.logits, found.frame, self._offset
        )
        found.logits = None
        if drawn is None:
            return False
        self._fill_in(found, drawn)
        return True

    @property
    def _image_shape(self) -> tuple[int, int]:
        return self._encoder.image_shape

    def _sift_one(
        self, point: tuple[float, float], answer: LowResMasks
    ) -> Iterator[Found]:
        sure = torch.nonzero(answer.predicted_iou > self._min_iou).flatten().tolist()
        if not sure:
            return
        shape = self._crop.shape
        scores = coarse_stability(answer, sure, shape, self._offset)
        for index, score in zip(sure, scores, strict=True):
            if score < self._min_stability - STABILITY_MARGIN:
                continue
            found = self._found(point, answer, index, score)
            if found is not None and self._is_stable(found):
                yield found

    def _found(
        self,
        point: tuple[float, float],
        answer: LowResMasks,
        index: int,
        stability: float,
    ) -> Found | None:
        logits = answer.logits[index]
        box = pixel_box(logits, answer.frame, self._crop.shape)
        cropped = crop_logits(logits, answer.frame, self._offset)
        if box is None or cropped is None:
            return None
        top, left = self._crop.box[:2]
        return Found(
            (point[0] + top, point[1] + left),
            self._crop.box,
            np.add(box, (top, left, top, left)),
            float(answer.predicted_iou[index]),
            stability,
            cropped[0].clone(),
            cropped[1],
        )

    def _is_stable(self, found: Found) -> bool:
        """Let the image's pixels decide where the coarse grid is too near to call."""
        assert found.logits is not None
        distance = abs(found.stability_score - self._min_stability)
        if distance <= STABILITY_MARGIN or self._waiting > WAITING_BYTES:
            return self.draw(found) and found.stability_score >= self._min_stability
        self._waiting += found.logits.nbytes
        return True

    def _fill_in(self, found: Found, drawn: DrawnMask) -> None:
        """Replace what the coarse grid said of a candidate by what its pixels say."""
        top, left = self._crop.box[:2]
        box = np.add(drawn.box, (top, left, top, left))
        row0, col0, row1, col1 = (int(edge) for edge in box)
        found.runs = self._encoder.encode(drawn.mask, (row0, col0, row1, col1))
        found.box = np.array([row0, col0, row1 - 1, col1 - 1])
        found.stability_score = drawn.stability_score


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


def pixel_box(
    logits: Tensor, frame: Frame, image_shape: tuple[int, int]
) -> tuple[int, int, int, int] | None:
    """First and last row and column that a mask will have in the image.

    Taken from where the logits cross 0 between samples: the mask is not drawn.

    Parameters
    ----------
    logits : Tensor, shape ``frame.shape``
    frame : Frame
    image_shape : tuple of int

    Returns
    -------
    tuple of int or None
        (row0, col0, row1, col1), the last ones inclusive; None if no logit is above 0.
    """
    values = logits.numpy()
    box = mask_to_box(values > MASK_THRESHOLD)
    if box is None:
        return None
    row0, col0, row1, col1 = box
    edges = np.array(
        [
            (_crossing(values, row0, -1), _crossing(values.T, col0, -1)),
            (_crossing(values, row1 - 1, 1), _crossing(values.T, col1 - 1, 1)),
        ]
    )
    first, last = frame_to_image(edges, frame) - 0.5
    first = np.clip(np.ceil(first), 0, np.array(image_shape) - 1).astype(int)
    last = np.clip(np.ceil(last) - 1, 0, np.array(image_shape) - 1).astype(int)
    return int(first[0]), int(first[1]), int(last[0]), int(last[1])


def _crossing(values: NDArray[np.float32], row: int, step: int) -> float:
    """Where a mask ends beyond its outermost row, in samples from the grid's edge."""
    beyond = row + step
    if not 0 <= beyond < len(values):
        return float(row + (step > 0))
    inside = values[row] > MASK_THRESHOLD
    a, b = values[row][inside], values[beyond][inside]
    return row + 0.5 + step * float((a / (a - b)).max())


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
        Drawn; changed in place.
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
    assert found.runs is not None
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
