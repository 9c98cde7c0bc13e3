"""Showing results in napari, in a process of its own."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import typer

from napari_sam.errors import NapariSamError

INSTALL = 'napari is not installed: pip install "napari[all]"'


def wants_viewer(asked: bool | None) -> bool:
    """Decide whether to open napari.

    Parameters
    ----------
    asked : bool or None
        What the user said; None if nothing. Then napari opens if it is installed, there
        is a display, and a person is watching the terminal.

    Raises
    ------
    NapariSamError
        It was asked for and is not installed.
    """
    installed = find_spec("napari") is not None
    if asked and not installed:
        raise NapariSamError(INSTALL)
    if asked is not None:
        return asked
    return installed and _has_display() and sys.stdout.isatty()


def show_demo(folder: Path) -> None:
    """Open what a demo wrote in napari, and wait until its window is closed.

    The window has its own process: a crash of the graphics stack costs no result.

    Parameters
    ----------
    folder : Path
        That the demo was written to.

    Raises
    ------
    NapariSamError
        The window could not be opened.
    """
    typer.echo("Opening napari; close its window to end.", err=True)
    command = [sys.executable, "-m", "napari_sam._napari.show_demo", str(folder)]
    if subprocess.run(command, check=False).returncode:
        raise NapariSamError("napari could not be opened; see above, or --no-viewer.")


def _has_display() -> bool:
    if not sys.platform.startswith("linux"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))
