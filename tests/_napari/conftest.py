"""A session with a predictor whose masks are known, linked to a viewer's model."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy import ndimage

TESTS = Path(__file__).parent.parent
DISC_SIDE, DISC_PITCH = 256, 64


def load_test_module(tier: str, name: str) -> ModuleType:
    """Load a helper of other tests, which are in no package."""
    path = TESTS / tier / f"{name}.py"
    spec = importlib.util.spec_from_file_location(f"{tier}_{name}", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


fakes = load_test_module("session", "fakes")


@pytest.fixture
def predictor() -> Any:
    return fakes.DiscPredictor()


@pytest.fixture
def make_link(qapp: Any, predictor: Any) -> Iterator[Callable[..., Any]]:
    """Return what links a new session to a viewer's model."""
    from napari_sam._napari.viewer_link import ViewerLink
    from napari_sam.session import Session

    made: list[Any] = []

    def make(viewer: Any, used: Any = None) -> Any:
        link = ViewerLink(viewer, Session(used or predictor))
        made.append(link)
        return link

    yield make
    for link in made:
        link.close()
        link.session.close()


@pytest.fixture(scope="session")
def discs() -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """Sixteen bright discs on a dark, noisy ground, and their labels."""
    rng = np.random.default_rng(3)
    labels = np.zeros((DISC_SIDE, DISC_SIDE), np.int32)
    rows, cols = np.ogrid[:DISC_SIDE, :DISC_SIDE]
    centres = range(40, DISC_SIDE, DISC_PITCH)
    for number, (row, col) in enumerate(
        ((row, col) for row in centres for col in centres), start=1
    ):
        radius = 14 + number % 3 * 2
        labels[(rows - row) ** 2 + (cols - col) ** 2 <= radius**2] = number
    bright = ndimage.gaussian_filter(np.where(labels > 0, 180.0, 0.0), 1.2)
    noisy = bright + 20 + rng.normal(0, 4, labels.shape)
    return noisy.clip(0, 255).astype(np.uint8), labels


@pytest.fixture
def open_viewer(make_napari_viewer_proxy: Callable[..., Any]) -> Callable[..., Any]:
    """Open a large window."""

    def make() -> Any:
        viewer = make_napari_viewer_proxy(show=True)
        viewer.window.resize(1400, 900)
        return viewer

    return make
