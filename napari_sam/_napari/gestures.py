"""Clicks and drags on our layers, as intentions in world coordinates."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Literal, Protocol, get_args

import numpy as np

Tool = Literal["point", "box", "scribble", "lasso"]
TOOLS: tuple[Tool, ...] = get_args(Tool)
# A press that moves by fewer canvas pixels is a click.
CLICK_REACH = 4.0
LEFT, RIGHT = 1, 2
World = tuple[float, ...]


class Target(Protocol):
    """What gestures are told to."""

    tool: Tool

    def clicked(self, position: World, positive: bool) -> None:
        """Answer a click."""

    def dragging(self, positions: list[World]) -> None:
        """Answer a drag that goes on."""

    def dragged(self, positions: list[World], positive: bool) -> None:
        """Answer a drag that ended."""

    def hovered(self, position: World | None) -> None:
        """Answer a move with no button down."""


class Gestures:
    """Mouse callbacks for layers of ours; napari's own keep working.

    Left clicks are positive; right clicks, and left ones with Alt, negative.

    Parameters
    ----------
    target : Target
    """

    def __init__(self, target: Target) -> None:
        self._target = target

    def attach(self, layer: Any) -> None:
        """Listen to a layer."""
        for callbacks, own in self._pairs(layer):
            callbacks.append(own)

    def detach(self, layer: Any) -> None:
        """Stop listening to a layer."""
        for callbacks, own in self._pairs(layer):
            if own in callbacks:
                callbacks.remove(own)

    def _pairs(self, layer: Any) -> list[tuple[list[Any], Callable[..., Any]]]:
        return [
            (layer.mouse_drag_callbacks, self._press),
            (layer.mouse_double_click_callbacks, self._double_click),
            (layer.mouse_move_callbacks, self._move),
        ]

    def _press(self, layer: Any, event: Any) -> Iterator[None]:
        if event.button not in (LEFT, RIGHT) or _is_editing(layer):
            return
        positive = _is_positive(event)
        start, positions = np.array(event.pos), [tuple(event.position)]
        moved = False
        yield
        while event.type == "mouse_move":
            moved = moved or _distance(event.pos, start) > CLICK_REACH
            positions.append(tuple(event.position))
            if moved and self._target.tool != "point":
                self._target.dragging(positions)
            yield
        if not moved:
            self._target.clicked(positions[0], positive)
        elif self._target.tool != "point":
            self._target.dragged(positions, positive)

    def _double_click(self, layer: Any, event: Any) -> None:
        # The second of two quick clicks: Qt gives it another name.
        if event.button in (LEFT, RIGHT) and not _is_editing(layer):
            self._target.clicked(tuple(event.position), _is_positive(event))

    def _move(self, layer: Any, event: Any) -> None:
        self._target.hovered(tuple(event.position))


def _is_positive(event: Any) -> bool:
    return event.button == LEFT and "Alt" not in event.modifiers


def _is_editing(layer: Any) -> bool:
    """Whether napari's own tool of the layer is in use, as to move a point."""
    return str(layer.mode) not in ("pan_zoom", "pick")


def _distance(position: Any, start: Any) -> float:
    return float(np.abs(np.asarray(position) - start).max())
