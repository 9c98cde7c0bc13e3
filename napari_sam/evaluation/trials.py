"""One simulated annotator's work on several objects at once."""

from __future__ import annotations

import time
import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_sam.evaluation.annotator import SimulatedAnnotator
from napari_sam.evaluation.labelled import LabelledImage, Target
from napari_sam.structures import MaskPrediction, PointPrompt, PromptSet


class Predictor(Protocol):
    """What the benchmark needs of `SamPredictor`; a baseline has it too."""

    def set_image(self, image: NDArray[Any], *, channel_axis: int | None) -> None:
        """Take the image that the next prompts are about."""

    def predict_batch(
        self, prompts: Sequence[PromptSet], multimask_output: bool = True
    ) -> list[MaskPrediction]:
        """Return the candidate masks of each object."""


@dataclass(frozen=True)
class Step:
    """What one prompt led to.

    Attributes
    ----------
    iou : float
        With the labelled object.
    predicted_iou : float
        What the model thought.
    """

    iou: float
    predicted_iou: float


@dataclass
class Stopwatch:
    """Seconds spent on predictions, and for how many prompts."""

    seconds: float = 0.0
    prompts: int = 0


@dataclass
class Trial:
    """One object being annotated.

    Attributes
    ----------
    target : Target
    truth : ndarray of bool, shape (H, W)
    annotator : SimulatedAnnotator
        Of this object alone, so that its clicks don't depend on other objects.
    prompts : PromptSet
        Everything given so far.
    steps : list of Step
        One for each prediction.
    mask : ndarray of bool, shape (H, W)
        The latest prediction.
    oracle : float
        Best IoU among the candidates of the first prediction.
    """

    target: Target
    truth: NDArray[np.bool_]
    annotator: SimulatedAnnotator
    prompts: PromptSet = field(default_factory=PromptSet)
    steps: list[Step] = field(default_factory=list)
    mask: NDArray[np.bool_] = field(init=False)
    oracle: float = 0.0

    def __post_init__(self) -> None:
        self.mask = np.zeros_like(self.truth)

    def take(self, prediction: MaskPrediction) -> None:
        """Keep the candidate of highest predicted IoU."""
        best = prediction.best
        self.mask = prediction.masks[best]
        predicted = float(prediction.predicted_iou[best])
        if not self.steps:
            self.oracle = max(self.target.iou(mask) for mask in prediction.masks)
        self.steps.append(Step(self.target.iou(self.mask), predicted))
        self.prompts = replace(self.prompts, mask=prediction.mask_prompt(best))

    def click(self) -> bool:
        """Add a click on the largest error; False if there is none."""
        points = self.prompts.points
        click = self.annotator.next_click(self.truth, self.mask, points)
        if click is None:
            return False
        self.prompts = replace(self.prompts, points=(*points, click))
        return True


def start_trials(
    image: LabelledImage, targets: Iterable[Target], seed: int
) -> list[Trial]:
    """Prepare trials without prompts.

    Each object has random numbers of its own, from the seed, the image's name and the
    object's id: the same noise whatever else is evaluated.
    """
    name = zlib.crc32(image.name.encode())
    return [
        Trial(
            target,
            target.full(image.shape),
            SimulatedAnnotator((seed, name, target.identifier)),
        )
        for target in targets
    ]


def run_points(
    predictor: Predictor, trials: Sequence[Trial], clicks: int, watch: Stopwatch
) -> None:
    """Click each object ``clicks`` times.

    The first click is answered with three candidates, the later ones, which come with
    the previous low-resolution mask, with one.
    """
    for trial in trials:
        first = trial.annotator.first_click(trial.truth)
        trial.prompts = PromptSet(points=(first,))
    predict(predictor, trials, True, watch)
    refine(predictor, trials, clicks - 1, watch)


def run_box(
    predictor: Predictor, trials: Sequence[Trial], noisy: bool, watch: Stopwatch
) -> None:
    """Draw one box for each object; a box is answered with one mask."""
    for trial in trials:
        box = trial.annotator.box(trial.truth, noisy=noisy)
        trial.prompts = PromptSet(box=box)
    predict(predictor, trials, False, watch)


def refine(
    predictor: Predictor, trials: Sequence[Trial], clicks: int, watch: Stopwatch
) -> None:
    """Add clicks on the largest errors; a perfect mask stays as it is.

    Beyond the eighth answer only objects below `ENOUGH` go on: nothing but the
    number of clicks they need is reported of them there.
    """
    for _ in range(clicks):
        active = [trial for trial in trials if _unfinished(trial) and trial.click()]
        waiting = {id(trial) for trial in active}
        predict(predictor, active, False, watch)
        for trial in trials:
            if id(trial) not in waiting and len(trial.steps) < LAST_REPORTED:
                trial.steps.append(trial.steps[-1])


LAST_REPORTED = 8
ENOUGH = 0.9


def _unfinished(trial: Trial) -> bool:
    return len(trial.steps) < LAST_REPORTED or trial.steps[-1].iou < ENOUGH


def predict(
    predictor: Predictor,
    trials: Sequence[Trial],
    multimask_output: bool,
    watch: Stopwatch,
) -> None:
    """Answer the prompts of all trials in one call and time it."""
    if not trials:
        return
    started = time.perf_counter()
    predictions = predictor.predict_batch(
        [trial.prompts for trial in trials], multimask_output
    )
    watch.seconds += time.perf_counter() - started
    watch.prompts += len(trials)
    for trial, prediction in zip(trials, predictions, strict=True):
        trial.take(prediction)


def time_single_clicks(
    predictor: Predictor, trials: Sequence[Trial], count: int = 3
) -> list[float]:
    """Seconds that one click on one object takes, as a person would wait for it."""
    seconds = []
    for trial in trials[:count]:
        click: PointPrompt = trial.annotator.first_click(trial.truth)
        started = time.perf_counter()
        predictor.predict_batch([PromptSet(points=(click,))])
        seconds.append(time.perf_counter() - started)
    return seconds
