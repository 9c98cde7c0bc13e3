"""Make predicted IoU say what it means, by a straight line through measurements."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import nn

from napari_sam.errors import DataError
from napari_sam.evaluation.benchmark import ObjectRecord, SetResult
from napari_sam.evaluation.trials import Step
from napari_sam.nn.pocket import Pocket


@dataclass(frozen=True)
class RatingLine:
    """True IoU as a straight line of predicted IoU.

    Attributes
    ----------
    gain, offset : float
    """

    gain: float
    offset: float


def fit_ratings(results: Sequence[SetResult]) -> RatingLine:
    """Fit the line by least squares, every set counting the same.

    Parameters
    ----------
    results : sequence of SetResult
        Of `napari_sam.evaluation.benchmark.run_benchmark`, on images to fit on.

    Returns
    -------
    RatingLine

    Raises
    ------
    DataError
        There are fewer than two different ratings to fit on.
    """
    predicted, true, weights = [], [], []
    for result in results:
        steps = [step for record in result.records for step in _steps(record)]
        predicted += [step.predicted_iou for step in steps]
        true += [step.iou for step in steps]
        weights += [1 / len(steps)] * len(steps)
    if len(set(predicted)) < 2:
        raise DataError("Ratings need at least two measured objects; give more data.")
    # numpy squares the weights.
    gain, offset = np.polyfit(predicted, true, 1, w=np.sqrt(weights))
    return RatingLine(float(gain), float(offset))


def _steps(record: ObjectRecord) -> Iterator[Step]:
    boxes = (record.box, record.noisy_box)
    for step in (*record.points, *boxes, *record.box_points):
        if step is not None:
            yield step


@torch.no_grad()
def apply_ratings(model: Pocket, line: RatingLine) -> None:
    """Write the line into the last layers that rate masks; masks stay as they are."""
    decoder = model.mask_decoder
    heads = decoder.iou_prediction_head, decoder.quality_head.mlp
    base, correction = (cast("nn.Linear", head.layers[-1]) for head in heads)
    for last in (base, correction):
        last.weight.mul_(line.gain)
        last.bias.mul_(line.gain)
    # The two are added up, so that one of them carries the offset.
    base.bias.add_(line.offset)
