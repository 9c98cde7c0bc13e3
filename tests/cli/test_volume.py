from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_sam.cli import main
from napari_sam.cli.options import Box, Point, parse_box, parse_point
from napari_sam.cli.stacks import read_stack, write_stack
from napari_sam.cli.volume_segmenting import VolumeJob, stack_prompts
from napari_sam.errors import PromptError
from napari_sam.export.tracks import read_tracks
from napari_sam.samples import load_sample


def write_discs(path: Path, frames: int = 5) -> np.ndarray:
    """A stack of two bright discs that hardly move, with voxel sizes."""
    rows, cols = np.mgrid[:96, :96]
    labels = np.zeros((frames, 96, 96), np.int32)
    for frame in range(frames):
        labels[frame][(rows - 30) ** 2 + (cols - 30 - frame) ** 2 < 12**2] = 1
        labels[frame][(rows - 66) ** 2 + (cols - 64) ** 2 < 13**2] = 2
    noise = np.random.default_rng(0).normal(300, 20, labels.shape)
    image = (noise + 900 * (labels > 0)).astype(np.uint16)
    tifffile.imwrite(
        path,
        image,
        imagej=True,
        resolution=(10, 10),
        metadata={"axes": "ZYX", "spacing": 0.3, "unit": "um"},
    )
    return labels


def iou(mask: np.ndarray, other: np.ndarray) -> float:
    return float((mask & other).sum() / (mask | other).sum())


def test_a_click_fills_a_stack_that_keeps_its_scale(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = write_discs(tmp_path / "stack.tif")
    out, table = tmp_path / "labels.tif", tmp_path / "table.csv"
    code = main(
        f"segment {tmp_path}/stack.tif --axes auto --point 2,30,32 --point 2,66,64 "
        f"--each-point --propagate --out {out} --table {table} --json".split()
    )
    assert code == 0
    written = read_stack(out)
    assert written.axes == "ZYX"
    assert written.voxel("ZYX") == pytest.approx((0.3, 0.1, 0.1), rel=1e-3)
    found = np.asarray(written.image)
    for number in (1, 2):
        assert iou(found == number, labels == number) > 0.7
    described = json.loads(capsys.readouterr().out)
    assert [each["slices"] for each in described["objects"]] == [[0, 4], [0, 4]]
    rows = table.read_text().splitlines()
    assert "volume_um3" in rows[0]
    voxels, volume = (float(cell) for cell in rows[1].split(",")[1:3])
    assert volume == pytest.approx(voxels * 0.003, rel=1e-3)


def test_a_movie_becomes_tracks(tmp_path: Path) -> None:
    pytest.importorskip("laptrack")
    labels = write_discs(tmp_path / "movie.tif", 3)
    code = main(
        f"track {tmp_path}/movie.tif --axes TYX --auto --out {tmp_path}/RES".split()
    )
    assert code == 0
    found, rows = read_tracks(tmp_path / "RES")
    assert len(found) == 3
    for number in (1, 2):
        ids = [found[frame][labels[frame] == number] for frame in range(3)]
        common = {int(np.bincount(each).argmax()) for each in ids}
        assert len(common) == 1
        assert common <= {row[0] for row in rows}


def test_words_name_the_objects_of_a_stack(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tifffile.imwrite(tmp_path / "stack.tif", load_sample("nuclei_volume").image[8:12])
    out, table = tmp_path / "labels.tif", tmp_path / "table.csv"
    asked = f"segment {tmp_path}/stack.tif --axes ZYX --out {out} --table {table}"
    assert main([*asked.split(), "--text", "nuclei", "--text", "worms"]) == 0
    with table.open(newline="") as file:
        rows = list(csv.DictReader(file))
    told = capsys.readouterr().out
    assert rows and f"Found {len(rows)} nuclei. Found no worms." in told
    assert {row["class"] for row in rows} == {"nuclei"}
    assert all(0.5 < float(row["text_score"]) <= 1 for row in rows)
    assert main([*asked.split(), "--text", "worms"]) == 0
    told = capsys.readouterr().out
    assert "Found no worms. What is here looks like nuclei." in told
    assert not tifffile.imread(out).any()


def test_a_stack_keeps_objects_of_the_sizes_asked_for(tmp_path: Path) -> None:
    labels = write_discs(tmp_path / "stack.tif")
    out = tmp_path / "labels.tif"
    asked = f"segment {tmp_path}/stack.tif --axes ZYX --auto --out {out}".split()
    sizes = np.bincount(labels.ravel())[1:]
    between = str(sizes.mean())
    for option, kept in (("--min-size", 2), ("--max-size", 1)):
        assert main([*asked, option, between]) == 0
        found = tifffile.imread(out)
        assert found.max() == 1
        assert iou(found == 1, labels == kept) > 0.7
    image = tifffile.imread(tmp_path / "stack.tif")
    tifffile.imwrite(tmp_path / "stack.tif", image[:, 26:])
    assert main([*asked, "--no-border"]) == 0
    found = tifffile.imread(out)
    assert found.max() == 1
    assert iou(found == 1, labels[:, 26:] == 2) > 0.7


@pytest.mark.parametrize("axes", ["TYX", "TZYX"])
def test_a_movie_without_what_words_name_says_what_is_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], axes: str
) -> None:
    pytest.importorskip("laptrack")
    frames = load_sample("nuclei_volume").image[8:11]
    if axes == "TZYX":
        frames = np.stack([frames, frames])
    tifffile.imwrite(tmp_path / "frames.tif", frames)
    asked = f"track {tmp_path}/frames.tif --axes {axes} --out {tmp_path}/RES"
    assert main([*asked.split(), "--text", "worms"]) == 1
    told = " ".join(capsys.readouterr().err.split())
    assert "Found no worms. What is here looks like nuclei. Use another word" in told
    assert not (tmp_path / "RES").exists()


def test_prompts_name_their_slice() -> None:
    assert parse_point("3,4,5") == Point(4, 5, 3)
    assert parse_box("1,2,3,4,5") == Box(2, 3, 4, 5, 1)
    job = VolumeJob(
        Path("a"),
        Path("b"),
        points=(Point(4, 5, 3), Point(6, 7, 8)),
        negatives=(Point(1, 1, 3),),
        boxes=(Box(2, 3, 4, 5, 1),),
    )
    prompts = stack_prompts(job)
    assert {n: sorted(each) for n, each in prompts.items()} == {1: [3, 8], 2: [1]}
    assert [each.positive for each in prompts[1][3].points] == [True, False]
    assert len(prompts[1][8].points) == 1
    with pytest.raises(PromptError, match="Z,Y,X"):
        stack_prompts(VolumeJob(Path("a"), Path("b"), points=(Point(4, 5),)))


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ("--point 1,2,3", 2, "--axes"),
        ("--point 1,2 --axes ZYX", 1, "Z,Y,X"),
        ("--point 9,2,2 --axes ZYX", 1, "0 to 4"),
        ("--point 1,2,2 --axes YX", 1, "axes"),
        ("--point 1,2,2 --axes ZYX --overlay a.png", 2, "stack"),
        ("--point 1,2,2 --axes ZYX --three-axes", 2, "--auto"),
        ("--point 1,2,2 --text nuclei --axes ZYX", 2, "not both"),
        ("--auto --axes ZYX --channel-axis 0", 2, "letter C"),
        ("--auto --axes ZYX --keep-holes", 2, "A stack takes"),
        ("--point 1,2,2 --axes ZYX --multimask all", 2, "A stack takes"),
        ("--text nuclei --axes ZYX --save-concept mine", 2, "A stack takes"),
        ("--auto --axes ZYX --method grid --decoder no.pt", 1, "no.pt"),
        ("--auto --three-axes", 2, "--axes"),
        ("--auto --axes TYX --three-axes", 1, "ZYX only"),
    ],
)
def test_what_does_not_fit_is_refused(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    options: str,
    code: int,
    words: str,
) -> None:
    write_discs(tmp_path / "stack.tif")
    said = main(
        f"segment {tmp_path}/stack.tif --out {tmp_path}/out.tif {options}".split()
    )
    assert said == code
    assert words in " ".join(capsys.readouterr().err.replace("│", " ").split())


def test_an_empty_movie_has_nothing_to_track(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tifffile.imwrite(tmp_path / "dark.tif", np.zeros((2, 64, 64), np.uint8))
    asked = f"track {tmp_path}/dark.tif --axes TYX --auto --out {tmp_path}/RES"
    assert main(asked.split()) == 1
    told = " ".join(capsys.readouterr().err.split())
    assert "shows no object: there is nothing to track" in told


def test_a_still_picture_is_no_movie(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_stack(tmp_path / "a.tif", np.zeros((8, 9), int), "YX", {})
    assert main(f"track {tmp_path}/a.tif --auto --out {tmp_path}/r".split()) == 1
    assert "TYX" in capsys.readouterr().err
    assert main(f"track {tmp_path}/a.tif --out {tmp_path}/r".split()) == 2
