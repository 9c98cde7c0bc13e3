"""Importing the package is cheap, and its public names exist."""

from __future__ import annotations

import subprocess
import sys

import pytest

import napari_sam

HEAVY = ("torch", "timm", "open_clip", "napari", "qtpy", "scipy", "skimage")


def loaded_modules(statement: str) -> set[str]:
    """Return what a fresh interpreter has imported after a statement."""
    code = f"import sys; {statement}; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    return set(done.stdout.split())


def test_import_loads_nothing_heavy() -> None:
    assert loaded_modules("import napari_sam").isdisjoint({*HEAVY, "numpy"})


@pytest.mark.parametrize(
    "module", ["structures", "errors", "geometry", "nn.registry", "inference.framing"]
)
def test_light_modules_load_no_torch(module: str) -> None:
    loaded = loaded_modules(f"import napari_sam.{module}")
    assert loaded.isdisjoint({"torch", "timm", "open_clip", "napari", "qtpy"})


# What a click on the bundled model's first image does without.
NOT_FOR_A_CLICK = ("open_clip", "torchvision", "skimage", "scipy.sparse", "tifffile")
FIRST_CLICK = """
import numpy
from napari_sam.session import Session
session = Session("pocket")
session.set_image(numpy.random.default_rng(0).integers(0, 99, (64, 64), numpy.uint8))
session.add_point((30, 30))
assert session.candidates is not None
"""


def test_the_first_click_waits_for_no_library_that_it_does_without() -> None:
    loaded = loaded_modules(f"exec({FIRST_CLICK!r})")
    assert "torch" in loaded
    assert loaded.isdisjoint(NOT_FOR_A_CLICK)


@pytest.mark.parametrize("name", napari_sam.__all__)
def test_public_name_resolves(name: str) -> None:
    assert getattr(napari_sam, name)
    assert name in dir(napari_sam)


def test_version_is_the_distribution_s() -> None:
    assert napari_sam.__version__.split(".")[0].isdigit()


def test_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = napari_sam.nonsense
