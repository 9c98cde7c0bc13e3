"""``napari-sam evaluate``, with a predictor that draws what it is asked for."""

from __future__ import annotations

import json
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest

from napari_sam.cli import evaluating

from .conftest import DrawingPredictor, Run


@pytest.fixture
def drawing(monkeypatch: pytest.MonkeyPatch) -> DrawingPredictor:
    """Fills boxes exactly; a 5 x 5 square on each click."""
    predictor = DrawingPredictor()
    monkeypatch.setattr(evaluating, "load_predictor", lambda _: predictor)
    return predictor


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    """Two sets of one image with two rectangles."""
    labels = np.zeros((40, 60), np.uint8)
    labels[5:10, 5:10], labels[20:30, 20:40] = 1, 2
    for name in ("cells", "grains"):
        for kind in ("images", "labels"):
            (tmp_path / "data" / name / kind).mkdir(parents=True)
            imageio.imwrite(tmp_path / "data" / name / kind / "a.png", labels)
    return tmp_path / "data"


def test_prints_a_line_for_each_set(
    drawing: DrawingPredictor, run: Run, dataset: Path, tmp_path: Path
) -> None:
    out = tmp_path / "new" / "out.json"
    code, stdout, _ = run("evaluate", dataset, "--clicks", 1, "--json", out)
    assert code == 0
    head, *lines = stdout.splitlines()
    assert [line.split()[0] for line in lines] == ["cells", "grains", "mean"]
    assert head.split()[:3] == ["set", "objects", "1"]
    content = json.loads(out.read_text())
    assert content["checkpoint"] == "abc" and content["settings"]["clicks"] == 1
    cells = content["sets"]["cells"]
    assert cells["box"]["exact"] == 1.0
    # One square is hit exactly, of the rectangle 25 of 200 pixels.
    assert cells["points"]["mean_iou"]["1"] == pytest.approx((1 + 25 / 200) / 2)


def test_only_the_protocol_asked_for_is_run(
    drawing: DrawingPredictor, run: Run, dataset: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.json"
    run("evaluate", dataset / "cells", "--protocol", "box", "--json", out)
    content = json.loads(out.read_text())
    assert "points" not in content["all_objects"]
    assert content["settings"]["protocols"] == "box"


def test_report_and_baseline_are_written(
    drawing: DrawingPredictor, run: Run, dataset: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "report"
    code, _, stderr = run(
        "evaluate", dataset / "cells", "--report", folder, "--baseline",
        "--clicks", 2, "--max-objects", 1,
    )  # fmt: skip
    assert code == 0 and str(folder / "index.html") in stderr
    content = json.loads((folder / "evaluation.json").read_text())
    assert content["baseline"]["sets"]["cells"]["objects"] == 1


def test_sets_of_one_name_are_told_apart(dataset: Path, tmp_path: Path) -> None:
    (dataset / "cells").rename(tmp_path / "grains")
    sets = evaluating.open_all([dataset, tmp_path / "grains"])
    assert [each.name for each in sets] == ["data/grains", f"{tmp_path.name}/grains"]


def test_what_cannot_be_measured_is_one_sentence(
    drawing: DrawingPredictor, run: Run, dataset: Path, tmp_path: Path
) -> None:
    code, _, stderr = run("evaluate", tmp_path / "nowhere")
    assert code == 1 and "is no data set" in stderr
    code, _, stderr = run("evaluate", dataset, dataset)
    assert code == 1 and "given twice" in stderr
    code, _, stderr = run("evaluate", dataset, "--protocol", "taste")
    assert code == 2 and "taste" in stderr
    code, _, stderr = run("evaluate", dataset, "--json", tmp_path / "figures.csv")
    assert code == 2 and ".json" in stderr
