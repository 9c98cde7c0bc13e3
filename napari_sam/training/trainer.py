"""Fit a promptable model: rounds of prompts, averaged weights, exact resume."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from napari_sam.errors import DataError
from napari_sam.training.averaging import (
    freeze,
    frozen_keys,
    moving_average,
    parameter_groups,
    training_mode,
)
from napari_sam.training.batches import Batch, BatchStream
from napari_sam.training.datasets import Source
from napari_sam.training.learner import Learner
from napari_sam.training.recipe import Recipe
from napari_sam.training.rounds import rounds_loss
from napari_sam.training.sam_learner import SamLearner
from napari_sam.training.state import (
    AVERAGED,
    check_identity,
    foreign,
    load_fitted,
    read_state,
    write_state,
)
from napari_sam.training.validation import Validation


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
    validation : float or None
        Latest one-click IoU of the validation windows, if there are any.
    """

    step: int
    hours: float
    loss: float
    first_iou: float
    last_iou: float
    validation: float | None = None


class Trainer:
    """Fits a model to a source of labelled images.

    Parameters
    ----------
    model : Learner
    source : Source
    recipe : Recipe
    state_file : path, optional
        Where to keep what a resumed run needs; nothing is kept without it.
    validation : Validation, optional
        Chooses the best weights and ends the run once they no longer get better.
    identity : dict, optional
        What a resumed run must have in common with the saved one.

    Raises
    ------
    DataError
        The recipe's windows are not such as the model takes.

    Attributes
    ----------
    step : int
        Steps done.
    history : list of (int, float)
        Step and one-click IoU of the averaged weights at each validation.
    """

    def __init__(
        self,
        model: Learner,
        source: Source,
        recipe: Recipe,
        state_file: Path | None = None,
        validation: Validation | None = None,
        identity: dict[str, Any] | None = None,
    ) -> None:
        _check_windows(model, recipe)
        self.model = model
        self.source = source
        self.recipe = recipe
        self.state_file = state_file
        self.validation = validation
        self.identity = identity
        freeze(model, recipe)
        self._frozen = frozen_keys(model, recipe)
        self.average = AveragedModel(
            model, multi_avg_fn=moving_average(recipe.ema), use_buffers=True
        )
        self.optimizer = torch.optim.AdamW(
            parameter_groups(model, recipe.weight_decay),
            lr=recipe.learning_rate,
            betas=recipe.betas,
        )
        self.step = 0
        self.seconds = 0.0
        self.history: list[tuple[int, float]] = []
        self._best: dict[str, Tensor] | None = None
        self._means: dict[str, float] = {}

    @property
    def best_step(self) -> int:
        """The step of the best validation, or the last step without validation."""
        if not self.history:
            return self.step
        return max(self.history, key=lambda entry: entry[1])[0]

    @property
    def exhausted(self) -> bool:
        """Whether the latest validations brought nothing new."""
        later = [step for step, _ in self.history if step > self.best_step]
        return len(later) >= self.recipe.patience

    def run(
        self,
        hours: float = math.inf,
        report: Callable[[Progress], None] | None = None,
        report_every: int = 20,
        save_every: float = 120.0,
    ) -> None:
        """Train until steps or hours are used up, or validation finds no progress.

        Parameters
        ----------
        hours : float
            Budget of the whole run, resumed parts included. The learning rate falls
            with whichever of steps and hours ends first.
        report : callable, optional
            Called with a `Progress` every ``report_every`` steps.
        report_every : int
        save_every : float
            Seconds between saved states.
        """
        training_mode(self.model, self.recipe)
        started, saved = time.monotonic() - self.seconds, time.monotonic()
        if not self.history:
            # The weights a run begins with may be the best of all.
            self._validate_once()
        for batch in BatchStream(self.source, self.recipe, self.step).loader():
            progress = max(self.step / self.recipe.steps, self.seconds / 3600 / hours)
            if progress >= 1 or self.exhausted:
                break
            self._learn(batch, progress)
            self.step += 1
            if self.step % self.recipe.validate_every == 0:
                self._validate_once()
            self.seconds = time.monotonic() - started
            if report and self.step % report_every == 0:
                report(self.progress())
            if time.monotonic() - saved > save_every:
                self.save_state()
                saved = time.monotonic()
        self._validate_once()
        self.save_state()

    def averaged_state(self) -> dict[str, Tensor]:
        """The averaged weights, under the model's own keys."""
        return self.average.module.state_dict()

    def best_state(self) -> dict[str, Tensor]:
        """The averaged weights that validated best; the last without validation."""
        return {**self.averaged_state(), **(self._best or {})}

    def progress(self) -> Progress:
        """Where the run stands."""
        loss, first, last = (
            self._means.get(key, 0.0) for key in ("loss", "first_iou", "last_iou")
        )
        latest = self.history[-1][1] if self.history else None
        return Progress(self.step, self.seconds / 3600, loss, first, last, latest)

    def save_state(self) -> None:
        """Write all that `resume` needs, in one atomic step."""
        if self.state_file is None:
            return
        state = {
            "model": self._fitted(self.model.state_dict()),
            "average": self._fitted(self.average.state_dict()),
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "seconds": self.seconds,
            "means": self._means,
            "history": self.history,
            "best": self._best,
            "identity": self.identity,
        }
        write_state(self.state_file, state)

    def resume(self) -> None:
        """Go on from the saved state.

        Raises
        ------
        CheckpointError
            Where there is none, or it belongs to another model or run.
        """
        path = self.state_file or Path("(no state file)")
        state = read_state(path)
        if self.identity is not None:
            check_identity(path, state.get("identity"), self.identity)
        try:
            load_fitted(self.model, state["model"], self._frozen)
            load_fitted(self.average, state["average"], self._frozen)
            self.optimizer.load_state_dict(state["optimizer"])
            self.step, self.seconds = state["step"], state["seconds"]
            self._means = state["means"]
        except (RuntimeError, KeyError, ValueError) as error:
            raise foreign(path) from error
        self.history, self._best = state.get("history", []), state.get("best")

    def _fitted(self, state: dict[str, Tensor]) -> dict[str, Tensor]:
        """Leave out what is frozen: the start has it, and it may be gigabytes."""
        return {
            key: value
            for key, value in state.items()
            if key.removeprefix(AVERAGED) not in self._frozen
        }

    def _learn(self, batch: Batch, progress: float) -> None:
        for group in self.optimizer.param_groups:
            group["lr"] = self._learning_rate(progress)
        result = rounds_loss(self.model, batch, self.recipe, self.step)
        self.optimizer.zero_grad(set_to_none=True)
        result.loss.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.model.parameters(), self.recipe.clip)
        self.optimizer.step()
        self.average.update_parameters(self.model)
        self._note("loss", float(result.loss.detach()))
        self._note_ious(result.ious)

    def _learning_rate(self, progress: float) -> float:
        warm = min(1.0, (self.step + 1) / self.recipe.warmup)
        cosine = 0.5 * (1 + math.cos(math.pi * min(progress, 1.0)))
        return self.recipe.learning_rate * warm * (0.01 + 0.99 * cosine)

    def _validate_once(self) -> None:
        """Validate, unless there is nothing to validate on or it is done already."""
        if self.validation is None or (
            self.history and self.history[-1][0] == self.step
        ):
            return
        best = max((iou for _, iou in self.history), default=-1.0)
        iou = self.validation.one_click_iou(cast("Learner", self.average.module))
        self.history.append((self.step, iou))
        if iou > best:
            state = self._fitted(self.averaged_state())
            self._best = {key: value.clone() for key, value in state.items()}

    def _note_ious(self, ious: list[Tensor]) -> None:
        for number, iou in enumerate(ious):
            if len(iou) == 0:
                continue
            if number == 0:
                self._note("first_iou", float(iou.mean()))
            if number == len(ious) - 1 > 0:
                self._note("last_iou", float(iou.mean()))

    def _note(self, name: str, value: float) -> None:
        old = self._means.get(name, value)
        self._means[name] = 0.98 * old + 0.02 * value


def _check_windows(model: Learner, recipe: Recipe) -> None:
    if recipe.augment.window != model.window:
        raise DataError(
            f"The recipe cuts windows of {recipe.augment.window} pixels, but the"
            f" model takes {model.window}: set window in augment to that."
        )
    if recipe.frame != "cut" and not isinstance(model, SamLearner):
        raise DataError(
            f'The recipe frames images as a SAM does (frame is "{recipe.frame}"), but'
            ' this model is none: set frame to "cut".'
        )
