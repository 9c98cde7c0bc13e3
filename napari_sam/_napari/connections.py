"""Connections to signals of napari and psygnal, and their end."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any


class Connections:
    """Remembers what was connected, so that all of it can be undone."""

    def __init__(self) -> None:
        self._made: list[tuple[Any, Callable[..., Any]]] = []

    def add(self, emitter: Any, callback: Callable[..., Any]) -> None:
        """Connect a callback."""
        emitter.connect(callback)
        self._made.append((emitter, callback))

    def close(self) -> None:
        """Disconnect everything; what is gone already is passed over."""
        for emitter, callback in self._made:
            with contextlib.suppress(TypeError, ValueError, RuntimeError, KeyError):
                emitter.disconnect(callback)
        self._made.clear()
