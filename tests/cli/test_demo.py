"""``napari-sam demo``, with a predictor that draws what it is asked for."""

from __future__ import annotations

import json
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest

from napari_sam.cli import screen
from napari_sam.cli.demo_prompts import (
    MAX_OBJECTS,
    MIN_AREA,
    centre_point,
    chosen_ids,
    rough_mask,
    tight_box,
)
from napari_sam.cli.demonstration import demo_plane, samples_with_truth
from napari_sam.errors import NapariSamError
from napari_sam.export import LabelsTiff
from napari_sam.geometry import mask_iou
from napari_sam.samples import load_sample

from .conftest import DrawingPredictor, Run


def test_figures_and_files_agree(
    predictor: DrawingPredictor, run: Run, tmp_path: Path
) -> None:
    code, stdout, _ = run("demo", "--out", tmp_path, "--no-viewer", "--json")
    assert code == 0
    rows = json.loads(stdout)["samples"]
    assert [row["sample"] for row in rows] == samples_with_truth()
    for row in rows:
        # The predictor gives a mask back as it is, and fills a box.
        assert row["iou"]["mask"] == row["mask_given_iou"]
        assert 0.1 < row["iou"]["box"] < 1
        labels = LabelsTiff().read(tmp_path / f"{row['sample']}_box.tif")
        assert 0 < len(np.unique(labels)) - 1 <= row["objects"] <= MAX_OBJECTS
        picture = imageio.imread(tmp_path / f"{row['sample']}_mask.png")
        assert picture.shape == (*labels.shape, 3)
        assert (
            imageio.imread(tmp_path / f"{row['sample']}.tif").shape[:2] == labels.shape
        )
    assert imageio.imread(tmp_path / "overview.png").std() > 10


def test_the_table_has_a_line_for_each_sample(
    predictor: DrawingPredictor, run: Run, tmp_path: Path
) -> None:
    code, stdout, _ = run("demo", "--out", tmp_path)
    assert code == 0
    for name in samples_with_truth():
        assert name in stdout
    assert "overview.png" in stdout


def test_a_folder_that_is_a_file_is_one_sentence(
    predictor: DrawingPredictor, run: Run, tmp_path: Path
) -> None:
    path = tmp_path / "file"
    path.write_text("in the way")
    code, _, stderr = run("demo", "--out", path, "--no-viewer")
    assert code == 1
    assert "Cannot write" in stderr


@pytest.mark.parametrize("name", samples_with_truth())
def test_prompts_show_their_object(name: str) -> None:
    labels = demo_plane(load_sample(name)).labels
    ids = chosen_ids(labels)
    assert 0 < len(ids) <= MAX_OBJECTS
    for each in ids:
        truth = labels == each
        assert truth.sum() >= MIN_AREA
        (point,) = centre_point(truth).points
        assert truth[tuple(int(side) for side in point.position)]
        box = tight_box(truth).box
        rough = rough_mask(truth).mask
        assert box is not None and rough is not None
        (top, left), (bottom, right) = box.start, box.stop
        inside = np.zeros_like(truth)
        inside[int(top) : int(bottom), int(left) : int(right)] = True
        assert inside[truth].all()
        assert rough.values[truth].all()
        assert mask_iou(rough.values, truth) < 0.95


def test_no_objects_no_ids() -> None:
    assert chosen_ids(np.zeros((8, 8), int)) == []


@pytest.mark.parametrize(
    ("asked", "installed", "display", "terminal", "opens"),
    [
        (None, True, ":0", True, True),
        (None, True, "", True, False),
        (None, True, ":0", False, False),
        (None, False, ":0", True, False),
        (False, True, ":0", True, False),
        (True, True, "", False, True),
    ],
)
def test_when_the_viewer_opens(
    monkeypatch: pytest.MonkeyPatch,
    asked: bool | None,
    installed: bool,
    display: str,
    terminal: bool,
    opens: bool,
) -> None:
    monkeypatch.setattr(screen, "find_spec", lambda _: installed or None)
    monkeypatch.setattr("sys.platform", "linux")
    monkeypatch.setenv("DISPLAY", display)
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    monkeypatch.setattr("sys.stdout.isatty", lambda: terminal, raising=False)
    assert screen.wants_viewer(asked) is opens


def test_asking_for_a_viewer_that_is_missing_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(screen, "find_spec", lambda _: None)
    with pytest.raises(NapariSamError, match="pip install"):
        screen.wants_viewer(True)


def test_a_viewer_that_fails_is_one_sentence(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(screen.sys, "executable", "false")
    with pytest.raises(NapariSamError, match="could not be opened"):
        screen.show_demo(tmp_path)
