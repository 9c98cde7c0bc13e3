"""``napari-sam segment``, with a predictor that draws what it is asked for."""

from __future__ import annotations

import json
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest
import tifffile

from .conftest import DrawingPredictor, Run


def test_writes_labels_and_overlay(
    predictor: DrawingPredictor, run: Run, image: Path, tmp_path: Path
) -> None:
    out, overlay = tmp_path / "new" / "out.tif", tmp_path / "new" / "out.png"
    code, stdout, _ = run(
        "segment", image, "--box", "2,3,10,12", "--box", "20,30,30,50",
        "--out", out, "--overlay", overlay,
    )  # fmt: skip
    assert code == 0
    expected = np.zeros((40, 60), np.uint16)
    expected[2:10, 3:12], expected[20:30, 30:50] = 1, 2
    labels = tifffile.imread(out)
    assert labels.dtype == np.uint16
    np.testing.assert_array_equal(labels, expected)
    assert imageio.imread(overlay).shape == (40, 60, 3)
    assert str(out) in stdout and str(overlay) in stdout


def test_one_click_is_ambiguous_and_other_prompts_are_not(
    predictor: DrawingPredictor, run: Run, image: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.tif"
    run("segment", image, "--point", "8,8", "--box", "20,20,30,30", "--out", out)
    assert [multimask for _, multimask in predictor.asked] == [True, False]
    assert set(np.unique(tifffile.imread(out))) == {0, 1, 2}


def test_all_candidates_are_planes_best_first(
    predictor: DrawingPredictor, run: Run, image: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out.tif"
    code, _, _ = run(
        "segment", image, "--box", "2,3,10,12", "--multimask", "all", "--out", out
    )
    assert code == 0
    labels = tifffile.imread(out)
    assert labels.shape == (3, 40, 60)
    assert [int((plane > 0).sum()) for plane in labels] == [72, 0, 0]


def test_json_is_all_of_stdout(
    predictor: DrawingPredictor, run: Run, image: Path, tmp_path: Path
) -> None:
    code, stdout, _ = run(
        "segment", image, "--box", "2,3,10,12", "--point", "5,5", "--negative", "7,7",
        "--out", tmp_path / "out.tif", "--json",
    )  # fmt: skip
    assert code == 0
    result = json.loads(stdout)
    assert result["shape"] == [40, 60]
    assert result["checkpoint_sha256"] == "abc"
    assert result["dtype"] == "float32"
    assert set(result["seconds"]) == {"load", "encode", "decode"}
    (found,) = result["objects"]
    assert found["prompts"] == {
        "points": [[5.0, 5.0]],
        "negatives": [[7.0, 7.0]],
        "box": [2.0, 3.0, 10.0, 12.0],
        "mask": False,
    }
    assert found["candidates"][0]["box"] == [2, 3, 10, 12]


def test_label_masks_keep_their_ids(
    predictor: DrawingPredictor, run: Run, image: Path, tmp_path: Path
) -> None:
    labels = np.zeros((40, 60), np.uint16)
    labels[4:9, 4:9], labels[20:25, 40:50] = 7, 3
    mask, out = tmp_path / "mask.tif", tmp_path / "out.tif"
    tifffile.imwrite(mask, labels)
    code, _, _ = run("segment", image, "--mask", mask, "--point", "35,10", "--out", out)
    assert code == 0
    found = tifffile.imread(out)
    np.testing.assert_array_equal(found[:30], labels[:30])
    assert found[35, 10] == 1


def test_channel_axis_reaches_the_predictor(
    predictor: DrawingPredictor, run: Run, tmp_path: Path
) -> None:
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, np.zeros((12, 13, 5), np.uint16), photometric="minisblack")
    code, _, _ = run(
        "segment", path, "--channel-axis", 2, "--box", "1,1,5,5",
        "--out", tmp_path / "out.tif", "--overlay", tmp_path / "out.png",
    )  # fmt: skip
    assert code == 0
    assert predictor.channel_axis == 2
    assert imageio.imread(tmp_path / "out.png").shape == (12, 13, 3)


def test_many_objects_are_decoded_in_chunks(
    predictor: DrawingPredictor, run: Run, image: Path, tmp_path: Path
) -> None:
    points = [
        f"--point={row},{col}" for row in range(3, 38, 6) for col in range(3, 58, 6)
    ]
    out = tmp_path / "out.tif"
    code, _, _ = run("segment", image, *points, "--each-point", "--out", out)
    assert code == 0
    assert tifffile.imread(out).max() == len(points) == 60


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ([], "at least one"),
        (["--negative", "1,1"], "at least one"),
        (["--point", "1"], "is not Y,X"),
        (["--point", "a,b"], "is not Y,X"),
        (["--box", "1,2,3"], "is not Y0,X0,Y1,X1"),
        (["--point", "1,1", "--multimask", "some"], "some"),
        (["--point", "1,1", "--overlay", "x.tif"], "must end in .png"),
    ],
)
def test_wrong_usage_exits_with_2(
    run: Run, image: Path, tmp_path: Path, arguments: list[str], reason: str
) -> None:
    out = tmp_path / "out.tif"
    code, stdout, stderr = run("segment", image, "--out", out, *arguments)
    assert code == 2
    assert reason in stderr
    assert not stdout
    assert not out.exists()


def test_an_input_is_never_overwritten(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "image.tif"
    tifffile.imwrite(path, np.ones((9, 9), np.uint8))
    before = path.read_bytes()
    roundabout = tmp_path / "other" / ".." / "image.tif"
    (tmp_path / "other").mkdir()
    code, _, stderr = run("segment", path, "--point", "1,1", "--out", roundabout)
    assert code == 2
    assert "is an input" in stderr
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    ("name", "content", "reason"),
    [
        ("missing.png", None, "not there"),
        ("text.png", b"no image", "no readable image"),
        ("text.tif", b"no image", "no readable image"),
        ("empty.tif", b"", "no readable image"),
    ],
)
def test_unreadable_images_are_one_sentence(
    predictor: DrawingPredictor,
    run: Run,
    tmp_path: Path,
    name: str,
    content: bytes | None,
    reason: str,
) -> None:
    path = tmp_path / name
    if content is not None:
        path.write_bytes(content)
    code, stdout, stderr = run(
        "segment", path, "--point", "1,1", "--out", tmp_path / "out.tif", "--json"
    )
    assert code == 1
    assert not stdout
    assert stderr.startswith("Error: ") and reason in stderr
    assert len(stderr.strip().splitlines()) == 1


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        (np.ones((5, 5), np.uint8), "has the shape"),
        (np.zeros((40, 60), np.uint8), "is empty"),
        (np.linspace(0, 1, 2400, dtype=np.float32).reshape(40, 60), "neither"),
    ],
)
def test_unusable_masks_are_one_sentence(
    predictor: DrawingPredictor,
    run: Run,
    image: Path,
    tmp_path: Path,
    values: np.ndarray,
    reason: str,
) -> None:
    mask = tmp_path / "mask.tif"
    tifffile.imwrite(mask, values)
    code, _, stderr = run(
        "segment", image, "--mask", mask, "--out", tmp_path / "out.tif"
    )
    assert code == 1
    assert reason in stderr


def test_a_folder_that_cannot_be_written_is_one_sentence(
    predictor: DrawingPredictor, run: Run, image: Path
) -> None:
    out = image / "out.tif"
    code, _, stderr = run("segment", image, "--point", "9,9", "--out", out)
    assert code == 1
    assert "Cannot write" in stderr


def test_a_stack_is_told_how_to_be_one(run: Run, tmp_path: Path) -> None:
    stack = tmp_path / "stack.tif"
    tifffile.imwrite(stack, np.zeros((7, 40, 60), np.uint8))
    code, _, stderr = run(
        "segment", stack, "--point", "3,3", "--out", tmp_path / "o.tif"
    )
    assert code == 1
    assert "--axes ZYX" in stderr
    assert "--channel-axis" in stderr


def test_a_file_that_no_reader_knows_is_named(run: Run, tmp_path: Path) -> None:
    odd = tmp_path / "odd.npy"
    np.save(odd, np.zeros((4, 4)))
    code, _, stderr = run("segment", odd, "--point", "3,3", "--out", tmp_path / "o.tif")
    assert code == 1
    assert "no reader knows what it holds" in stderr


def test_sizes_that_no_object_has_are_refused(run: Run, image: Path) -> None:
    sizes = ("--min-size", "100", "--max-size", "10")
    code, _, stderr = run("segment", image, "--auto", *sizes, "--out", "o.tif")
    assert code == 2
    assert "--max-size is smaller" in stderr
