"""Where slow work runs: at once, or one after another on a thread of its own."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol


class Cancelled(Exception):
    """Raised inside a job whose token was cancelled."""


class CancelToken:
    """A flag that a job looks at between its steps."""

    def __init__(self) -> None:
        self._event = threading.Event()

    @property
    def cancelled(self) -> bool:
        """Whether the job's result is no longer wanted."""
        return self._event.is_set()

    def cancel(self) -> None:
        """Ask the job to stop."""
        self._event.set()

    def check(self) -> None:
        """Leave the job if it was cancelled.

        Raises
        ------
        Cancelled
        """
        if self.cancelled:
            raise Cancelled


@dataclass(frozen=True, eq=False)
class Outcome:
    """What became of a job.

    Attributes
    ----------
    value : object
        What it returned.
    error : Exception or None
        What it raised; `Cancelled` if it was cancelled.
    """

    value: Any = None
    error: Exception | None = None


Job = Callable[[CancelToken], Any]
Done = Callable[[Outcome], None]
Deliver = Callable[[Callable[[], None]], None]


class Runner(Protocol):
    """Runs jobs in the order in which they are given."""

    def submit(self, job: Job, done: Done) -> CancelToken:
        """Run a job and tell ``done`` what became of it, once.

        Parameters
        ----------
        job : callable
            Called with its token.
        done : callable
            Called with the `Outcome`, on the thread that owns the session.
        """
        ...

    def post(self, call: Callable[[], None]) -> None:
        """Let a running job make a call on the thread that owns the session."""
        ...

    def close(self) -> None:
        """Cancel what is left and wait for the running job."""
        ...


class InlineRunner:
    """Runs each job before `submit` returns."""

    def submit(self, job: Job, done: Done) -> CancelToken:
        """Run a job now; see `Runner`."""
        token = CancelToken()
        done(_outcome(job, token))
        return token

    def post(self, call: Callable[[], None]) -> None:
        """Make a call now."""
        call()

    def close(self) -> None:
        """Do nothing: no job is left when `submit` has returned."""


class ThreadRunner:
    """Runs jobs on one thread.

    Parameters
    ----------
    deliver : callable
        Takes a call and makes it on the thread that owns the session.
    name : str
        Of the thread.
    """

    def __init__(self, deliver: Deliver, name: str = "napari-sam") -> None:
        self._deliver = deliver
        self._jobs: queue.SimpleQueue[tuple[Job, Done, CancelToken] | None]
        self._jobs = queue.SimpleQueue()
        self._tokens: set[CancelToken] = set()
        self._closed = False
        self._thread = threading.Thread(target=self._work, name=name, daemon=True)
        self._thread.start()

    def submit(self, job: Job, done: Done) -> CancelToken:
        """Queue a job; see `Runner`."""
        token = CancelToken()
        if not self._closed:
            self._tokens.add(token)
            self._jobs.put((job, done, token))
        return token

    def post(self, call: Callable[[], None]) -> None:
        """Deliver a call unless the runner is closed."""
        self._deliver(lambda: None if self._closed else call())

    def close(self, timeout: float | None = 30.0) -> None:
        """Cancel all jobs, drop their outcomes and wait for the thread to end."""
        self._closed = True
        for token in list(self._tokens):
            token.cancel()
        self._jobs.put(None)
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout)

    def _work(self) -> None:
        while (item := self._jobs.get()) is not None:
            self._run(*item)

    def _run(self, job: Job, done: Done, token: CancelToken) -> None:
        # A function of its own, so that the thread holds no result while it waits.
        outcome = _outcome(job, token)
        self._tokens.discard(token)
        self.post(lambda: done(outcome))


def _outcome(job: Job, token: CancelToken) -> Outcome:
    try:
        token.check()
        return Outcome(value=job(token))
    except Exception as error:  # noqa: BLE001  (handed on to whoever asked)
        return Outcome(error=error)
