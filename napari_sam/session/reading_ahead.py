"""Pauses are used to look at the image, so that clicks to come are answered sooner."""

from __future__ import annotations

from collections.abc import Callable

from napari_sam.session.runner import Cancelled, CancelToken, Outcome, Runner
from napari_sam.session.view import ImageView
from napari_sam.session.worker import Worker


class ReadingAhead:
    """Lets the model look at one part of a view after the other, while nobody waits.

    Parameters
    ----------
    runner : Runner
    worker : Worker
    is_free : callable
        Whether no other work runs or waits.
    """

    def __init__(
        self, runner: Runner, worker: Worker, is_free: Callable[[], bool]
    ) -> None:
        self._runner, self._worker, self._is_free = runner, worker, is_free
        self._view: ImageView | None = None
        self._looking = self._held = False
        self._token: CancelToken | None = None

    @property
    def is_going_on(self) -> bool:
        """Whether parts are left that will be looked at."""
        return self._looking or self._view is not None

    def begin(self, view: ImageView | None) -> None:
        """Read another view from now on, or none."""
        self._view = view

    def hold(self) -> None:
        """Begin no further part: someone is about to click."""
        self._held = True

    def give_way(self) -> None:
        """Leave the part in hand, which is begun anew later: someone waits."""
        if self._token is not None:
            self._token.cancel()

    def go_on(self) -> None:
        """End a hold."""
        self._held = False
        self.pause_begins()

    def pause_begins(self) -> None:
        """Look at the next part, unless held; those after it follow."""
        view = self._view
        if view is None or self._looking or self._held or not self._is_free():
            return
        self._looking = True

        def looked(outcome: Outcome) -> None:
            self._looking, self._token = False, None
            # What fails here fails again, and is told, when someone asks for it.
            is_over = not outcome.value and not isinstance(outcome.error, Cancelled)
            if self._view is view and is_over:
                self._view = None
            self.pause_begins()

        def look(token: CancelToken) -> bool:
            return self._worker.read_ahead(view, token.check)

        token = self._runner.submit(look, looked)
        if self._looking:
            self._token = token
