"""``napari-sam segment --auto``: its options reach the search."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile

from napari_sam.cli import automatic_segmenting
from napari_sam.inference import automatic
from napari_sam.inference.automatic import AutomaticResult
from napari_sam.inference.instances import InstanceSettings
from napari_sam.structures import MaskRecord

from .conftest import DrawingPredictor, Run


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """Put two fixed objects in the place of the search; return what it is asked."""
    calls: list[dict[str, Any]] = []

    def search(predictor: DrawingPredictor, **settings: Any) -> AutomaticResult:
        calls.append(settings)
        labels = np.zeros(predictor.embedding.image_shape, np.int32)
        labels[2:8, 3:9], labels[20:30, 30:50] = 1, 2
        records = [
            MaskRecord(np.ones((6, 6), bool), (2, 3), 0.9, 0.8),
            MaskRecord(np.ones((10, 20), bool), (20, 30), 0.7, 0.6),
        ]
        return AutomaticResult(labels, records)

    monkeypatch.setattr(automatic, "segment_everything", search)
    monkeypatch.setattr(
        automatic_segmenting, "load_predictor", lambda *_: DrawingPredictor()
    )
    return calls


def test_writes_labels_table_and_overlay(
    asked: list[dict[str, Any]], run: Run, image: Path, tmp_path: Path
) -> None:
    out, table, overlay = (tmp_path / f"out.{kind}" for kind in ("tif", "csv", "png"))
    code, stdout, _ = run(
        "segment", image, "--auto", "--out", out, "--table", table,
        "--overlay", overlay, "--json",
    )  # fmt: skip
    assert code == 0
    assert json.loads(stdout)["objects"] == 2
    labels = tifffile.imread(out)
    assert np.count_nonzero(labels == 1) == 36
    assert np.count_nonzero(labels == 2) == 200
    assert len(table.read_text().splitlines()) == 3
    assert overlay.exists()
    (call,) = asked
    assert call["method"] == "dense"
    assert call["settings"] == InstanceSettings()
    assert call["finder"] is None


def test_options_reach_the_search(
    asked: list[dict[str, Any]], run: Run, image: Path, tmp_path: Path
) -> None:
    code, _, _ = run(
        "segment", image, "--auto", "--method", "grid", "--min-size", 40,
        "--max-size", 900, "--no-border", "--keep-holes", "--out", tmp_path / "o.tif",
    )  # fmt: skip
    assert code == 0
    (call,) = asked
    assert call["method"] == "grid"
    assert call["settings"] == InstanceSettings(40, 900, False, False)


def test_prompts_are_refused(run: Run, image: Path, tmp_path: Path) -> None:
    code, _, stderr = run(
        "segment", image, "--auto", "--point", "3,3", "--out", tmp_path / "o.tif"
    )
    assert code == 2
    assert "takes no prompts" in stderr
