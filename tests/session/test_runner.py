"""A thread answers late, in any order of events, and leaves nothing behind."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from napari_sam.session import InlineRunner, Session, ThreadRunner
from napari_sam.session.runner import Cancelled, CancelToken, Outcome
from napari_sam.session.view import ImageView, array_view
from napari_sam.session.worker import ModelChoice
from napari_sam.structures import MaskPrediction, PromptSet

from .fakes import SHAPE, DiscPredictor


class Desk:
    """Stands for the main thread: collects calls and makes them when asked."""

    def __init__(self) -> None:
        self._calls: queue.Queue[Callable[[], None]] = queue.Queue()

    def deliver(self, call: Callable[[], None]) -> None:
        self._calls.put(call)

    def work_until(self, finished: Callable[[], bool]) -> None:
        while not finished():
            self._calls.get(timeout=10)()


class SlowPredictor(DiscPredictor):
    """Predicts only when the gate is open."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Event()
        self.entered = threading.Event()

    def predict(self, prompts: PromptSet, **settings: Any) -> MaskPrediction:
        self.entered.set()
        assert self.gate.wait(10)
        return super().predict(prompts, **settings)


@pytest.fixture
def desk() -> Desk:
    return Desk()


@pytest.fixture
def slow() -> SlowPredictor:
    return SlowPredictor()


@pytest.fixture
def session(desk: Desk, slow: SlowPredictor) -> Iterator[Session]:
    session = Session(slow, ThreadRunner(desk.deliver))
    session.set_image(np.zeros(SHAPE, np.uint8))
    yield session
    slow.gate.set()
    session.close()


def test_inline_runner_tells_at_once() -> None:
    told: list[Outcome] = []
    InlineRunner().submit(lambda _: 3, told.append)
    assert told[0].value == 3
    InlineRunner().submit(lambda _: 1 / 0, told.append)
    assert isinstance(told[1].error, ZeroDivisionError)


def test_token() -> None:
    token = CancelToken()
    token.check()
    token.cancel()
    with pytest.raises(Cancelled):
        token.check()


def test_five_quick_clicks_cost_two_decodes(
    session: Session, slow: SlowPredictor, desk: Desk
) -> None:
    shown: list[Any] = []
    session.events.mask.connect(shown.append)
    session.add_point((10, 10))
    assert slow.entered.wait(10)
    for col in (20, 30, 40, 50):
        session.add_point((10, col))
    slow.gate.set()
    desk.work_until(lambda: bool(shown))
    assert [len(each.points) for each in slow.asked] == [1, 5]
    assert len(shown) == 1, "the late answer is dropped"
    assert shown[0].mask[10, 50]


def test_commit_before_the_answer_takes_the_answer(
    session: Session, slow: SlowPredictor, desk: Desk
) -> None:
    session.add_point((10, 10))
    session.commit_when_ready()
    assert len(session.document.objects) == 0
    slow.gate.set()
    desk.work_until(lambda: len(session.document.objects) == 1)
    assert session.document.store.data[10, 10] == 1


def test_another_image_drops_the_answer(
    session: Session, slow: SlowPredictor, desk: Desk
) -> None:
    shown: list[Any] = []
    session.events.mask.connect(shown.append)
    session.add_point((10, 10))
    assert slow.entered.wait(10)
    session.set_view(array_view(np.zeros((30, 30), np.uint8), key="other"))
    slow.gate.set()
    desk.work_until(lambda: not session.is_busy)
    assert shown == []


def test_cancel_stops_a_long_job(session: Session, desk: Desk) -> None:
    steps_done: list[int] = []
    failures: list[Exception] = []
    session.events.failed.connect(failures.append)
    started = threading.Event()

    def work(steps: Any) -> None:
        for number in range(10_000):
            started.set()
            steps.report(number, 10_000)
            steps_done.append(number)
            steps.token._event.wait(0.01)

    session.engine.run("Everything", work, lambda _: pytest.fail("was cancelled"))
    assert started.wait(10)
    session.cancel()
    desk.work_until(lambda: not session.is_busy)
    assert len(steps_done) < 10_000
    assert failures == [], "a wish is no failure"


def test_progress_comes_on_the_owners_thread(session: Session, desk: Desk) -> None:
    told: list[tuple[int, int, threading.Thread]] = []
    session.events.progress.connect(
        lambda done, total: told.append((done, total, threading.current_thread()))
    )
    session.engine.run("Work", lambda s: s.report(1, None), lambda _: None)
    desk.work_until(lambda: not session.is_busy)
    assert told == [(1, 0, threading.main_thread())]


def test_close_leaves_no_thread_and_tells_no_more(
    session: Session, slow: SlowPredictor, desk: Desk
) -> None:
    before = threading.active_count()
    session.add_point((10, 10))
    assert slow.entered.wait(10)
    threading.Timer(0.05, slow.gate.set).start()
    session.close()
    shown: list[Any] = []
    session.events.mask.connect(shown.append)
    while not desk._calls.empty():
        desk._calls.get()()
    assert shown == []
    assert threading.active_count() <= before
    assert "napari-sam" not in {each.name for each in threading.enumerate()}


def test_two_sessions_are_independent(desk: Desk) -> None:
    one, other = Session(DiscPredictor()), Session(DiscPredictor())
    for session in (one, other):
        session.set_image(np.zeros(SHAPE, np.uint8))
    one.add_point((10, 10))
    one.commit()
    assert len(other.document.objects) == 0
    assert other.draft.is_empty


def test_a_moving_pointer_is_followed(
    session: Session, slow: SlowPredictor, desk: Desk
) -> None:
    desk.work_until(lambda: not session.is_busy)
    shown: list[Any] = []
    session.events.mask.connect(shown.append)
    for col in (10, 20, 30, 40):
        session.hover((20, col))
    slow.gate.set()
    desk.work_until(lambda: len(shown) == 2)
    assert [each.points[0].position[1] for each in slow.asked] == [10, 40]
    session.add_point((30, 30))
    session.hover((20, 50))
    desk.work_until(lambda: len(shown) == 3)
    assert not shown[-1].hovering


def test_pauses_are_used_to_read_ahead(desk: Desk) -> None:
    session = Session(DiscPredictor(), ThreadRunner(desk.deliver), reads_ahead=True)
    engine, looked = session.engine, list[Any]()

    def read_ahead(view: ImageView, check: Callable[[], None]) -> bool:
        looked.append(view)
        return len(looked) < 3

    engine.worker.read_ahead = read_ahead  # type: ignore[method-assign]
    engine.ahead.hold()
    session.set_image(np.zeros(SHAPE, np.uint8))
    desk.work_until(lambda: not session.is_busy)
    assert looked == []
    assert engine.ahead.is_going_on
    engine.ahead.go_on()
    desk.work_until(lambda: len(looked) == 2)
    session.add_point((10, 10))
    desk.work_until(lambda: session.candidates is not None)
    desk.work_until(lambda: not engine.ahead.is_going_on)
    assert looked == [session.view] * 3
    session.close()


def test_a_click_does_not_wait_for_what_is_read_ahead(desk: Desk) -> None:
    session = Session(DiscPredictor(), ThreadRunner(desk.deliver), reads_ahead=True)
    engine, begun, left = session.engine, list[Any](), list[Exception]()
    started = threading.Event()

    def read_ahead(view: ImageView, check: Callable[[], None]) -> bool:
        begun.append(view)
        started.set()
        waiting = threading.Event()
        # The first part takes for ever, unless it is left.
        while len(begun) == 1 and not waiting.wait(0.005):
            try:
                check()
            except Cancelled as error:
                left.append(error)
                raise
        return False

    engine.worker.read_ahead = read_ahead  # type: ignore[method-assign]
    session.set_image(np.zeros(SHAPE, np.uint8))
    desk.work_until(lambda: not session.is_busy)
    assert started.wait(10)
    session.add_point((10, 10))
    desk.work_until(lambda: session.candidates is not None)
    assert len(left) == 1
    desk.work_until(lambda: not engine.ahead.is_going_on)
    assert len(begun) == 2, "it is taken up again in the next pause"
    session.close()


class SteppingPredictor(DiscPredictor):
    """Answers at once with small discs, and better when it is let go on."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = threading.Semaphore(0)

    def predict_steps(
        self, prompts: PromptSet, multimask_output: bool = True, *, quick: bool = False
    ) -> Iterator[MaskPrediction]:
        better = self.predict(prompts, multimask_output=multimask_output)
        best = np.argsort(better.predicted_iou)[::-1].copy()
        yield replace(better, predicted_iou=better.predicted_iou[best])
        assert self.gate.acquire(timeout=10)
        yield better


def test_the_first_answer_is_shown_and_the_last_is_committed() -> None:
    predictor, desk = SteppingPredictor(), Desk()
    session = Session(predictor, ThreadRunner(desk.deliver))
    session.set_image(np.zeros(SHAPE, np.uint8))
    session.add_point((20, 30))
    desk.work_until(lambda: session.candidates is not None)
    first = session.candidates
    assert first is not None
    session.commit_when_ready()
    assert len(session.document.objects) == 0, "a better mask may follow"
    predictor.gate.release()
    desk.work_until(lambda: len(session.document.objects) == 1)
    assert session.document.objects[1].predicted_iou == pytest.approx(0.9)
    session.close()


def test_choosing_keeps_the_masks_that_are_there() -> None:
    predictor, desk = SteppingPredictor(), Desk()
    session = Session(predictor, ThreadRunner(desk.deliver))
    session.set_image(np.zeros(SHAPE, np.uint8))
    session.add_point((20, 30))
    desk.work_until(lambda: session.candidates is not None)
    session.choose(2)
    chosen = session.candidates
    predictor.gate.release()
    desk.work_until(lambda: not session.is_busy)
    assert session.candidates is chosen
    session.commit_when_ready()
    assert len(session.document.objects) == 1
    session.close()


def test_of_two_models_asked_for_at_once_the_last_is_used(
    session: Session, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    used: list[str] = []
    worker = session.engine.worker

    def load(choice: ModelChoice, _: object) -> None:
        predictor = DiscPredictor()
        predictor.model.name = choice.name
        worker.use(predictor)

    monkeypatch.setattr(worker, "load", load)
    session.events.model.connect(
        lambda: session.model_is_ready and used.append(worker.model_name)
    )
    session.load_model("one")
    session.load_model("two")
    desk.work_until(lambda: not session.is_busy)
    assert (used, session.model_name) == (["two"], "two")
