"""Calls reach the main thread in their order, soon, and not too often."""

from __future__ import annotations

import threading
from typing import Any

import pytest

from napari_sam._napari import delivery
from napari_sam._napari.delivery import MainThreadDelivery, Throttle


def test_calls_are_made_on_the_main_thread_in_order(qtbot: Any) -> None:
    deliver, made = MainThreadDelivery(), list[tuple[int, int]]()

    def call(number: int) -> None:
        made.append((number, threading.get_ident()))

    def work() -> None:
        for number in range(3):
            deliver(lambda number=number: call(number))

    threading.Thread(target=work).start()
    qtbot.waitUntil(lambda: len(made) == 3)
    assert made == [(number, threading.get_ident()) for number in range(3)]


def test_someone_who_waits_gets_the_answer_without_the_event_loop(qtbot: Any) -> None:
    deliver, made = MainThreadDelivery(), list[int]()
    threading.Timer(0.05, lambda: deliver(lambda: made.append(1))).start()
    deliver.wait(lambda: bool(made), 10)
    assert made == [1]
    qtbot.wait(20)
    assert made == [1], "and only once"
    deliver.wait(lambda: False, 0.01)
    deliver(lambda: made.append(2))
    deliver.close()
    deliver.wait(lambda: len(made) == 2, 0.01)
    qtbot.wait(20)
    assert made == [1], "nothing is delivered once it is closed"


def test_a_late_call_does_not_put_off_the_next(
    qapp: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    seconds = [10.0]
    monkeypatch.setattr(delivery.time, "perf_counter", lambda: seconds[0])
    throttle = Throttle(lambda _: None, interval=100)
    rests = []
    # The timer is not run here: only what it is set to counts.
    for passed in (0.0, 0.13, 0.1, 5.0):
        seconds[0] += passed
        throttle(None)
        throttle._timer.stop()
        rests.append(throttle._timer.interval())
    throttle.close()
    assert rests == [100, 70, 70, 100]


def test_what_is_told_bit_by_bit_is_one_call(qtbot: Any) -> None:
    made: list[int] = []
    tell = Throttle(made.append, together=True)
    tell(1)
    tell(2)
    assert made == [], "what goes on isn't over"
    qtbot.waitUntil(lambda: made == [2])
    tell(3)
    tell.flush()
    assert made == [2, 3]
    tell(4)
    tell.close()
    qtbot.wait(150)
    assert made == [2, 3]
