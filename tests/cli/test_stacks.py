from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_sam.cli.stacks import read_stack, write_stack
from napari_sam.errors import ImageError

SPACING = {"Z": 0.5, "Y": 0.2, "X": 0.1}


@pytest.mark.parametrize("highest", [300, 70000])
def test_axes_and_voxel_sizes_survive(tmp_path: Path, highest: int) -> None:
    labels = np.zeros((4, 8, 9), np.int32)
    labels[1:3, 2:5, 2:5] = highest
    write_stack(tmp_path / "labels.tif", labels, "ZYX", SPACING)
    stack = read_stack(tmp_path / "labels.tif")
    assert stack.axes == "ZYX"
    np.testing.assert_array_equal(np.asarray(stack.image), labels)
    assert stack.voxel("ZYX") == pytest.approx((0.5, 0.2, 0.1), rel=1e-4)


def test_time_is_kept_and_axes_are_put_in_order(tmp_path: Path) -> None:
    labels = np.arange(3 * 5 * 8 * 9).reshape(5, 3, 8, 9) % 7
    write_stack(tmp_path / "movie.tif", labels, "ZTYX", {**SPACING, "T": 30.0})
    stack = read_stack(tmp_path / "movie.tif")
    assert stack.axes == "TZYX"
    np.testing.assert_array_equal(np.asarray(stack.image), labels.swapaxes(0, 1))
    assert stack.spacing["T"] == pytest.approx(30)


def test_a_plain_stack_needs_axes_and_is_not_read_whole(tmp_path: Path) -> None:
    path = tmp_path / "plain.tif"
    tifffile.imwrite(path, np.zeros((4, 8, 9), np.uint16), photometric="minisblack")
    with pytest.raises(ImageError, match="--axes"):
        read_stack(path)
    stack = read_stack(path, "zyx")
    assert stack.axes == "ZYX"
    assert isinstance(stack.image, np.memmap)
    assert stack.voxel("ZYX") is None


def test_channels_are_told_apart(tmp_path: Path) -> None:
    path = tmp_path / "colour.tif"
    image = np.zeros((4, 8, 9, 3), np.uint8)
    tifffile.imwrite(path, image, photometric="rgb")
    stack = read_stack(path, "TYXS")
    assert stack.channel_axis == 3
    assert stack.spatial_axes == "TYX"


@pytest.mark.parametrize(
    ("axes", "words"),
    [
        ("ZY", "fit"),
        ("ZZYX", "fit"),
        ("ZTC", "Y and X"),
        ("QQQ", "^Q in --axes QQQ is no axis"),
        ("ZYW", "^W in --axes ZYW is no axis"),
    ],
)
def test_axes_that_do_not_fit_are_refused(
    tmp_path: Path, axes: str, words: str
) -> None:
    path = tmp_path / "plain.tif"
    tifffile.imwrite(path, np.zeros((4, 8, 9), np.uint16), photometric="minisblack")
    with pytest.raises(ImageError, match=words):
        read_stack(path, axes)


def test_sizes_of_an_ome_file_are_read_in_their_units(tmp_path: Path) -> None:
    path = tmp_path / "stack.ome.tif"
    sizes = {"PhysicalSizeX": 250.0, "PhysicalSizeXUnit": "nm"}
    sizes |= {"PhysicalSizeY": 0.25, "PhysicalSizeYUnit": "µm"}
    sizes |= {"PhysicalSizeZ": 0.002, "PhysicalSizeZUnit": "mm", "TimeIncrement": 30.0}
    image = np.zeros((2, 3, 16, 18), np.uint8)
    tifffile.imwrite(path, image, ome=True, metadata={"axes": "TZYX", **sizes})
    stack = read_stack(path)
    assert stack.axes == "TZYX"
    assert stack.spacing == pytest.approx({"Z": 2.0, "Y": 0.25, "X": 0.25, "T": 30.0})


def test_ids_that_need_ome_are_written_with_their_sizes(tmp_path: Path) -> None:
    path = tmp_path / "labels.tif"
    labels = np.full((2, 9, 8), 70_000)
    write_stack(path, labels, "ZYX", {"Z": 1.5, "Y": 0.5, "X": 0.25})
    with tifffile.TiffFile(path) as file:
        assert file.is_ome
        assert 'PhysicalSizeZ="1.5"' in str(file.ome_metadata)
    stack = read_stack(path)
    assert stack.voxel("ZYX") == (1.5, 0.5, 0.25)
    np.testing.assert_array_equal(np.asarray(stack.image), labels)
