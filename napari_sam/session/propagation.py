"""One click fills a stack: objects followed along z or t."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from psygnal import Signal

from napari_sam.errors import PromptError
from napari_sam.session.axes import axis_name, is_time, voxel_size
from napari_sam.session.findings import ready_view
from napari_sam.session.objects import SegmentedObject
from napari_sam.session.plane import Stack
from napari_sam.session.propagation_run import PropagationRun
from napari_sam.session.propagation_task import PropagationTask, Target, new_object
from napari_sam.session.session import Session
from napari_sam.session.view import ImageView
from napari_sam.structures import Provenance

if TYPE_CHECKING:
    from napari_sam.inference.volume import Direction
    from napari_sam.inference.volume_steps import PropagationSettings


class Propagation:
    """Follows objects of a session through the hidden axes of its image.

    Parameters
    ----------
    session : Session

    Attributes
    ----------
    direction : {"both", "forward", "backward"}
    limits : tuple of int or None
        First index along the axis, and the one after the last; None for all.
    changed : Signal()
        The axis, the object in hand, or what is known of its slices.
    """

    changed = Signal()

    def __init__(self, session: Session) -> None:
        self._session = session
        self.direction: Direction = "both"
        self.limits: tuple[int, int] | None = None
        self._settings: dict[bool, PropagationSettings] = {}
        self._axis: int | None = None
        self._object: int | None = None
        self._worst: int | None = None
        self._run: PropagationRun | None = None
        # The last one: in 3D there is none, and what is known can still be shown.
        self._view = session.view
        session.events.view.connect(self._view_changed)
        session.events.objects.connect(self.changed.emit)
        session.events.history.connect(self._edited)

    def close(self) -> None:
        """Listen to the session no more."""
        events = self._session.events
        events.view.disconnect(self._view_changed)
        events.objects.disconnect(self.changed.emit)
        events.history.disconnect(self._edited)

    # -- where ---------------------------------------------------------------------

    @property
    def axes(self) -> tuple[int, ...]:
        """The hidden axes that have several planes, the likeliest z first."""
        view = self._view
        if view is None or view.at is None:
            return ()
        plane, names = view.plane, view.axis_names
        found = [axis for axis in plane.hidden[::-1] if plane.shape[axis] > 1]
        # Channels are no neighbours of each other; unnamed, they can't be told.
        return tuple(sorted(found, key=lambda axis: axis_name(names, axis) == "c"))

    @property
    def axis(self) -> int | None:
        """The axis that objects are followed along; None if there is none."""
        axes = self.axes
        if self._axis in axes:
            return self._axis
        return axes[0] if axes else None

    @axis.setter
    def axis(self, axis: int) -> None:
        self._axis, self.limits = axis, None
        self.changed.emit()

    def axis_label(self, axis: int) -> str:
        """Return what to call an axis, with the number of its planes."""
        view = self._view
        if view is None:
            return ""
        name = axis_name(view.axis_names, axis) or f"axis {axis}"
        return f"{name} ({view.plane.shape[axis]})"

    @property
    def stack(self) -> Stack | None:
        """The planes along the axis, through the shown one."""
        view, axis = self._view, self.axis
        return None if view is None or axis is None else Stack(view.plane, axis)

    @property
    def is_movie(self) -> bool:
        """Whether the axis is time."""
        axis = self.axis
        return (
            self._view is not None
            and axis is not None
            and is_time(self._view.axis_names, axis)
        )

    @property
    def usual_settings(self) -> PropagationSettings:
        """What suits the axis where nothing else is wanted."""
        from napari_sam.inference.volume_steps import PropagationSettings

        make = PropagationSettings.for_movie if self.is_movie else PropagationSettings
        return make()

    @property
    def settings(self) -> PropagationSettings:
        """How objects are followed and when they have ended; along time, others."""
        return self._settings.get(self.is_movie) or self.usual_settings

    @settings.setter
    def settings(self, settings: PropagationSettings) -> None:
        self._settings[self.is_movie] = settings

    @property
    def index(self) -> int:
        """Where the shown plane is along the axis."""
        stack = self.stack
        return 0 if stack is None else stack.plane.point[stack.axis]

    # -- which object --------------------------------------------------------------

    @property
    def object_id(self) -> int | None:
        """The object in hand: refined, or touched last; None if it is gone."""
        refined = self._session.draft.object_id
        if refined is not None:
            return refined
        known = self._session.document.objects.get(self._object or 0)
        return None if known is None else known.id

    @object_id.setter
    def object_id(self, object_id: int | None) -> None:
        self._object, self._worst = object_id, None
        self.changed.emit()

    def objects(self) -> list[SegmentedObject]:
        """Return the objects of the stack."""
        stack = self.stack
        if stack is None:
            return []
        return [
            each
            for each in self._session.document.objects
            if any(stack.index_of(region.plane) is not None for region in each.regions)
        ]

    def confidences(self, object_id: int) -> dict[int, float | None]:
        """Return how sure each slice of an object is; None where a person made it.

        Parameters
        ----------
        object_id : int

        Returns
        -------
        dict of int to (float or None)
            By index along the axis, rising. While it is followed, what is known so far.
        """
        stack, found = self.stack, self._session.document.objects.get(object_id)
        known: dict[int, float | None] = {}
        if self._run is not None:
            known |= self._run.confidences.get(object_id, {})
        if stack is not None and found is not None:
            for region in found.regions:
                index = stack.index_of(region.plane)
                if index is not None:
                    known.setdefault(index, region.confidence)
        return dict(sorted(known.items()))

    def next_worst(self) -> int | None:
        """Return the least sure slice that no person made; the next one next time.

        Of the object in hand; None if there is no such slice.
        """
        number = self.object_id
        sure = {} if number is None else self.confidences(number)
        ranked = sorted((each, n) for n, each in sure.items() if each is not None)
        order = [n for _, n in ranked]
        place = order.index(self._worst) + 1 if self._worst in order else 0
        self._worst = order[place % len(order)] if order else None
        return self._worst

    # -- verbs ---------------------------------------------------------------------

    @property
    def is_running(self) -> bool:
        """Whether objects are being followed."""
        return self._run is not None

    def propagate(self) -> None:
        """Follow the object in hand: the draft's mask, or a committed object.

        A committed object is followed from all slices that a person made.

        Raises
        ------
        PromptError
            If there is no such object, no stack, or one is being followed already.
        """
        session = self._session
        if not session.draft.is_empty:
            self._start([self._draft_target()], ends_draft=True)
            return
        found = session.document.objects.get(self.object_id or 0)
        if found is None:
            raise PromptError("Click on an object first: its mask is followed.")
        self._start([self._object_target(found)])

    def propagate_all(self) -> None:
        """Follow all objects of the stack, and the draft's.

        Raises
        ------
        PromptError
            As `propagate`.
        """
        session = self._session
        targets, taken = [], session.draft.object_id
        if session.candidates is not None:
            targets.append(self._draft_target())
        for each in self.objects():
            if each.id != taken:
                targets.append(self._object_target(each))
        if not targets:
            raise PromptError("Click on an object first: there is none in this stack.")
        self._start(targets, ends_draft=session.candidates is not None)

    def rerun_here(self) -> None:
        """Take the shown slice of the object in hand as right, and redo the others.

        Only slices up to the next ones that a person made are done again.

        Raises
        ------
        PromptError
            As `propagate`, or if the object is not in the shown slice.
        """
        session = self._session
        if session.candidates is not None:
            self._start([self._draft_target()], ends_draft=True)
            return
        number = self.object_id
        found = session.document.objects.get(number or 0)
        if found is None or found.region_in(session.plane) is None:
            raise PromptError("Go to a slice with the object, or click on it, first.")
        mask = session.document.object_mask(found.id, session.plane)
        made = new_object(found.id, found.class_name, found.provenance)
        self._start([Target(found.id, {self.index: mask}, True, made)])

    # -- inside --------------------------------------------------------------------

    def _draft_target(self) -> Target:
        """Return the mask in hand as what to follow."""
        session = self._session
        found, draft = session.candidates, session.draft
        if found is None:
            raise PromptError("There is no mask yet: click on an object first.")
        refined = session.document.objects.get(draft.object_id or 0)
        number = refined.id if refined else session.document.objects.next_id()
        prediction, chosen = found.prediction, found.chosen
        scores = (
            float(prediction.predicted_iou[chosen]),
            float(prediction.stability_score[chosen]),
        )
        provenance = Provenance(session.model_name, "", draft.prompts, "propagate")
        made = new_object(number, session.class_name, provenance, scores)
        seeds = {self.index: found.place()}
        return Target(number, seeds, refined is not None, made)

    def _object_target(self, found: SegmentedObject) -> Target:
        """Return a committed object, to be followed from where a person made it."""
        stack = self._checked_stack()
        places = {stack.index_of(each.plane): each for each in found.regions}
        there = {n: each for n, each in places.items() if n is not None}
        by_hand = {n: each for n, each in there.items() if each.confidence is None}
        chosen = by_hand or _surest(there)
        document = self._session.document
        seeds = {
            n: document.object_mask(found.id, each.plane) for n, each in chosen.items()
        }
        seeds = {n: each for n, each in seeds.items() if each.mask.any()}
        if not seeds:
            raise PromptError(f"Object {found.id} is not in this stack.")
        made = new_object(found.id, found.class_name, found.provenance)
        return Target(found.id, seeds, False, made)

    def _checked_stack(self) -> Stack:
        stack = self.stack
        if stack is None:
            raise PromptError("This image has no z or t: there is nothing to follow.")
        return stack

    def _start(self, targets: list[Target], *, ends_draft: bool = False) -> None:
        if self.is_running:
            raise PromptError("Objects are being followed already: wait, or cancel it.")
        view, stack = ready_view(self._session), self._checked_stack()
        limits = self.limits or (0, stack.length)
        inside = [each for each in targets if any(_in(n, limits) for n in each.seeds)]
        if not inside or (ends_draft and not _in(self.index, limits)):
            raise PromptError(
                f"The slices {limits[0]} to {limits[1] - 1} leave out the one that the "
                "object was made in: change the range."
            )
        document = self._session.document
        task = PropagationTask(
            view,
            stack,
            tuple(inside),
            tuple(document.objects),
            document.store,
            self.direction,
            limits,
            replace(self.settings, spacing=voxel_size(view, stack)),
        )
        ended = (view.plane,) if ends_draft else ()
        self._object = min(task.ids)
        self._run = PropagationRun(
            self._session, task, document, ended, self.changed.emit, self._over
        )
        self._session.interrupt = self._run.drop
        self._run.start()

    def _over(self) -> None:
        self._run = self._session.interrupt = self._worst = None
        self.changed.emit()

    def _view_changed(self, view: ImageView | None) -> None:
        self._view = view or self._view
        self.changed.emit()

    def _edited(self) -> None:
        """Take what was committed or changed last as the object in hand."""
        done = self._session.document.history.done
        changes = done[-1].objects if done else ()
        if len(changes) == 1 and changes[0].after is not None:
            self._object = changes[0].after.id
        self.changed.emit()


def _surest(regions: Mapping[int, Any]) -> dict[int, Any]:
    if not regions:
        return {}
    best = max(regions, key=lambda n: regions[n].confidence)
    return {best: regions[best]}


def _in(index: int, limits: tuple[int, int]) -> bool:
    return limits[0] <= index < limits[1]
