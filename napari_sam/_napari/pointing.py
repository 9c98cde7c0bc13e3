"""What clicks, drags and the moving pointer mean for the session."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
from psygnal import Signal

from napari_sam._napari.delivery import Debounce, Throttle
from napari_sam._napari.gestures import Tool, World
from napari_sam._napari.strokes import box_of, lasso_prompt, points_along
from napari_sam.errors import NapariSamError
from napari_sam.structures import PointPrompt

if TYPE_CHECKING:
    from napari_sam._napari.viewer_link import ViewerLink


HOVER_MS = 20
# A pointer that moved over the image may click so soon after.
STILL_MS = 400
# So long a click waits for its mask, before the window is drawn: most come sooner.
ANSWER_SECONDS = 0.05
Wait = Callable[[Callable[[], bool], float], None]


class Pointing:
    """Turns gestures on our layers into prompts.

    Parameters
    ----------
    link : ViewerLink

    Attributes
    ----------
    tool_changed : Signal()
        Tool, polarity or hover.
    wait : callable or None
        Waits until something is so, but no longer than some seconds, while answers
        come in.
    """

    tool_changed = Signal()

    def __init__(self, link: ViewerLink) -> None:
        self._link, self._session = link, link.session
        self.wait: Wait | None = None
        self._tool: Tool = "point"
        self._positive = True
        self._hover = False
        self._draw_drag = Throttle(self._show_drag)
        # Only one question is on its way at a time, whatever the pointer does.
        self._ask_hover = Throttle(self._hover_at, HOVER_MS)
        ahead = self._session.engine.ahead
        self._rest = Debounce(lambda _: ahead.go_on(), STILL_MS)

    @property
    def waiting(self) -> tuple[Throttle, ...]:
        """What may still be drawn or done."""
        return self._draw_drag, self._ask_hover, self._rest

    @property
    def tool(self) -> Tool:
        """What a drag means."""
        return self._tool

    @tool.setter
    def tool(self, tool: Tool) -> None:
        self._tool = tool
        self.tool_changed.emit()

    @property
    def positive(self) -> bool:
        """Whether a left click or stroke is positive."""
        return self._positive

    @positive.setter
    def positive(self, positive: bool) -> None:
        self._positive = positive
        self.tool_changed.emit()

    @property
    def hover(self) -> bool:
        """Whether the mask under the pointer is shown before a click."""
        return self._hover

    @hover.setter
    def hover(self, hover: bool) -> None:
        self._hover = hover
        if not hover:
            self._session.hover(None)
        self.tool_changed.emit()

    # -- gestures ------------------------------------------------------------------

    def clicked(self, position: World, positive: bool) -> None:
        """Add a point, or take up the object that lies there."""
        place = self._link.pixels(position)
        if place is None:
            return
        session = self._session
        with self._told():
            positive = positive is self._positive
            if session.draft.is_empty and self._toggles(place):
                return
            found = session.document.object_at(session.plane, place)
            fresh = session.draft.is_empty and positive
            if found is not None and fresh and session.overlap != "overwrite":
                session.refine(found.id)
            else:
                session.add_point(place, positive)

    def dragging(self, positions: list[World]) -> None:
        """Show the box that is being drawn."""
        if self._tool == "box":
            self._draw_drag([positions[0], positions[-1]])

    def dragged(self, positions: list[World], positive: bool) -> None:
        """Take a box, a scribble or a lasso."""
        found = [self._link.pixels(each) for each in positions]
        places = [place for place in found if place is not None]
        if len(places) < 2:
            return
        with self._told():
            self._take_stroke(np.array(places), positive is self._positive)

    def hovered(self, position: World | None) -> None:
        """Ask for the mask under the pointer, and keep the model free for a click."""
        self._session.engine.ahead.hold()
        self._rest()
        if self._hover:
            self._ask_hover(position)

    # -- inside --------------------------------------------------------------------

    def _toggles(self, place: tuple[float, float]) -> bool:
        """Whether a click drops a proposal, or takes it again."""
        proposals = self._link.proposals
        return proposals is not None and proposals.toggle(place)

    def _take_stroke(self, places: Any, positive: bool) -> None:
        session = self._session
        if self._tool == "box":
            session.set_box(box_of(places))
        elif self._tool == "lasso":
            mask = lasso_prompt(places, session.plane.size)
            draft = session.draft.with_mask(mask).with_box(box_of(places))
            session.set_draft(draft, "lasso")
        else:
            points = tuple(PointPrompt(p, positive) for p in points_along(places))
            session.set_points((*session.draft.prompts.points, *points), "scribble")

    def _show_drag(self, ends: list[World]) -> None:
        places = [self._link.pixels(each) for each in ends]
        if all(place is not None for place in places):
            self._link.draw_box(box_of(np.array(places)))

    def _hover_at(self, position: World | None) -> None:
        place = None if position is None else self._link.pixels(position)
        self._session.hover(place)

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Give the answer a moment to come; tell the user what cannot be done."""
        session, before = self._session, self._session.candidates
        try:
            yield
            if self.wait is not None:
                self.wait(
                    lambda: session.candidates is not before or not session.is_busy,
                    ANSWER_SECONDS,
                )
        except NapariSamError as error:
            self._session.events.failed.emit(error)
