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
# Seconds; Python's own are ten times as long.
SHORT_TURN = 0.0005


class _Interpreter:
    """Python's collector and its threads' turns, and how many want them otherwise."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0
        self._usual = (True, 0.0)

    def change(self) -> None:
        with self._lock:
            if self._count == 0:
                self._usual = gc.isenabled(), sys.getswitchinterval()
                gc.disable()
                sys.setswitchinterval(SHORT_TURN)
            self._count += 1

    def restore(self) -> None:
        with self._lock:
            self._count -= 1
            if self._count == 0:
                collects, turn = self._usual
                sys.setswitchinterval(turn)
                if collects:
                    gc.enable()


_interpreter = _Interpreter()


@contextmanager
def reading_libraries() -> Iterator[None]:
    """Set Python for the reading of libraries beside a window that is drawn.

    It collects no garbage: it counts the objects that are made, and while a library is
    read it goes through those of the whole process again and again, a sixth of the time
    that torch takes in napari. Threads have short turns: drawing lets go of Python's
    lock at each call of the graphics library, and would each time wait a whole turn of
    the thread that reads.

    Two threads may want it at a time; it ends with the last one.
    """
    _interpreter.change()
    try:
        yield
    finally:
        _interpreter.restore()


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
