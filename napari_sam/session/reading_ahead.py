"""Pauses are used to look at the image, so that clicks to come are answered sooner."""

from __future__ import annotations

from collections.abc import Callable

from napari_sam.session.runner import Outcome, Runner
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
            self._looking = False
            # What fails here fails again, and is told, when someone asks for it.
            if self._view is view and not outcome.value:
                self._view = None
            self.pause_begins()

        self._runner.submit(lambda _: self._worker.read_ahead(view), looked)
