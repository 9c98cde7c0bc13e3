"""The work of ``napari-sam train``."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import typer

from napari_sam import __version__
from napari_sam.cli.progress import progress_bar
from napari_sam.errors import CheckpointError, ExportError
from napari_sam.nn.registry import model_config
from napari_sam.training.reading import MEMORY, Reading
from napari_sam.training.recipe import RECIPES, Recipe
from napari_sam.training.sets import TrainingData, open_data
from napari_sam.training.trainer import Progress, Trainer
from napari_sam.training.validation import Validation
from napari_sam.training.weights import start_learner, write_weights

# Seconds between saved states.
SAVE_EVERY = 30.0
INTERRUPTED = 130
POCKET = "pocket"


@dataclass(frozen=True)
class TrainJob:
    """What a user asked for; see ``napari-sam train --help``."""

    datasets: tuple[Path, ...]
    out: Path
    model: str = "pocket"
    init: Path | None = None
    from_scratch: bool = False
    recipe: str | None = None
    parts: str | None = None
    steps: int | None = None
    hours: float | None = None
    resume: bool = False
    validation: float | None = None
    seed: int | None = None
    axes: tuple[int, ...] = (0,)
    memory: float = MEMORY

    @property
    def state_file(self) -> Path:
        """Where an interrupted run is kept."""
        return self.out.with_suffix(".state.pt")

    def make_recipe(self) -> Recipe:
        """Return the recipe that is asked for, with the options put in.

        Raises
        ------
        DataError
            There is no such recipe, or a setting of it cannot be used.
        """
        recipe = self._base_recipe()
        options = {
            "parts": self.parts,
            "steps": self.steps,
            "validation": self.validation,
            "seed": self.seed,
            "from_scratch": True if self.from_scratch else None,
        }
        if self.init is not None:
            options["from_scratch"] = False
        given = {key: value for key, value in options.items() if value is not None}
        return replace(recipe, **given)  # type: ignore[arg-type]

    def _base_recipe(self) -> Recipe:
        if self.recipe is None and model_config(self.model).architecture != POCKET:
            fits_encoder = self.parts in ("lora", "all")
            return Recipe.named("sam_encoder" if fits_encoder else "sam_decoder")
        if self.recipe is None:
            return Recipe() if self.from_scratch else Recipe.named("finetune")
        if self.recipe in RECIPES:
            return Recipe.named(self.recipe)
        return Recipe.load(Path(self.recipe))

    def start_words(self, recipe: Recipe) -> str:
        """Return what the run starts from."""
        if self.init is not None:
            return str(self.init)
        return (
            "random weights" if recipe.from_scratch else f"the weights of {self.model}"
        )


def run_training(job: TrainJob) -> list[str]:
    """Fit a model and write its weights.

    Parameters
    ----------
    job : TrainJob

    Returns
    -------
    list of str
        What to tell the user at the end.

    Raises
    ------
    DataError
        The data or the recipe cannot be used.
    ModelError
        The model is unknown or cannot be trained.
    CheckpointError
        Weights or the state to resume from are missing or do not fit.
    ExportError
        The weights or the state cannot be written.
    """
    config = model_config(job.model)
    _check_out(job)
    recipe = job.make_recipe()
    reading = Reading(config.normalisation, job.axes, job.memory)
    data = open_data(job.datasets, recipe, reading)
    validation = Validation(data.held_back, recipe) if data.held_back else None
    _tell_data(data, recipe)
    trainer = Trainer(
        start_learner(job.model, job.init, recipe),
        data.source,
        recipe,
        job.state_file,
        validation,
        _identity(job, recipe, data),
    )
    if job.resume:
        trainer.resume()
        typer.echo(f"Going on after step {trainer.step}.", err=True)
    else:
        typer.echo(f"Starting from {job.start_words(recipe)}.", err=True)
    _run(trainer, job)
    write_weights(job.out, trainer.best_state(), _metadata(job, trainer, data))
    job.state_file.unlink(missing_ok=True)
    return _summary(job, trainer)


def _check_out(job: TrainJob) -> None:
    if job.resume:
        if job.out.exists() and not job.state_file.exists():
            raise CheckpointError(
                f"The run of {job.out} has ended, so there is nothing to resume; to"
                f" train it further, give --init {job.out} and another --out."
            )
        return
    if job.out.exists():
        raise ExportError(f"{job.out} exists; give another --out, or delete it first.")
    if job.state_file.exists():
        raise ExportError(
            f"{job.state_file} holds an interrupted run; add --resume to go on with"
            " it, or delete it to start anew."
        )
    try:
        job.out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise ExportError(f"{job.out.parent} cannot be made: {error}.") from error


def _identity(job: TrainJob, recipe: Recipe, data: TrainingData) -> dict[str, Any]:
    start = job.start_words(recipe)
    return {
        **asdict(recipe),
        "model": job.model,
        "start": start,
        "axes": job.axes,
        "data": data.counts,
    }


def _tell_data(data: TrainingData, recipe: Recipe) -> None:
    sets = ", ".join(f"{name} ({count})" for name, count in data.counts.items())
    lines = [
        f"Labelled images: {sets}; held back for validation: {len(data.held_back)}."
    ]
    if data.unlabelled:
        lines.append(f"{data.unlabelled} images without labels are left out.")
    if data.missing:
        lines.append(
            f"Warning: the recipe also names {', '.join(data.missing)}, which are not"
            " there; the result will differ."
        )
    if recipe.validation > 0 and not data.held_back:
        lines.append(
            "There is one labelled image only: training does all"
            f" {recipe.steps} steps on it, without validation. With a second image the"
            " best weights could be chosen."
        )
    for line in lines:
        typer.echo(line, err=True)


def _run(trainer: Trainer, job: TrainJob) -> None:
    hours = math.inf if job.hours is None else max(job.hours, 1e-9)
    with _interruptible(job), progress_bar("Training") as advance:
        told = len(trainer.history)

        def show(progress: Progress) -> None:
            nonlocal told
            advance(progress.step, trainer.recipe.steps)
            if len(trainer.history) > told or progress.step % 100 == 0:
                told = len(trainer.history)
                typer.echo(_progress_line(progress, trainer.recipe.steps), err=True)

        trainer.run(hours, show, report_every=1, save_every=SAVE_EVERY)


@contextmanager
def _interruptible(job: TrainJob) -> Iterator[None]:
    try:
        yield
    except KeyboardInterrupt:
        words = "Interrupted: nothing is kept, as no state was saved yet."
        if job.state_file.exists():
            words = f"Interrupted: --resume goes on from {job.state_file}."
        typer.echo(words, err=True)
        raise typer.Exit(INTERRUPTED) from None
    except OSError as error:
        raise ExportError(f"{job.state_file} cannot be written: {error}.") from error


def _progress_line(progress: Progress, steps: int) -> str:
    line = (
        f"step {progress.step} of {steps}, {60 * progress.hours:.1f} min: loss"
        f" {progress.loss:.3f}"
    )
    if progress.validation is not None:
        line += f", one-click IoU of validation {progress.validation:.3f}"
    return line


def _metadata(job: TrainJob, trainer: Trainer, data: TrainingData) -> dict[str, str]:
    return {
        "model": job.model,
        "steps": str(trainer.best_step),
        "recipe": json.dumps(asdict(trainer.recipe)),
        "start": job.start_words(trainer.recipe),
        "data": json.dumps(data.counts),
        "validation": json.dumps(trainer.history),
        "version": __version__,
    }


def _summary(job: TrainJob, trainer: Trainer) -> list[str]:
    plural = "" if trainer.step == 1 else "s"
    lines = [f"{job.out}: {trainer.step} step{plural}"]
    if trainer.history:
        first, best = trainer.history[0][1], max(iou for _, iou in trainer.history)
        lines[0] += (
            f", best after {trainer.best_step}; one-click IoU of validation"
            f" {first:.3f} before, {best:.3f} then"
        )
        if trainer.best_step == 0:
            lines.append(
                "Training made nothing better: these are the weights it started from."
            )
    like = "" if job.model == POCKET else f" --like {job.model}"
    lines.append(f"To use it: napari-sam models import {job.out} --name NAME{like}")
    return lines
