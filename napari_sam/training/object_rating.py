"""Teach `pocket` to rate what it suggests itself, after everything else is learnt."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from torch import Tensor

from napari_sam.errors import DataError
from napari_sam.inference.blocks import PyramidEmbedding
from napari_sam.inference.dense import DenseFinder
from napari_sam.inference.object_rating import Answered, ObjectRater
from napari_sam.inference.predictor import SamPredictor
from napari_sam.inference.prompted_regions import prompt_regions, region_candidates
from napari_sam.inference.pyramid import PyramidFraming
from napari_sam.nn.pocket import Pocket
from napari_sam.nn.pocket_objects import ObjectHead
from napari_sam.structures import Provenance
from napari_sam.training.matching import best_match

BATCH = 512
LEARNING_RATE, WEIGHT_DECAY = 4e-3, 3e-2
# In standard deviations, added to what the head sees: there are few images.
NOISE = 0.1


@dataclass(frozen=True, eq=False)
class ObjectTable:
    """What the head sees of the suggestions of one image, and what they are worth.

    Attributes
    ----------
    kind : str
        Of image: all kinds count alike but for a root of their number.
    seen : Tensor
        (N, F).
    iou : Tensor
        (N,), of each answer with the true object that it meets best.
    """

    kind: str
    seen: Tensor
    iou: Tensor


def tabulate(
    predictor: SamPredictor, kind: str, labels: NDArray[np.integer]
) -> ObjectTable:
    """Let a model suggest objects of its image, and compare them with true ones.

    Parameters
    ----------
    predictor : SamPredictor
        Of `pocket`, with its image set.
    kind : str
    labels : ndarray of int, shape (H, W)
        All objects of the image.

    Raises
    ------
    DataError
        The model is another one.
    """
    framing, embedding = predictor.framing, predictor.embedding
    if not (
        isinstance(framing, PyramidFraming) and isinstance(embedding, PyramidEmbedding)
    ):
        raise DataError("Only pocket rates what it suggests: use that model.")
    regions = DenseFinder(framing)(embedding, _ignore)
    made = Provenance(framing.model.name, "")
    drawn = region_candidates(regions, embedding.image_shape, made)
    seen: list[Tensor] = []
    ious: list[float] = []
    if drawn:
        rater = ObjectRater(framing, embedding, drawn)

        def note(answered: Sequence[Answered]) -> NDArray[np.float32]:
            seen.append(rater.describe(answered).cpu())
            ious.extend(best_match(found.record, labels)[0] for _, found, _ in answered)
            return np.ones(len(answered), np.float32)

        prompt_regions(framing, embedding, drawn, _ignore, note)
    width = framing.model.object_head.width
    return ObjectTable(
        kind, torch.cat(seen) if seen else torch.zeros(0, width), torch.tensor(ious)
    )


def _ignore(_done: int, _total: int) -> None:
    """Take a report of progress that nobody waits for."""


def fit_object_head(
    model: Pocket, tables: Iterable[ObjectTable], steps: int = 2000, seed: int = 0
) -> list[float]:
    """Fit the head, and nothing else of the model.

    Parameters
    ----------
    model : Pocket
    tables : iterable of ObjectTable
    steps : int
    seed : int

    Returns
    -------
    list of float
        The loss of each step.

    Raises
    ------
    DataError
        There are no suggestions to learn from.
    """
    full = [table for table in tables if len(table.iou)]
    if not full:
        raise DataError("The model suggests nothing in these images: give other ones.")
    seen = torch.cat([table.seen for table in full])
    iou = torch.cat([table.iou for table in full]).clamp(0, 1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = ObjectHead(model.object_head.channels)
        head.mean.copy_(seen.mean(0))
        head.scale.copy_(seen.std(0) + 1e-4)
        head.is_fitted.fill_(True)
        losses = _descend(head, seen, iou, _shares(full), steps)
    model.object_head.load_state_dict(head.state_dict())
    return losses


def _shares(tables: Sequence[ObjectTable]) -> Tensor:
    """How often each suggestion is drawn.

    An image counts by the root of its suggestions, and a kind by the root of that.
    """
    kinds: dict[str, float] = {}
    for table in tables:
        kinds[table.kind] = kinds.get(table.kind, 0.0) + len(table.iou) ** 0.5
    shares = [
        torch.ones_like(table.iou) * (len(table.iou) * kinds[table.kind]) ** -0.5
        for table in tables
    ]
    return torch.cat(shares)


def _descend(
    head: ObjectHead, seen: Tensor, iou: Tensor, shares: Tensor, steps: int
) -> list[float]:
    optimiser = torch.optim.AdamW(
        head.parameters(), LEARNING_RATE, weight_decay=WEIGHT_DECAY
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, steps)
    losses = []
    for _ in range(steps):
        drawn = torch.multinomial(shares, BATCH, replacement=True)
        blurred = seen[drawn] + NOISE * head.scale * torch.randn(BATCH, seen.shape[1])
        opinions = torch.stack(head(blurred))
        true = iou[drawn].expand_as(opinions)
        loss = functional.binary_cross_entropy_with_logits(opinions, true)
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()
        losses.append(loss.item())
    head.eval()
    return losses
