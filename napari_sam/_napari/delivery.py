"""Calls onto the main thread, and no more of them than the window can take."""

from __future__ import annotations

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import Any

from qtpy.QtCore import QObject, Qt, QTimer
from qtpy.QtCore import Signal as QtSignal  # type: ignore[attr-defined]

# Ten updates of layers or progress a second, and no more.
INTERVAL_MS = 100
LONGEST_REST_MS = 500


class MainThreadDelivery(QObject):
    """Makes calls on the thread it was created on, whoever asks.

    Parameters
    ----------
    parent : QObject, optional
    """

    _called = QtSignal()

    def __init__(self, parent: QObject | None = None) -> None:
        super().__init__(parent)
        self._open = True
        self._calls: deque[Callable[[], None]] = deque()
        self._arrived = threading.Event()
        self._called.connect(self._make, Qt.ConnectionType.QueuedConnection)

    def __call__(self, call: Callable[[], None]) -> None:
        """Make a call soon, on the main thread."""
        if self._open:
            self._calls.append(call)
            self._arrived.set()
            self._called.emit()

    def wait(self, finished: Callable[[], bool], seconds: float) -> None:
        """Make calls as they come, until something is there or time is up.

        To be called on the main thread, which draws nothing meanwhile: whoever
        answers has the processor for itself, and all is drawn at once.

        Parameters
        ----------
        finished : callable
            Whether what is waited for is there.
        seconds : float
        """
        end = time.monotonic() + seconds
        while not finished() and (left := end - time.monotonic()) > 0:
            if self._arrived.wait(left):
                self._make()

    def close(self) -> None:
        """Make no more calls, not even those that wait."""
        self._open = False

    def _make(self) -> None:
        """Make the calls that wait, in their order."""
        self._arrived.clear()
        while self._open and self._calls:
            self._calls.popleft()()


class Throttle(QObject):
    """Calls at once, then once an interval, with the newest value.

    A call that comes late, because the window was being drawn, does not put off the
    ones after it.

    Parameters
    ----------
    call : callable
        Takes one value.
    interval : int
        Milliseconds.
    parent : QObject, optional
    rest : int
        Wait so many times as long as the call took, within reason.
    together : bool
        Let what is going on end before the first call, so that what it tells of bit by
        bit is one call.
    """

    def __init__(
        self,
        call: Callable[[Any], None],
        interval: int = INTERVAL_MS,
        parent: QObject | None = None,
        rest: int = 0,
        *,
        together: bool = False,
    ) -> None:
        super().__init__(parent)
        self._call = call
        self._interval, self._rest = interval, rest
        self._together = together
        self._waiting: tuple[Any] | None = None
        self._due = 0.0
        self._timer = QTimer(self)
        self._timer.setSingleShot(True)
        self._timer.setTimerType(Qt.TimerType.PreciseTimer)
        self._timer.setInterval(interval)
        self._timer.timeout.connect(self._next)

    def __call__(self, value: Any = None) -> None:
        """Call with a value, now or when the interval is over."""
        self._waiting = (value,)
        if self._timer.isActive():
            return
        if self._together:
            self._timer.start(0)
        else:
            self._next()

    def flush(self) -> None:
        """Call with what waits, now."""
        if self._waiting is not None:
            self._timer.stop()
            self._next()

    def close(self) -> None:
        """Drop what waits."""
        self._waiting = None
        self._timer.stop()

    def _next(self) -> None:
        if self._waiting is None:
            return
        (value,), self._waiting = self._waiting, None
        start = 1000 * time.perf_counter()
        is_late = start - self._due < self._interval
        self._due = (self._due if is_late else start) + self._interval
        self._timer.start(max(0, math.ceil(self._due - start)))
        self._call(value)
        if self._rest:
            took = round(1000 * time.perf_counter() - start)
            rest = min(self._rest * took, LONGEST_REST_MS)
            self._timer.start(max(self._interval, rest))


class Debounce(Throttle):
    """Calls once nothing was asked for an interval."""

    def __call__(self, value: Any = None) -> None:
        """Call with a value, unless another comes soon."""
        self._waiting = (value,)
        self._timer.start()

    def _next(self) -> None:
        if self._waiting is not None:
            (value,), self._waiting = self._waiting, None
            self._call(value)
