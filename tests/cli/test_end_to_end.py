"""The program with the bundled model, from image files to label files."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_sam.cli import demonstration
from napari_sam.cli.demo_prompts import centre_point, chosen_ids, tight_box
from napari_sam.geometry import mask_iou
from napari_sam.samples import load_sample

from .conftest import Run

SAMPLE = "fluorescence_nuclei"


@pytest.fixture
def truth() -> np.ndarray:
    """Labels of six nuclei near the middle of the sample."""
    labels = load_sample(SAMPLE).labels
    assert labels is not None
    return np.where(np.isin(labels, chosen_ids(labels)[:6]), labels, 0)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    """The sample as an image file."""
    path = tmp_path / "nuclei.tif"
    tifffile.imwrite(path, load_sample(SAMPLE).image)
    return path


def prompts_of(truth: np.ndarray, kind: str) -> list[str]:
    arguments = []
    for each in np.unique(truth[truth > 0]):
        mask = truth == each
        if kind == "box":
            box = tight_box(mask).box
            assert box is not None
            arguments.append(f"--box={','.join(map(str, (*box.start, *box.stop)))}")
        else:
            (point,) = centre_point(mask).points
            arguments.append(f"--point={','.join(map(str, point.position))}")
    return arguments


@pytest.mark.parametrize(("kind", "least"), [("box", 0.75), ("point", 0.55)])
def test_nuclei_are_found(
    run: Run, image: Path, truth: np.ndarray, tmp_path: Path, kind: str, least: float
) -> None:
    out = tmp_path / "out.tif"
    code, stdout, _ = run(
        "segment", image, *prompts_of(truth, kind), "--each-point", "--json",
        "--out", out, "--dtype", "float32",
    )  # fmt: skip
    assert code == 0
    result = json.loads(stdout)
    assert result["model"] == "pocket"
    assert len(result["checkpoint_sha256"]) == 64
    labels = tifffile.imread(out)
    ids = np.unique(truth[truth > 0])
    assert [each["id"] for each in result["objects"]] == list(range(1, len(ids) + 1))
    scores = [mask_iou(labels == n + 1, truth == id_) for n, id_ in enumerate(ids)]
    assert np.mean(scores) >= least


def test_points_outside_the_image_are_one_sentence(
    run: Run, image: Path, tmp_path: Path
) -> None:
    code, stdout, stderr = run(
        "segment", image, "--point", "9999,5", "--out", tmp_path / "out.tif"
    )
    assert code == 1
    assert not stdout
    assert stderr.startswith("Error: ") and "9999" in stderr


@pytest.mark.parametrize(
    ("option", "value"), [("--model", "nonsense"), ("--device", "cuda:99")]
)
def test_what_is_not_there_is_one_sentence(
    run: Run, image: Path, tmp_path: Path, option: str, value: str
) -> None:
    code, _, stderr = run(
        "segment", image, "--point", "9,5", "--out", tmp_path / "out.tif", option, value
    )
    assert code == 1
    assert value in stderr
    assert len(stderr.strip().splitlines()) == 1


def test_the_demo_segments_with_the_bundled_model(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(demonstration, "samples_with_truth", lambda: ["nuclei_volume"])
    code, stdout, _ = run("demo", "--out", tmp_path, "--json")
    assert code == 0
    (row,) = json.loads(stdout)["samples"]
    assert row["iou"]["box"] > 0.6
    assert row["iou"]["mask"] > row["mask_given_iou"]
