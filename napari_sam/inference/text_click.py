"""A click and a word: which of the masks under the click the word means."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from napari_sam.inference.framing import LowResMasks
from napari_sam.inference.postprocess import STABILITY_OFFSET, DrawnMask
from napari_sam.inference.predictor import SamPredictor
from napari_sam.structures import MaskPrediction, MaskRecord, PromptSet

# What a mask keeps of its predicted IoU if the word does not fit it at all.
LEAST_SHARE = 0.1

Score = Callable[[Sequence[MaskRecord]], NDArray[np.float32]]


def predict_named(
    predictor: SamPredictor, prompts: PromptSet, score: Score
) -> MaskPrediction:
    """Predict one object whose name is known.

    "nucleus" and "cell" at the same click lie at different scales, so that all masks of
    all scales are compared.

    Parameters
    ----------
    predictor : SamPredictor
        With its image set.
    prompts : PromptSet
        Clicks, a box or a mask.
    score : callable
        How well N masks, none of them empty, answer to the name: (N,), 0 to 1.

    Returns
    -------
    MaskPrediction
        The masks of the scale at which the best one lies; their predicted IoU is
        weighed by the score.

    Raises
    ------
    PromptError, ImageError
        As `SamPredictor.predict`.
    """
    answers = predictor.predict_levels(prompts)
    weighed = [_weigh(predictor, each, score) for each in answers]
    return max(weighed, key=lambda each: float(each.predicted_iou.max()))


def _weigh(
    predictor: SamPredictor, answer: LowResMasks, score: Score
) -> MaskPrediction:
    embedding = predictor.embedding
    drawn = [
        predictor.framing.draw(embedding, each, answer.frame, STABILITY_OFFSET)
        for each in answer.logits
    ]
    masks = np.zeros((len(drawn), *embedding.image_shape), bool)
    stability, fits = np.zeros((2, len(drawn)), np.float32)
    filled = [index for index, each in enumerate(drawn) if each is not None]
    records = [_as_record(each) for each in drawn if each is not None]
    if records:
        fits[filled] = score(records)
    for index, record in zip(filled, records, strict=True):
        (row, col), (height, width) = record.origin, record.mask.shape
        masks[index, row : row + height, col : col + width] = record.mask
        stability[index] = record.stability_score
    rated = answer.predicted_iou.clamp(0, 1).cpu().numpy()
    weighed = rated * (LEAST_SHARE + (1 - LEAST_SHARE) * fits)
    return MaskPrediction(
        masks,
        weighed.astype(np.float32),
        stability,
        answer.logits.cpu().numpy(),
        answer.frame,
    )


def _as_record(drawn: DrawnMask) -> MaskRecord:
    row, col, _, _ = drawn.box
    return MaskRecord(drawn.mask, (row, col), 1.0, drawn.stability_score)
