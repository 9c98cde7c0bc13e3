"""Scores of masks, of instance labels and of predicted confidences."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import linear_sum_assignment

from napari_sam.errors import DataError

MEAN_SA_THRESHOLDS: tuple[float, ...] = tuple(
    round(0.5 + 0.05 * step, 2) for step in range(10)
)


def instance_ious(truth: NDArray, predicted: NDArray) -> NDArray[np.float64]:
    """IoU of every labelled object with every predicted one.

    Parameters
    ----------
    truth, predicted : ndarray of int, the same shape, any number of axes
        Instance ids, 0 is background; ids need not be consecutive.

    Returns
    -------
    ndarray of float64, shape (objects in truth, objects in predicted)
        Rows and columns in the order of the sorted ids.

    Raises
    ------
    DataError
        If the shapes differ or the labels are not integers.
    """
    _check_labels(truth, predicted)
    true_ids, true_index = np.unique(truth, return_inverse=True)
    ids, index = np.unique(predicted, return_inverse=True)
    pair = true_index.ravel().astype(np.int64) * len(ids) + index.ravel()
    overlap = np.bincount(pair, minlength=len(true_ids) * len(ids))
    overlap = overlap.reshape(len(true_ids), len(ids))
    union = overlap.sum(1, keepdims=True) + overlap.sum(0, keepdims=True) - overlap
    ious: NDArray[np.float64] = (overlap / union)[true_ids != 0][:, ids != 0]
    return ious


def _check_labels(truth: NDArray, predicted: NDArray) -> None:
    if truth.shape != predicted.shape:
        raise DataError(
            f"The labels have the shape {truth.shape} and the prediction "
            f"{predicted.shape}; both must have the same shape."
        )
    for labels in (truth, predicted):
        if not np.issubdtype(labels.dtype, np.integer):
            raise DataError(
                f"Instance labels must be integers, not {labels.dtype}; convert them."
            )


@dataclass(frozen=True)
class InstanceScore:
    """How well predicted instances match the labelled ones at one IoU threshold.

    Counts add up: the score of a data set is ``sum(scores, InstanceScore.empty(t))``.

    Attributes
    ----------
    threshold : float
        A pair counts as matched from this IoU on.
    true_positives, false_positives, false_negatives : int
    matched_iou : float
        Sum of the IoUs of the matched pairs.
    """

    threshold: float
    true_positives: int
    false_positives: int
    false_negatives: int
    matched_iou: float

    @classmethod
    def empty(cls, threshold: float) -> InstanceScore:
        """Return the score of no image at all."""
        return cls(threshold, 0, 0, 0, 0.0)

    def __add__(self, other: InstanceScore) -> InstanceScore:
        """Pool the counts of two images."""
        return InstanceScore(
            self.threshold,
            self.true_positives + other.true_positives,
            self.false_positives + other.false_positives,
            self.false_negatives + other.false_negatives,
            self.matched_iou + other.matched_iou,
        )

    @property
    def _all(self) -> int:
        return self.true_positives + self.false_positives + self.false_negatives

    @property
    def average_precision(self) -> float:
        """TP / (TP + FP + FN); 1 where nothing is labelled and nothing predicted."""
        return self.true_positives / self._all if self._all else 1.0

    @property
    def f1(self) -> float:
        """2 TP / (2 TP + FP + FN)."""
        both = self._all + self.true_positives
        return 2 * self.true_positives / both if both else 1.0

    @property
    def panoptic_quality(self) -> float:
        """Summed IoU of matches / (TP + FP / 2 + FN / 2), Kirillov et al. 2019."""
        half = self.true_positives + self._all
        return 2 * self.matched_iou / half if half else 1.0

    @property
    def count_error(self) -> int:
        """Predicted minus labelled objects."""
        return self.false_positives - self.false_negatives


def match_instances(
    ious: NDArray[np.float64], thresholds: Sequence[float] = MEAN_SA_THRESHOLDS
) -> list[InstanceScore]:
    """Match objects one to one and count, at each IoU threshold.

    The matching has as many pairs as possible and, among those, the highest summed
    IoU. The counts are those of the 2018 Data Science Bowl, Cellpose and StarDist.

    Parameters
    ----------
    ious : ndarray of float, shape (labelled objects, predicted objects)
        From `instance_ious`.
    thresholds : sequence of float

    Returns
    -------
    list of InstanceScore
        One for each threshold.
    """
    return [_match_at(ious, threshold) for threshold in thresholds]


def _match_at(ious: NDArray[np.float64], threshold: float) -> InstanceScore:
    labelled, predicted = ious.shape
    passing = ious >= threshold
    matched = np.zeros(0)
    if passing.any():
        reward = passing + ious / (2 * min(ious.shape))
        rows, columns = linear_sum_assignment(reward, maximize=True)
        matched = ious[rows, columns][passing[rows, columns]]
    found = len(matched)
    return InstanceScore(
        threshold, found, predicted - found, labelled - found, float(matched.sum())
    )


@dataclass(frozen=True)
class LabelScore:
    """The usual scores of one labelled image or volume against a prediction.

    Attributes
    ----------
    at : tuple of InstanceScore
        One for each threshold of ``MEAN_SA_THRESHOLDS``.
    """

    at: tuple[InstanceScore, ...]

    def average_precision(self, threshold: float) -> float:
        """AP at one of the thresholds .5, .55 ... .95."""
        return self.at[MEAN_SA_THRESHOLDS.index(threshold)].average_precision

    @property
    def mean_sa(self) -> float:
        """Mean AP over the thresholds .5 to .95, the mSA of micro-sam and Cellpose."""
        return float(np.mean([score.average_precision for score in self.at]))

    def as_dict(self) -> dict[str, float]:
        """All scores by name, ready for JSON."""
        half = self.at[0]
        return {
            "ap50": half.average_precision,
            "ap75": self.average_precision(0.75),
            "mean_sa": self.mean_sa,
            "panoptic_quality": half.panoptic_quality,
            "f1": half.f1,
            "count_error": half.count_error,
        }


def score_labels(truth: NDArray, predicted: NDArray) -> LabelScore:
    """Score predicted instances against labelled ones.

    Parameters
    ----------
    truth, predicted : ndarray of int, the same shape, 2D or 3D
        Instance ids, 0 is background.

    Raises
    ------
    DataError
        If the shapes differ or the labels are not integers.
    """
    return LabelScore(tuple(match_instances(instance_ious(truth, predicted))))


def clicks_needed(ious: Sequence[float], target: float, limit: int = 20) -> int:
    """Clicks until a mask reaches an IoU (NoC of interactive segmentation).

    Parameters
    ----------
    ious : sequence of float
        IoU after 1, 2, 3 ... clicks.
    target : float
        0.85 for NoC@85.
    limit : int
        What an object that never gets there counts as.
    """
    for clicks, iou in enumerate(ious[:limit], start=1):
        if iou >= target:
            return clicks
    return limit


@dataclass(frozen=True)
class Calibration:
    """Whether predicted IoUs mean what they say.

    Attributes
    ----------
    expected_error : float
        Expected calibration error: mean over equal-width bins, weighted by their
        counts, of |mean predicted - mean true| (Naeini et al. 2015).
    bias : float
        Mean predicted minus mean true IoU over everything.
    bins : tuple of (float, float, int)
        Mean predicted, mean true and count of each bin that is not empty.
    """

    expected_error: float
    bias: float
    bins: tuple[tuple[float, float, int], ...]


def calibration(predicted: ArrayLike, true: ArrayLike, bins: int = 10) -> Calibration:
    """Compare predicted with true IoUs.

    Parameters
    ----------
    predicted, true : array-like of float, shape (N,)
        N at least 1. Predictions outside 0..1 go to the first or last bin.
    bins : int

    Raises
    ------
    DataError
        If there is nothing to compare.
    """
    guess = np.asarray(predicted, dtype=np.float64)
    fact = np.asarray(true, dtype=np.float64)
    if guess.size == 0:
        raise DataError("Calibration needs at least one predicted IoU.")
    which = np.clip((guess * bins).astype(int), 0, bins - 1)
    filled = [
        (float(guess[which == b].mean()), float(fact[which == b].mean()), int(n))
        for b, n in enumerate(np.bincount(which, minlength=bins))
        if n
    ]
    error = sum(n * abs(g - f) for g, f, n in filled) / guess.size
    return Calibration(error, float(guess.mean() - fact.mean()), tuple(filled))
