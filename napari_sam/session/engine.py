"""Asks the model without letting anyone wait: coalesced, numbered, cancellable."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from itertools import count
from typing import TYPE_CHECKING, Any

from napari_sam.errors import NapariSamError
from napari_sam.session.events import SessionEvents
from napari_sam.session.reading_ahead import ReadingAhead
from napari_sam.session.runner import Cancelled, CancelToken, Outcome, Runner
from napari_sam.session.view import ImageView
from napari_sam.session.worker import ModelChoice, Worker
from napari_sam.structures import MaskPrediction, PromptSet

if TYPE_CHECKING:
    from napari_sam.inference.predictor import SamPredictor

# Takes masks, and whether no better ones follow; None if there are none.
Answer = Callable[[MaskPrediction | None, bool], None]


@dataclass(frozen=True, eq=False)
class MaskRequest:
    """One question to the model, frozen when it was asked.

    Attributes
    ----------
    generation : int
        Only the answer to the latest one is used.
    view : ImageView
    prompts : PromptSet
        In pixels of the plane.
    multimask_output : bool
    answer : callable
        Takes each prediction, and whether it is the last.
    quick : bool
        Whether a single prediction will do, and rather a coarse one than a late one.
    """

    generation: int
    view: ImageView
    prompts: PromptSet
    multimask_output: bool
    answer: Answer
    quick: bool = False


@dataclass(frozen=True, eq=False)
class Steps:
    """How a long job tells how far it is, and learns that it should stop.

    Attributes
    ----------
    token : CancelToken
    report : callable
        Takes the steps done and the steps in all; leaves the job if it was cancelled.
    tell : callable
        The same, for a job that looks at the token itself.
    post : callable
        Makes a call on the thread that owns the session.
    """

    token: CancelToken
    report: Callable[[int, int | None], None]
    tell: Callable[[int, int | None], None]
    post: Callable[[Callable[[], None]], None]


class Engine:
    """Runs the model's work on a runner and hands the answers back.

    Parameters
    ----------
    runner : Runner
    events : SessionEvents
    reads_ahead : bool
        Whether pauses are used to prepare the parts of the image that were not looked
        at yet, for models that encode an image part by part.

    Attributes
    ----------
    worker : Worker
    ahead : ReadingAhead
    """

    def __init__(
        self, runner: Runner, events: SessionEvents, *, reads_ahead: bool = False
    ) -> None:
        self.worker = Worker(say=lambda text: self._post_status(text))
        self._runner = runner
        self._events = events
        self._generations = count(1)
        self._latest = 0
        self._wanted: MaskRequest | None = None
        self._decoding = False
        self._tokens: dict[int, CancelToken] = {}
        self._jobs = count(1)
        self._running: dict[int, str] = {}
        self._encoding: int | None = None
        self._loading = 0
        self._reads_ahead = reads_ahead
        self.ahead = ReadingAhead(runner, self.worker, lambda: not self._running)

    @property
    def is_busy(self) -> bool:
        """Whether a job is running or waiting."""
        return bool(self._running)

    @property
    def is_loading(self) -> bool:
        """Whether a model is being loaded."""
        return self._loading > 0

    def load(
        self,
        choice: ModelChoice,
        done: Callable[[], None],
        ended: Callable[[], None],
    ) -> None:
        """Load a model; ``done`` is called when it is there, ``ended`` in any case.

        Of several that are asked for at once, only the last one is.
        """

        def over() -> None:
            self._loading -= 1
            ended()

        self._loading += 1
        self.run(
            f"Loading {choice.name}",
            lambda steps: self.worker.load(choice, steps.report),
            lambda _: done() if self._loading == 1 else None,
            over,
        )

    def use(self, predictor: SamPredictor) -> None:
        """Take a predictor that exists."""
        self.worker.use(predictor)

    def encode(self, view: ImageView) -> None:
        """Embed a view before anyone asks for its masks."""
        if self._encoding is not None:
            self._cancel_job(self._encoding)
        self.ahead.begin(None)

        def embedded(_: object) -> None:
            if self._reads_ahead:
                self.ahead.begin(view)

        self._encoding = self.run(
            "Reading the image", lambda _: self.worker.embed(view), embedded
        )

    def ask(
        self,
        view: ImageView,
        prompts: PromptSet,
        multimask: bool,
        answer: Answer,
        *,
        quick: bool = False,
    ) -> None:
        """Ask for masks; the answer to an earlier question will be dropped."""
        self._latest = number = next(self._generations)
        self._wanted = MaskRequest(number, view, prompts, multimask, answer, quick)
        self._start_wanted()

    def forget(self) -> None:
        """Drop the question in hand and the one that waits."""
        self._latest = next(self._generations)
        self._wanted = None

    def run(
        self,
        title: str,
        work: Callable[[Steps], Any],
        done: Callable[[Any], None],
        ended: Callable[[], None] | None = None,
    ) -> int:
        """Run a job that a person may watch and cancel.

        Parameters
        ----------
        title : str
            What is going on, without a full stop.
        work : callable
            Takes `Steps`; called off the main thread.
        done : callable
            Takes what ``work`` returned, unless it failed or was cancelled.
        ended : callable, optional
            Called in any case, after ``done``.

        Returns
        -------
        int
            Number of the job.
        """
        number = next(self._jobs)
        self._running[number] = title
        self.ahead.give_way()
        self._tell()

        def job(token: CancelToken) -> Any:
            return work(self._steps(token))

        def finish(outcome: Outcome) -> None:
            self._tokens.pop(number, None)
            self._running.pop(number, None)
            self._finish(outcome, done)
            if ended is not None:
                ended()
            self._tell()

        token = self._runner.submit(job, finish)
        if number in self._running:
            self._tokens[number] = token
        return number

    def cancel(self) -> None:
        """Cancel everything that runs or waits."""
        self.forget()
        self.ahead.begin(None)
        for token in list(self._tokens.values()):
            token.cancel()

    def close(self) -> None:
        """Cancel everything and wait for it to end."""
        self.cancel()
        self._runner.close()

    def _start_wanted(self) -> None:
        if self._decoding or self._wanted is None:
            return
        request, self._wanted = self._wanted, None
        self._decoding = True
        answers: list[MaskPrediction] = []

        def decoded() -> None:
            self._decoding = False
            if request.generation == self._latest:
                request.answer(answers[-1] if answers else None, True)
            self._start_wanted()

        self.run(
            "Segmenting",
            lambda steps: self._predict(request, steps),
            answers.extend,
            decoded,
        )

    def _predict(self, request: MaskRequest, steps: Steps) -> list[MaskPrediction]:
        """Predict, showing what there is while it is still being improved."""

        def show(prediction: MaskPrediction) -> None:
            if request.generation == self._latest:
                request.answer(prediction, False)

        found: list[MaskPrediction] = []
        asked = (request.view, request.prompts, request.multimask_output, request.quick)
        # Read off the main thread, where a stale number only costs a decode.
        if request.generation == self._latest:
            for prediction in self.worker.predict_steps(*asked):
                found = [prediction]
                steps.post(partial(show, prediction))
                if request.generation != self._latest:
                    break
        return found

    def _cancel_job(self, number: int) -> None:
        token = self._tokens.get(number)
        if token is not None:
            token.cancel()

    def _steps(self, token: CancelToken) -> Steps:
        def tell(done: int, total: int | None) -> None:
            self._runner.post(lambda: self._events.progress.emit(done, total or 0))

        def report(done: int, total: int | None) -> None:
            token.check()
            tell(done, total)

        return Steps(token, report, tell, self._runner.post)

    def _finish(self, outcome: Outcome, done: Callable[[Any], None]) -> None:
        if outcome.error is None:
            done(outcome.value)
        elif not isinstance(outcome.error, Cancelled):
            self._events.failed.emit(outcome.error)

    def _tell(self) -> None:
        titles = list(self._running.values())
        self._events.busy.emit(bool(titles))
        if titles:
            self._events.status.emit(f"{titles[0]} ...")
        else:
            self.ahead.pause_begins()

    def _post_status(self, text: str) -> None:
        self._runner.post(lambda: self._events.status.emit(text))


def sentence(error: Exception) -> str:
    """Return what to tell a person about an error."""
    if isinstance(error, NapariSamError):
        return str(error)
    return f"Something went wrong ({type(error).__name__}): {error}"
