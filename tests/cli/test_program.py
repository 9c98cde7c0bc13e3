"""The program as a whole: start-up, exit codes, version, the rival distribution."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import PackageNotFoundError
from types import SimpleNamespace

import pytest

from napari_sam import conflict
from napari_sam.cli import main, program
from napari_sam.errors import ModelError

from .conftest import Run

HEAVY = {"torch", "numpy", "scipy", "skimage", "tifffile", "napari", "qtpy"}


@pytest.mark.parametrize(
    "arguments",
    [["--help"], *([each, "--help"] for each in ("segment", "models", "train"))],
)
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys; from napari_sam.cli import main; status = main(sys.argv[1:]);"
        " print(*sys.modules, file=sys.stderr); sys.exit(status)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "Usage" in done.stdout
    assert HEAVY.isdisjoint(done.stderr.split())


@pytest.mark.parametrize("command", ["segment", "models", "demo", "info", "train"])
def test_help_names_every_command(run: Run, command: str) -> None:
    code, stdout, _ = run("--help")
    assert code == 0
    assert f"  {command} " in stdout


def test_version(run: Run) -> None:
    code, stdout, _ = run("--version")
    assert code == 0
    assert stdout.startswith("napari-sam-clip 0.")


def test_unknown_command_is_wrong_usage(run: Run) -> None:
    code, _, stderr = run("segmant")
    assert code == 2
    assert "segmant" in stderr


class OutOfMemoryError(RuntimeError):
    """As torch names it."""


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (ModelError("No such model."), "Error: No such model."),
        (MemoryError(), "Not enough memory"),
        (OutOfMemoryError("CUDA out of memory"), "--device cpu"),
    ],
)
def test_errors_are_sentences(
    monkeypatch: pytest.MonkeyPatch, run: Run, error: Exception, words: str
) -> None:
    def fail(**_: object) -> None:
        raise error

    monkeypatch.setattr(program, "app", fail)
    code, stdout, stderr = run("info")
    assert code == 1
    assert words in stderr
    assert not stdout


def test_a_defect_of_ours_is_not_hidden(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(**_: object) -> None:
        raise RuntimeError("a defect")

    monkeypatch.setattr(program, "app", fail)
    with pytest.raises(RuntimeError, match="a defect"):
        main(["info"])


def test_the_rival_distribution_is_named(
    monkeypatch: pytest.MonkeyPatch, run: Run
) -> None:
    monkeypatch.setattr(
        conflict, "distribution", lambda name: SimpleNamespace(version="0.4.13")
    )
    code, _, stderr = run("models", "path")
    assert code == 0
    assert "pip uninstall napari-sam'" in stderr


def test_no_rival_no_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise PackageNotFoundError(name)

    monkeypatch.setattr(conflict, "distribution", missing)
    assert conflict.rival_warning() is None
