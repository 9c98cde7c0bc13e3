"""Fit a promptable model: rounds of prompts, averaged weights, exact resume."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from napari_sam.errors import CheckpointError
from napari_sam.nn.pocket import Pocket
from napari_sam.training.batches import Batch, BatchStream
from napari_sam.training.datasets import Source
from napari_sam.training.losses import dense_loss, mask_iou, mask_loss
from napari_sam.training.prompts import correct
from napari_sam.training.recipe import Recipe

Tensors = tuple[Tensor, ...] | list[Tensor]


@dataclass(frozen=True)
class Progress:
    """What a run reports.

    Attributes
    ----------
    step : int
    hours : float
        Spent so far, resumed parts included.
    loss : float
        Running mean.
    first_iou, last_iou : float
        Running mean IoU of the chosen mask after the first and the last prompt round.
    """

    step: int
    hours: float
    loss: float
    first_iou: float
    last_iou: float


class Trainer:
    """Fits a model to a source of labelled images.

    Parameters
    ----------
    model : Pocket
    source : Source
    recipe : Recipe
    state_file : path, optional
        Where to keep what a resumed run needs; nothing is kept without it.
    """

    def __init__(
        self,
        model: Pocket,
        source: Source,
        recipe: Recipe,
        state_file: Path | None = None,
    ) -> None:
        self.model = model
        self.source = source
        self.recipe = recipe
        self.state_file = state_file
        self.average = AveragedModel(
            model, multi_avg_fn=_moving_average(recipe.ema), use_buffers=True
        )
        self.optimizer = torch.optim.AdamW(
            _parameter_groups(model, recipe.weight_decay),
            lr=recipe.learning_rate,
            betas=recipe.betas,
        )
        self.step = 0
        self.seconds = 0.0
        self._means: dict[str, float] = {}

    def run(
        self,
        hours: float = math.inf,
        report: Callable[[Progress], None] | None = None,
        report_every: int = 20,
        save_every: float = 120.0,
    ) -> None:
        """Train until the recipe's steps or the hours are used up.

        Parameters
        ----------
        hours : float
            Budget of the whole run, resumed parts included.
        report : callable, optional
            Called with a `Progress` every ``report_every`` steps.
        report_every : int
        save_every : float
            Seconds between saved states.
        """
        self.model.train()
        started, saved = time.monotonic() - self.seconds, time.monotonic()
        for batch in BatchStream(self.source, self.recipe, self.step).loader():
            progress = max(self.step / self.recipe.steps, self.seconds / 3600 / hours)
            if progress >= 1:
                break
            self._learn(batch, progress)
            self.step += 1
            self.seconds = time.monotonic() - started
            if report and self.step % report_every == 0:
                report(self._progress())
            if time.monotonic() - saved > save_every:
                self.save_state()
                saved = time.monotonic()
        self.save_state()

    def averaged_state(self) -> dict[str, Tensor]:
        """The averaged weights, under the model's own keys."""
        return self.average.module.state_dict()

    def save_state(self) -> None:
        """Write all that `resume` needs, in one atomic step."""
        if self.state_file is None:
            return
        state = {
            "model": self.model.state_dict(),
            "average": self.average.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "means": self._means,
        }
        self.state_file.parent.mkdir(parents=True, exist_ok=True)
        partial = self.state_file.with_suffix(".partial")
        torch.save(state, partial)
        partial.replace(self.state_file)

    def resume(self) -> None:
        """Go on from the saved state.

        Raises
        ------
        CheckpointError
            Where there is none, or it belongs to another model.
        """
        if self.state_file is None or not self.state_file.exists():
            raise CheckpointError(
                f"There is no saved run at {self.state_file}; start without --resume."
            )
        try:
            state = torch.load(self.state_file, weights_only=True)
            self.model.load_state_dict(state["model"])
            self.average.load_state_dict(state["average"])
            self.optimizer.load_state_dict(state["optimizer"])
        except (RuntimeError, KeyError, ValueError, EOFError) as error:
            raise CheckpointError(
                f"{self.state_file} is not the state of this run; start without"
                " --resume, or give the model and data it was made with."
            ) from error
        self.step, self.seconds = state["step"], state["seconds"]
        self._means = state["means"]

    def _learn(self, batch: Batch, progress: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate(progress)
        loss = self._loss(batch)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip)
        self.optimizer.step()
        self.average.update_parameters(self.model)
        self._note("loss", float(loss.detach()))

    def _learning_rate(self, progress: float) -> float:
        warm = min(1.0, (self.step + 1) / self.recipe.warmup)
        cosine = 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
        return self.recipe.learning_rate * warm * (0.01 + 0.99 * cosine)

    def _loss(self, batch: Batch) -> Tensor:
        recipe = self.recipe
        rng = np.random.default_rng([recipe.seed, self.step, 1])
        chances = np.asarray(recipe.rounds) / np.sum(recipe.rounds)
        rounds = 1 + int(rng.choice(len(chances), p=chances))
        with self._autocast():
            windows = self.model.encode(batch.images)
            features = windows.select(batch.window_index)
        prompts = batch.prompts
        losses = []
        for number in range(rounds):
            with self._autocast():
                logits, predicted_iou = self.model.decode(
                    features,
                    (prompts.coords, prompts.point_labels),
                    prompts.boxes,
                    prompts.logits,
                )
            logits, predicted_iou = logits.float(), predicted_iou.float()
            loss, chosen, iou = self._round_loss(
                logits, predicted_iou, batch, prompts.ambiguous
            )
            losses.append(loss)
            self._note_iou(number, rounds, iou[batch.is_object])
            if number + 1 < rounds:
                prompts = correct(prompts, chosen, batch.truth, rng, recipe.prompts)
        dense = dense_loss(windows.dense.float(), batch.dense, batch.complete)
        return torch.stack(losses).mean() + recipe.dense_weight * dense

    def _round_loss(
        self,
        logits: Tensor,
        predicted_iou: Tensor,
        batch: Batch,
        ambiguous: Tensor,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One round's loss, the mask to correct, and its IoU."""
        truth = batch.truth[:, None].expand_as(logits)
        each = mask_loss(logits, truth)
        single, best_of_three = each[:, 0], each[:, 1:].min(1).values
        # An ambiguous click is answered by three masks, anything else by one; the
        # smaller share keeps the other tokens fit for users who ask for them.
        share = torch.where(ambiguous, 0.3, 1.0)
        masks = share * single + (1.3 - share) * best_of_three
        masks = masks[batch.is_object].sum() / batch.is_object.sum().clamp(min=1)
        true_iou = mask_iou(logits, truth) * batch.is_object[:, None]
        quality = predicted_iou - true_iou
        loss = masks + self.recipe.iou_weight * quality.square().mean()
        pick = torch.where(ambiguous, 1 + predicted_iou[:, 1:].argmax(1), 0)
        rows = torch.arange(len(pick))
        return loss, logits[rows, pick].detach(), true_iou[rows, pick]

    def _autocast(self) -> torch.autocast:
        return torch.autocast("cpu", torch.bfloat16, enabled=self.recipe.bfloat16)

    def _note_iou(self, number: int, rounds: int, iou: Tensor) -> None:
        if len(iou) == 0:
            return
        if number == 0:
            self._note("first_iou", float(iou.mean()))
        if number == rounds - 1 > 0:
            self._note("last_iou", float(iou.mean()))

    def _note(self, name: str, value: float) -> None:
        old = self._means.get(name, value)
        self._means[name] = 0.98 * old + 0.02 * value

    def _progress(self) -> Progress:
        means = [self._means.get(key, 0.0) for key in ("loss", "first_iou", "last_iou")]
        return Progress(self.step, self.seconds / 3600, *means)


def _moving_average(
    decay: float,
) -> Callable[[Tensors, Tensors, Tensor | int], None]:
    """An exponential moving average that forgets the first steps fast."""

    @torch.no_grad()
    def update(averaged: Tensors, current: Tensors, count: Tensor | int) -> None:
        weight = 1 - min(decay, (1 + float(count)) / (10 + float(count)))
        for old, new in zip(averaged, current, strict=True):
            if old.is_floating_point():
                old.lerp_(new, weight)
            else:
                old.copy_(new)

    return update


def _parameter_groups(model: nn.Module, weight_decay: float) -> list[dict[str, object]]:
    """Matrices decay; biases, norms and embeddings of one vector do not."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    return [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": weight_decay},
        {"params": [p for p in parameters if p.ndim <= 1], "weight_decay": 0.0},
    ]
