"""In a real viewer: samples open, and a demo's results are shown."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_sam._napari.show_demo import KINDS, add_results

pytestmark = pytest.mark.viewer

MakeViewer = Callable[..., Any]


@pytest.mark.parametrize(
    ("key", "types"),
    [
        ("fluorescence_nuclei", ["image", "labels"]),
        ("blood_smear", ["image", "labels", "labels"]),
        ("nuclei_volume", ["image", "labels"]),
        ("coins", ["image"]),
    ],
)
def test_sample_opens(
    make_napari_viewer_proxy: MakeViewer, key: str, types: list[str]
) -> None:
    viewer = make_napari_viewer_proxy(show=True)
    viewer.open_sample("napari-sam-clip", key)
    assert [layer._type_string for layer in viewer.layers] == types
    shown = viewer.screenshot(canvas_only=True, flash=False)
    assert shown[..., :3].std() > 1


def test_demo_results_are_laid_out(
    make_napari_viewer_proxy: MakeViewer, tmp_path: Path
) -> None:
    shapes = {"cells": (20, 30), "colour": (24, 24, 3)}
    for name, shape in shapes.items():
        tifffile.imwrite(tmp_path / f"{name}.tif", np.ones(shape, np.uint8))
        for kind in KINDS:
            labels = np.full(shape[:2], 5, np.uint16)
            tifffile.imwrite(tmp_path / f"{name}_{kind}.tif", labels)
    viewer = make_napari_viewer_proxy()
    add_results(viewer, tmp_path)
    assert len(viewer.layers) == len(shapes) * (1 + len(KINDS))
    assert viewer.layers["colour"].rgb
    assert [layer.name for layer in viewer.layers if not layer.visible] == [
        f"{name} {kind}" for name in shapes for kind in ("point", "mask")
    ]
    first, second = viewer.layers["cells"], viewer.layers["colour box"]
    assert second.translate[1] - first.translate[1] > 30
