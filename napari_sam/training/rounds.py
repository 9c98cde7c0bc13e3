"""The loss of one batch: rounds of prompts, each correcting the mask before."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor

from napari_sam.nn.precision import choose_dtype
from napari_sam.training.batches import Batch
from napari_sam.training.learner import Features, Learner
from napari_sam.training.losses import dense_loss, mask_iou, mask_loss
from napari_sam.training.prompts import PromptBatch, correct
from napari_sam.training.recipe import Recipe


@dataclass(frozen=True)
class RoundsResult:
    """What a batch taught.

    Attributes
    ----------
    loss : Tensor
        Scalar.
    ious : list of Tensor
        Of each round, the IoU (objects,) of the chosen masks; background left out.
    """

    loss: Tensor
    ious: list[Tensor]


def autocast(recipe: Recipe) -> torch.autocast:
    """Return the context in which a recipe's forward passes run."""
    # A CPU that only imitates bfloat16 takes several times as long as in float32.
    is_fast = choose_dtype("auto", torch.device("cpu")) == torch.bfloat16
    return torch.autocast("cpu", torch.bfloat16, enabled=recipe.bfloat16 and is_fast)


def rounds_loss(
    model: Learner, batch: Batch, recipe: Recipe, step: int
) -> RoundsResult:
    """Prompt, correct and score a batch.

    Parameters
    ----------
    model : Learner
    batch : Batch
    recipe : Recipe
    step : int
        With the recipe's seed it decides on all that is random here.

    Returns
    -------
    RoundsResult
    """
    rng = np.random.default_rng([recipe.seed, step, 1])
    chances = np.asarray(recipe.rounds) / np.sum(recipe.rounds)
    rounds = 1 + int(rng.choice(len(chances), p=chances))
    fits_encoder = recipe.parts != "decoder"
    with autocast(recipe), torch.set_grad_enabled(fits_encoder):
        windows = model.encode(batch.images)
        features = windows.select(batch.window_index)
    prompts = batch.prompts
    losses, ious = [], []
    for number in range(rounds):
        logits, predicted_iou = decode(model, features, prompts, recipe)
        loss, chosen, iou = _score(
            logits, predicted_iou, batch, prompts.ambiguous, recipe.iou_weight
        )
        losses.append(loss)
        ious.append(iou[batch.is_object])
        if number + 1 < rounds:
            prompts = correct(prompts, chosen, batch.truth, rng, recipe.prompts)
    total = torch.stack(losses).mean()
    if fits_encoder and windows.dense is not None:
        dense = dense_loss(windows.dense.float(), batch.dense, batch.complete)
        total = total + recipe.dense_weight * dense
    return RoundsResult(total, ious)


def decode(
    model: Learner, features: Features, prompts: PromptBatch, recipe: Recipe
) -> tuple[Tensor, Tensor]:
    """Return logits (M, 4, n, n) and predicted IoU (M, 4), float32."""
    with autocast(recipe):
        logits, predicted_iou = model.decode(
            cast("Any", features),  # each kind of model has its own
            (prompts.coords, prompts.point_labels),
            prompts.boxes,
            prompts.logits,
        )
    return logits.float(), predicted_iou.float()


def choose(predicted_iou: Tensor, ambiguous: Tensor) -> Tensor:
    """Index of the mask that answers: the best-rated, or the single one."""
    return torch.where(ambiguous, predicted_iou.argmax(1), 0)


def _score(
    logits: Tensor,
    predicted_iou: Tensor,
    batch: Batch,
    ambiguous: Tensor,
    iou_weight: float,
) -> tuple[Tensor, Tensor, Tensor]:
    """One round's loss, the mask to correct, and its IoU."""
    truth = batch.truth[:, None].expand_as(logits)
    each = mask_loss(logits, truth)
    single, best_of_three = each[:, 0], each[:, 1:].min(1).values
    # An ambiguous click is answered by the best-rated of all four masks, anything else
    # by one; the smaller share keeps the other tokens fit for users who ask for them.
    share = torch.where(ambiguous, 0.6, 1.0)
    masks = share * single + (1.3 - share) * best_of_three
    masks = masks[batch.is_object].sum() / batch.is_object.sum().clamp(min=1)
    true_iou = mask_iou(logits, truth) * batch.is_object[:, None]
    quality = predicted_iou - true_iou
    loss = masks + iou_weight * quality.square().mean()
    pick = choose(predicted_iou, ambiguous)
    rows = torch.arange(len(pick))
    return loss, logits[rows, pick].detach(), true_iou[rows, pick]
