"""In a real viewer: samples open, and a demo's results are shown."""

from __future__ import annotations

import os
import subprocess
import sys
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


# Stands for the person who looks at the window that the command opened.
LOOK = """
import sys, napari, napari.__main__ as program
from qtpy.QtWidgets import QApplication

def look(**_):
    viewer = napari.current_viewer()
    widget = next(iter(viewer.window.dock_widgets.values()))
    while not widget.session.model_is_ready or widget.session.is_busy:
        QApplication.processEvents()
    print(widget.session.model_name, widget.link.image.name, widget.link.is_active)
    widget.session.add_point((40, 40))
    while widget.session.candidates is None:
        QApplication.processEvents()
    print(bool(widget.session.candidates.mask[40, 40]))
    viewer.close()

napari.run = look
sys.argv[0] = "napari"
program.main()
"""


def test_the_command_line_opens_an_image_with_the_widget(
    discs: Any, tmp_path: Path
) -> None:
    path = tmp_path / "discs.tif"
    tifffile.imwrite(path, discs[0])
    command = [sys.executable, "-c", LOOK, str(path), "-w", "napari-sam-clip"]
    environment = {**os.environ, "XDG_CONFIG_HOME": str(tmp_path)}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=300, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["pocket", "discs", "True", "True"]
