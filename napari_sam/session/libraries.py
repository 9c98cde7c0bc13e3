"""Torch is read with as little waiting as can be: most of a window's start is that."""

from __future__ import annotations

import ctypes
import gc
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path

# It depends on the others: the system's loader reads them all.
LIBRARY = Path("lib") / "libtorch.so"


class _Collector:
    """Python's collector of garbage, and how many want it to rest."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._pauses = 0
        self._was_enabled = False

    def rest(self) -> None:
        with self._lock:
            if self._pauses == 0:
                self._was_enabled = gc.isenabled()
                gc.disable()
            self._pauses += 1

    def go_on(self) -> None:
        with self._lock:
            self._pauses -= 1
            if self._pauses == 0 and self._was_enabled:
                gc.enable()


_collector = _Collector()


@contextmanager
def garbage_collection_paused() -> Iterator[None]:
    """Make many objects that stay without looking through all that there are.

    Python counts the objects that it makes, and goes through those of the whole process
    again and again while a library is read: a sixth of the time that torch takes in
    napari. Two threads may pause it at a time; it goes on after the last one.
    """
    _collector.rest()
    try:
        yield
    finally:
        _collector.go_on()


def map_libraries() -> threading.Thread | None:
    """Let the system load torch's machine code on a thread, beside what Python does.

    ``import torch`` holds Python's lock while it does that, so that no other thread
    runs; a foreign call does not. The import itself, later, finds it loaded.

    Returns
    -------
    Thread or None
        Ends once it is loaded; None where torch was imported before, or where this
        is not known to help.
    """
    path = _library()
    if path is None:
        return None
    thread = threading.Thread(
        target=_load, args=(path,), name="napari-sam-libraries", daemon=True
    )
    thread.start()
    return thread


def _library() -> Path | None:
    if not sys.platform.startswith("linux") or "torch" in sys.modules:
        return None
    spec = find_spec("torch")
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / LIBRARY
    return path if path.exists() else None


def _load(path: Path) -> bool:
    """Return whether it could be loaded; if not, the import will say why."""
    load = ctypes.CDLL(None).dlopen
    load.argtypes, load.restype = (ctypes.c_char_p, ctypes.c_int), ctypes.c_void_p
    return bool(load(os.fsencode(path), os.RTLD_NOW))
