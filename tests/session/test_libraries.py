"""Torch is read beside other work, and garbage is collected again afterwards."""

import gc
import subprocess
import sys
import threading

import pytest

from napari_sam.session import libraries
from napari_sam.session.libraries import (
    SHORT_TURN,
    map_libraries,
    reading_libraries,
)

MAPPED = """
import sys
from pathlib import Path
from napari_sam.session.libraries import map_libraries
thread = map_libraries()
assert "torch" not in sys.modules
thread.join()
assert "libtorch_cpu" in Path("/proc/self/maps").read_text()
assert "torch" not in sys.modules
import torch
assert float(torch.ones(3).sum()) == 3
assert map_libraries() is None
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="helps on Linux only")
def test_the_machine_code_is_there_before_the_import() -> None:
    done = subprocess.run(
        [sys.executable, "-c", MAPPED], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_without_torch_there_is_nothing_to_read(monkeypatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    monkeypatch.setattr(libraries, "find_spec", lambda _: None)
    assert map_libraries() is None


def fail_while_paused() -> None:
    with reading_libraries():
        assert not gc.isenabled()
        assert sys.getswitchinterval() == pytest.approx(SHORT_TURN)
        raise ValueError("on purpose")


def test_garbage_is_collected_again_even_after_an_error() -> None:
    turn = sys.getswitchinterval()
    with pytest.raises(ValueError, match="on purpose"):
        fail_while_paused()
    assert gc.isenabled()
    assert sys.getswitchinterval() == turn


def test_the_last_of_two_threads_lets_garbage_be_collected() -> None:
    inside, leave = threading.Event(), threading.Event()

    def pause() -> None:
        with reading_libraries():
            inside.set()
            leave.wait(10)

    thread = threading.Thread(target=pause)
    with reading_libraries():
        thread.start()
        assert inside.wait(10)
    assert not gc.isenabled()
    leave.set()
    thread.join(10)
    assert gc.isenabled()


def test_who_switched_the_collector_off_finds_it_off() -> None:
    gc.disable()
    try:
        with reading_libraries():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
