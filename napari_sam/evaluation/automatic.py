"""Score a method that finds all objects by itself."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam.evaluation.labelled import LabelledImage
from napari_sam.evaluation.metrics import LabelScore, score_labels

Segment = Callable[[LabelledImage], NDArray[Any]]


@dataclass
class SegmentationResult:
    """Scores of labelled images, one for each.

    Attributes
    ----------
    scores : list of LabelScore
    """

    scores: list[LabelScore] = field(default_factory=list)

    def summary(self) -> dict[str, float]:
        """Sum the images up.

        Returns
        -------
        dict of float
            ``ap50``, ``ap75``, ``mean_sa``, ``panoptic_quality``, ``f1`` and the
            signed ``count_error`` as means over images (as Cellpose and micro-sam
            average), ``absolute_count_error``, and ``pooled_*``, the first five from
            the counts of all images together (as StarDist averages).
        """
        each = [score.as_dict() for score in self.scores]
        means = {key: float(np.mean([one[key] for one in each])) for key in each[0]}
        absolute = float(np.mean([abs(one["count_error"]) for one in each]))
        pooled = self._pooled().as_dict()
        del pooled["count_error"]
        return {
            **means,
            "absolute_count_error": absolute,
            **{f"pooled_{key}": value for key, value in pooled.items()},
        }

    def _pooled(self) -> LabelScore:
        first, *others = (score.at for score in self.scores)
        total = list(first)
        for scores in others:
            total = [a + b for a, b in zip(total, scores, strict=True)]
        return LabelScore(tuple(total))


def score_segmentation(
    segment: Segment, images: Iterable[LabelledImage]
) -> SegmentationResult:
    """Segment images and score the labels.

    Parameters
    ----------
    segment : callable
        Takes a labelled image, of which it uses the image and its channel axis, and
        returns instance labels, int (H, W).
    images : iterable of LabelledImage

    Returns
    -------
    SegmentationResult

    Raises
    ------
    DataError
        If ``segment`` returns labels of another shape, or labels that are not integers.
    """
    scores = [score_labels(each.labels(), segment(each)) for each in images]
    return SegmentationResult(scores)
