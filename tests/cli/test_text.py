"""Words on the command line, from the picture to the table."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest
import tifffile

from napari_sam.cli.outputs import read_pixel_size
from napari_sam.export import get_exporter
from napari_sam.synthetic import SCENES

from .conftest import Run


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A picture of nuclei whose pixels measure half a micrometre."""
    scene = SCENES["fluorescence_nuclei"](np.random.default_rng(5), (128, 128))
    folder = tmp_path_factory.mktemp("nuclei")
    path = folder / "nuclei.tif"
    tifffile.imwrite(
        path, scene.image, imagej=True, resolution=(2, 2), metadata={"unit": "um"}
    )
    tifffile.imwrite(folder / "truth.tif", scene.labels.astype(np.uint16))
    return path


def test_words_write_labels_and_a_table(
    run: Run, picture: Path, tmp_path: Path
) -> None:
    out, table = tmp_path / "out.tif", tmp_path / "out.csv"
    code, stdout, _ = run(
        "segment", picture, "--text", "nuclei", "--text", "worms",
        "--out", out, "--table", table, "--json",
    )  # fmt: skip
    assert code == 0
    result = json.loads(stdout)
    assert result["classes"] == ["nuclei", "worms"]
    labels = tifffile.imread(out)
    assert labels.max() == len(result["objects"]) > 0
    with table.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == labels.max()
    pixels, physical = float(rows[0]["area_px"]), float(rows[0]["area_um2"])
    assert physical == pytest.approx(pixels / 4)


@pytest.mark.parametrize("kind", ["coco", "sa1b"])
def test_other_formats_read_back(
    kind: str, run: Run, picture: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.json"
    code, _, _ = run(
        "segment", picture, "--text", "nuclei", "--format", kind, "--out", out
    )
    assert code == 0
    assert get_exporter(kind).read(out).max() > 0


def test_examples_become_a_concept_that_finds_alike(
    run: Run, picture: Path, tmp_path: Path
) -> None:
    truth = tifffile.imread(picture.parent / "truth.tif")
    first = tmp_path / "first.tif"
    tifffile.imwrite(first, (truth == truth[truth > 0][0]).astype(np.uint8))
    out = tmp_path / "out.tif"
    code, _, _ = run(
        "segment", picture, "--like", first, "--text-threshold", "0.2",
        "--save-concept", "my nuclei", "--out", out,
    )  # fmt: skip
    assert code == 0
    found = tifffile.imread(out).max()
    code, _, _ = run("segment", picture, "--concept", "my nuclei", "--out", out)
    assert code == 0
    assert tifffile.imread(out).max() == found
    code, _, stderr = run("segment", picture, "--concept", "other", "--out", out)
    assert code == 1 and "my nuclei" in stderr


def test_what_is_not_there_is_said(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "black.png"
    imageio.imwrite(path, np.zeros((64, 64), np.uint8))
    code, stdout, _ = run(
        "segment", path, "--text", "worms", "--out", tmp_path / "out.tif"
    )
    assert code == 0 and "Found no worms." in stdout


def test_a_word_names_what_a_click_shows(
    run: Run, picture: Path, tmp_path: Path
) -> None:
    truth = tifffile.imread(picture.parent / "truth.tif")
    row, col = np.argwhere(truth == np.bincount(truth[truth > 0]).argmax()).mean(0)
    out, table = tmp_path / "out.tif", tmp_path / "out.csv"
    code, stdout, _ = run(
        "segment", picture, "--text", "blobs: nucleus", "--point", f"{row},{col}",
        "--out", out, "--table", table, "--json",
    )  # fmt: skip
    assert code == 0
    assert len(json.loads(stdout)["objects"]) == 1
    assert tifffile.imread(out)[int(row), int(col)] == 1
    with table.open(encoding="utf-8") as file:
        assert [each["class"] for each in csv.DictReader(file)] == ["blobs"]


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--text", "left nucleus", "--point", "9,9"), "draw a box"),
        (("--text", "left nucleus"), "draw a box"),
        (("--text", "nuclei", "--clip", "nonsense"), "There is no CLIP"),
        (("--text", "nuclei", "--clip", "ViT-B-32:/none.pt"), "There is no file"),
        (("--text", "nuclei", "--clip", "ViT-B-32:nonsense"), "has no weights"),
        (("--text", "nuclei", "--clip", "ViT-B-33:openai"), "did you mean"),
    ],
)
def test_what_cannot_be_used_is_one_sentence(
    arguments: tuple[str, ...], reason: str, run: Run, picture: Path, tmp_path: Path
) -> None:
    code, _, stderr = run("segment", picture, *arguments, "--out", tmp_path / "o.tif")
    assert code == 1 and reason in stderr
    assert "Traceback" not in stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("--text", "nuclei", "--text", "cells", "--point", "3,3", "--out", "o.tif"),
        ("--like", "a.tif", "--text", "cells", "--point", "3,3", "--out", "o.tif"),
        ("--text", "nuclei", "--format", "coco", "--out", "o.tif"),
        ("--text", "nuclei", "--table", "o.txt", "--out", "o.tif"),
    ],
)
def test_wrong_usage(arguments: tuple[str, ...], run: Run, picture: Path) -> None:
    assert run("segment", picture, *arguments)[0] == 2


def test_pixel_sizes_are_read_where_they_are_told(
    picture: Path, tmp_path: Path
) -> None:
    size = read_pixel_size(picture)
    assert size is not None and size.row == pytest.approx(0.5)
    plain = tmp_path / "plain.tif"
    tifffile.imwrite(plain, np.zeros((4, 4), np.uint8))
    assert read_pixel_size(plain) is None
    ome = tmp_path / "some.ome.tif"
    tifffile.imwrite(
        ome,
        np.zeros((4, 4), np.uint8),
        metadata={
            "axes": "YX",
            "PhysicalSizeX": 250.0,
            "PhysicalSizeXUnit": "nm",
            "PhysicalSizeY": 0.5,
            "PhysicalSizeYUnit": "µm",
        },
    )
    size = read_pixel_size(ome)
    assert size is not None
    assert (size.row, size.col) == pytest.approx((0.5, 0.25))
