"""Run the tests in three tiers, each in a fresh interpreter.

core    everything outside ``tests/_napari``, with napari and Qt blocked
widget  ``tests/_napari``, with Qt offscreen
viewer  ``tests/_napari``, on the display there is, else on Xvfb

Usage: ``python tests/run_tiers.py [TIER ...] [PYTEST_ARGUMENT ...]``
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

TESTS = Path(__file__).resolve().parent
NO_TESTS_RAN = 5
BLOCKED = (
    "PyQt5", "PyQt6", "PySide2", "PySide6", "magicgui", "napari", "qtpy", "superqt",
)  # fmt: skip
PYTEST = [sys.executable, "-m", "pytest"]
# A blocked module cannot be imported by this process, whoever asks for it.
BLOCKING = f"""
import sys, pytest
sys.modules.update(dict.fromkeys({BLOCKED}))
sys.exit(pytest.main(sys.argv[1:]))
"""
PYTEST_BLOCKED = [sys.executable, "-c", BLOCKING]
NO_SCREEN = (
    "The viewer tests need a screen and there is neither a display nor Xvfb: on Debian "
    "and Ubuntu, apt-get install xvfb libxcb-cursor0 libxcb-icccm4 libxcb-keysyms1 "
    "libxkbcommon-x11-0 libegl1"
)


def run_core(arguments: list[str]) -> int:
    # Plugins of napari, npe2 and pytest-qt would import what is blocked.
    environment = os.environ | {"PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    selection = [str(TESTS), f"--ignore={TESTS / '_napari'}", "-m", "not gpu"]
    return _run([*PYTEST_BLOCKED, *selection, *arguments], environment)


def run_widget(arguments: list[str]) -> int:
    environment = os.environ | {"QT_QPA_PLATFORM": "offscreen"}
    selection = [str(TESTS / "_napari"), "-m", "not viewer"]
    return _run([*PYTEST, *selection, *arguments], environment)


def run_viewer(arguments: list[str]) -> int:
    if not _has_display() and shutil.which("Xvfb") is None:
        print(NO_SCREEN, file=sys.stderr)
        return 1
    selection = [str(TESTS / "_napari"), "-m", "viewer"]
    with _screen() as environment:
        return _run([*PYTEST, *selection, *arguments], environment)


TIERS = {"core": run_core, "widget": run_widget, "viewer": run_viewer}


def _run(command: list[str], environment: dict[str, str]) -> int:
    return subprocess.run(command, env=environment, check=False).returncode


def _has_display() -> bool:
    if not sys.platform.startswith("linux"):
        return True
    return bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


@contextmanager
def _screen() -> Iterator[dict[str, str]]:
    """Give the environment of a process that draws on a screen."""
    if _has_display():
        yield dict(os.environ)
        return
    read, write = os.pipe()
    command = ["Xvfb", "-displayfd", str(write), "-screen", "0", "1600x1200x24"]
    server = subprocess.Popen(
        [*command, "-nolisten", "tcp"], pass_fds=[write], stderr=subprocess.DEVNULL
    )
    os.close(write)
    try:
        with os.fdopen(read) as answer:
            display = answer.readline().strip()
        yield os.environ | {"DISPLAY": f":{display}", "QT_QPA_PLATFORM": "xcb"}
    finally:
        server.terminate()
        server.wait()


def main(arguments: list[str]) -> int:
    wanted = [argument for argument in arguments if argument in TIERS] or list(TIERS)
    rest = [argument for argument in arguments if argument not in TIERS]
    # A selection such as "-k predictor" may leave a tier without tests.
    good = {0, NO_TESTS_RAN} if rest else {0}
    failed = []
    for tier in wanted:
        print(f"== {tier} tier", flush=True)
        if TIERS[tier](rest) not in good:
            failed.append(tier)
    if failed:
        print(f"Failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
