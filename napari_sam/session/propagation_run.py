"""One propagation on its way: shown slice by slice, then made one edit."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from napari_sam.session.document import Document
from napari_sam.session.engine import Steps
from napari_sam.session.filling import fill
from napari_sam.session.labels import PlacedMask
from napari_sam.session.live import LiveFilling
from napari_sam.session.plane import Plane
from napari_sam.session.propagation_task import PropagationTask
from napari_sam.session.session import Session

if TYPE_CHECKING:
    from napari_sam.inference.volume_result import SliceMask, VolumeSegmentation

# Found slices are drawn no sooner than this after the last ones.
LIVE_SECONDS = 0.1


class PropagationRun:
    """One propagation on its way: what it finds is shown, then made one edit.

    Parameters
    ----------
    session : Session
    task : PropagationTask
    document : Document
        That the objects are of; another image may be shown before the end.
    ended : tuple of Plane
        Whose prompts are used up.
    changed : callable
        Called when more slices are known.
    over : callable
        Called at the end, whatever it was.

    Attributes
    ----------
    confidences : dict of int to dict of int to (float or None)
        What is known so far, by object and index; None where a person made the mask.
    """

    def __init__(
        self,
        session: Session,
        task: PropagationTask,
        document: Document,
        ended: tuple[Plane, ...],
        changed: Callable[[], None],
        over: Callable[[], None],
    ) -> None:
        self.confidences: dict[int, dict[int, float | None]] = {}
        self._session, self._task, self._document = session, task, document
        self._ended, self._changed, self._over = ended, changed, over
        self._rule = session.overlap
        self._live = LiveFilling(document, self._rule)
        self._lock = threading.Lock()
        self._found: dict[int, dict[int, SliceMask]] = {}
        self._posted = 0.0
        self._open = True
        self._dropped = False

    def start(self) -> None:
        """Begin; the result comes as one edit when it is there."""
        ids = sorted(self._task.ids)
        names = f"object {ids[0]}" if len(ids) == 1 else f"{len(ids)} objects"
        self._title = f"propagate {names}"
        self._session.engine.run(
            f"Following {names}", self._work, self._done, self._end
        )

    def drop(self) -> str:
        """Stop, and keep nothing of it; return what was stopped."""
        self._dropped = True
        self._session.cancel()
        return self._title

    def _work(self, steps: Steps) -> VolumeSegmentation:
        def on_slice(index: int, masks: dict[int, SliceMask]) -> None:
            ours = {n: each for n, each in masks.items() if n in self._task.ids}
            with self._lock:
                self._found[index] = ours
            now = time.monotonic()
            if now - self._posted >= LIVE_SECONDS:
                self._posted = now
                steps.post(self._show)

        return self._session.engine.worker.propagate(
            self._task,
            progress=steps.tell,
            should_cancel=lambda: steps.token.cancelled,
            on_slice=on_slice,
        )

    def _show(self) -> None:
        """Draw the slices found since the last time."""
        with self._lock:
            found, self._found = self._found, {}
        if not self._open:
            return
        for index, masks in found.items():
            placed: dict[int, PlacedMask | None] = {
                n: self._task.placed(each, index) for n, each in masks.items()
            }
            self._live.show(self._task.stack.at(index), placed)
            for number, each in masks.items():
                sure = None if each.rank else float(each.confidence)
                self.confidences.setdefault(number, {})[index] = sure
        self._changed()

    def _done(self, found: VolumeSegmentation) -> None:
        self._live.take_back()
        fills = [] if self._dropped else self._task.fills(found)
        if fills:
            fill(self._document, fills, self._rule, self._title, self._ended)
        if not self._dropped:
            self._session.events.status.emit(self._words(found))

    def _end(self) -> None:
        self._open = False
        self._live.take_back()
        self._over()

    def _words(self, found: VolumeSegmentation) -> str:
        """Say what was found."""
        kept = "" if found.complete else "Cancelled; what was found is kept. "
        if len(self._task.ids) > 1:
            return f"{kept}{len(self._task.ids)} objects in the stack."
        (number,) = self._task.ids
        each = found.objects.get(number)
        if each is None or not each.slices:
            return f"{kept}Object {number} was not found in any slice."
        first, last = min(each.slices), max(each.slices)
        worst = each.worst_slice()
        unsure = "" if worst is None else f", least sure in {worst}"
        return f"{kept}Object {number}: slices {first} to {last}{unsure}."
