"""What a single click in a slice means: chosen among all that the model offers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from napari_sam.inference.volume_result import SliceMask
from napari_sam.structures import MaskPrediction, PointPrompt, PromptSet

# What a mask's overlap with the object in a slice nearby counts, against its rating.
NEARBY = 1.0


def best_without(
    answer: MaskPrediction,
    others: Sequence[PromptSet],
    near: SliceMask | None = None,
) -> int | None:
    """Index of the best mask of a click that holds no click on another object.

    That is the best-rated one; where the object is known already in a slice nearby,
    also the one most like it.

    Parameters
    ----------
    answer : MaskPrediction
    others : sequence of PromptSet
        Of other objects in the same slice.
    near : SliceMask, optional
        The object in the nearest slice that it is known in.

    Returns
    -------
    int or None
        None if each mask holds one.
    """
    places = np.array(clicks_of(others), dtype=float).reshape(-1, 2).astype(int)
    is_wider = answer.masks[:, places[:, 0], places[:, 1]].any(axis=1)
    free = np.flatnonzero(~is_wider)
    if not free.size:
        return None
    worth = answer.predicted_iou[free].astype(float)
    if near is not None:
        known = near.full(answer.masks.shape[1:])
        shared = (answer.masks[free] & known).sum(axis=(1, 2))
        worth += NEARBY * shared / (answer.masks[free] | known).sum(axis=(1, 2))
    return int(free[worth.argmax()])


def told_apart(prompts: PromptSet, others: Sequence[PromptSet]) -> PromptSet:
    """Return a click with those on other objects as negative ones.

    Only the nearest: of those farther off the object is told apart by itself.

    Parameters
    ----------
    prompts : PromptSet
        With one click.
    others : sequence of PromptSet
        Of other objects in the same slice, with a click at least.
    """
    own = np.array(prompts.points[0].position)
    nearest = min(clicks_of(others), key=lambda place: np.hypot(*(own - place)))
    apart = PointPrompt(nearest, positive=False)
    return replace(prompts, points=(*prompts.points, apart))


def clicks_of(prompts: Sequence[PromptSet]) -> list[tuple[float, float]]:
    """Positions of all positive clicks."""
    return [each.position for one in prompts for each in one.points if each.positive]


def is_ambiguous(prompts: PromptSet) -> bool:
    """Whether prompts are a single click, which may mean a part or the whole."""
    return len(prompts.points) == 1 and prompts.box is None and prompts.mask is None
