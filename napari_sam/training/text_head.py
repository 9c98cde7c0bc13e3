"""Fit the word head: descriptions of masks to where their words are in CLIP space."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from torch import Tensor

from napari_sam.text.projector import WordHead
from napari_sam.text.vocabulary import Vocabulary
from napari_sam.training.text_table import BACKGROUND, UNKNOWN, WordTable

# What counts as no object of any word.
NOTHING = (BACKGROUND, UNKNOWN)


@dataclass(frozen=True)
class HeadConfig:
    """How the head is fitted.

    Attributes
    ----------
    steps, batch : int
    learning_rate, weight_decay : float
    noise : float
        Standard deviation added to the standardised descriptions.
    pull : float
        Weight of the distance to the words, beside telling them apart.
    seed : int
    """

    steps: int = 2500
    batch: int = 256
    learning_rate: float = 2e-3
    weight_decay: float = 0.05
    noise: float = 0.1
    pull: float = 0.5
    seed: int = 0


@dataclass(frozen=True, eq=False)
class WordTargets:
    """The phrases of a vocabulary in CLIP space.

    Attributes
    ----------
    vectors : Tensor
        (P, D), of length 1.
    owners : Tensor
        int64 (P,), the concept of each; K, one past the last, for background.
    """

    vectors: Tensor
    owners: Tensor

    @classmethod
    def of(cls, vocabulary: Vocabulary, vectors: NDArray[np.float32]) -> WordTargets:
        """Give phrases their owners; ``vectors`` is of `phrases_of` that vocabulary."""
        owners = [
            index
            for index, concept in enumerate(vocabulary.concepts)
            for _ in concept.trained
        ]
        owners += [len(vocabulary.concepts)] * len(vocabulary.background)
        return cls(torch.from_numpy(vectors), torch.tensor(owners))


def phrases_of(vocabulary: Vocabulary) -> list[str]:
    """All phrases that images are taught with, those of the background last."""
    trained = [phrase for each in vocabulary.concepts for phrase in each.trained]
    return [*trained, *vocabulary.background]


def fit_head(
    table: WordTable, targets: WordTargets, config: HeadConfig | None = None
) -> WordHead:
    """Fit a head.

    The phrases of a mask's concept are all positive and none of them pushes another
    away (as in supervised contrastive learning, Khosla et al., 2020).

    Parameters
    ----------
    table : WordTable
    targets : WordTargets
        Of the vocabulary that the table was made with.
    config : HeadConfig, optional

    Returns
    -------
    WordHead
        In eval mode.
    """
    chosen = config or HeadConfig()
    torch.manual_seed(chosen.seed)
    features = torch.from_numpy(table.features)
    head = WordHead(features.shape[1], targets.vectors.shape[1])
    head.mean.copy_(features.mean(0))
    head.spread.copy_(features.std(0).clamp(min=1e-3))
    nothing = len(table.names)
    concepts = np.where(np.isin(table.concepts, NOTHING), nothing, table.concepts)
    owners = torch.from_numpy(concepts)
    weights = torch.from_numpy(_balance(table))
    optimizer = torch.optim.AdamW(
        head.parameters(), chosen.learning_rate, weight_decay=chosen.weight_decay
    )
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, chosen.learning_rate, total_steps=chosen.steps
    )
    head.train()
    for _ in range(chosen.steps):
        picked = torch.multinomial(weights, chosen.batch, replacement=True)
        given = features[picked]
        given = given + chosen.noise * head.spread * torch.randn_like(given)
        loss = contrastive_loss(head, given, owners[picked], targets, chosen.pull)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    return head.eval()


def contrastive_loss(
    head: WordHead, features: Tensor, owners: Tensor, targets: WordTargets, pull: float
) -> Tensor:
    """Multi-positive contrastive loss against all phrases, and the pull to its own.

    Parameters
    ----------
    head : WordHead
    features : Tensor
        (N, F).
    owners : Tensor
        int64 (N,), the concept of each.
    targets : WordTargets
    pull : float
    """
    cosines = head(features) @ targets.vectors.T
    own = owners[:, None] == targets.owners
    logits = head.scale * cosines
    # Concepts with many phrases are no likelier than those with few.
    counts = torch.bincount(targets.owners)[targets.owners]
    logits = logits - counts.float().log()
    positive = logits.masked_fill(~own, -torch.inf).logsumexp(1)
    mean_cosine = (cosines * own).sum(1) / own.sum(1)
    apart = logits.logsumexp(1) - positive
    loss: Tensor = (apart + pull * (1 - mean_cosine)).mean()
    return loss


def _balance(table: WordTable) -> NDArray[np.float64]:
    """Chances by which concepts and sources count alike, whatever their numbers."""
    groups = np.char.add(
        table.sources[table.images], np.char.mod("/%d", table.concepts)
    )
    _, index, counts = np.unique(groups, return_inverse=True, return_counts=True)
    weights: NDArray[np.float64] = 1 / counts[index] ** 0.6
    return weights


def head_accuracy(
    head: WordHead, table: WordTable, targets: WordTargets
) -> dict[str, float]:
    """Share of masks whose nearest words are their own, by source.

    Parameters
    ----------
    head : WordHead
    table : WordTable
    targets : WordTargets
    """
    vectors = functional.normalize(concept_means(targets), dim=-1)
    with torch.no_grad():
        found = (head(torch.from_numpy(table.features)) @ vectors.T).argmax(1).numpy()
    nothing = len(table.names)
    wanted = np.where(np.isin(table.concepts, NOTHING), nothing, table.concepts)
    sources = table.sources[table.images]
    return {
        str(name): float((found == wanted)[sources == name].mean())
        for name in np.unique(sources)
    }


def concept_means(targets: WordTargets) -> Tensor:
    """Mean vector of each concept's phrases, the background's last."""
    count = int(targets.owners.max()) + 1
    return torch.stack(
        [targets.vectors[targets.owners == index].mean(0) for index in range(count)]
    )
