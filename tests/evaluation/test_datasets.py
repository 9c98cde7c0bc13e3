from __future__ import annotations

import json
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest
import tifffile

from napari_sam.errors import DataError
from napari_sam.evaluation.coco import decode_segmentation, unpack_counts
from napari_sam.evaluation.datasets import FilePair, label_targets, open_datasets

from .conftest import grid_labels, write_set

# Packed by pycocotools 2.0.11: a 5 x 4 block at (2, 1) with a hole at (4, 3).
PACKED = {"size": [9, 7], "counts": ";5400MM033`0"}


def block() -> np.ndarray:
    mask = np.zeros((9, 7), bool)
    mask[2:7, 1:5] = True
    mask[4, 3] = False
    return mask


def test_a_folder_gives_its_labelled_images(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "cells", images=2)
    (folder / "images" / "extra.png").write_bytes(b"never read")
    [found] = open_datasets(folder)
    images = list(found)
    assert (found.name, len(found), found.unlabelled) == ("cells", 2, 1)
    assert [image.name for image in images] == ["field0", "field1"]
    assert images[0].channel_axis is None
    np.testing.assert_array_equal(images[0].labels(), grid_labels(2, 3))


def test_a_folder_of_folders_gives_a_set_each(tmp_path: Path) -> None:
    for name in ("b", "a"):
        write_set(tmp_path / name)
    (tmp_path / "notes").mkdir()
    assert [each.name for each in open_datasets(tmp_path)] == ["a", "b"]


def test_targets_are_cut_to_their_boxes() -> None:
    labels = np.zeros((10, 12), np.uint16)
    labels[2:5, 3:7], labels[8, 11] = 700, 3
    single, wide = label_targets(labels)
    assert (single.identifier, single.origin, single.area) == (3, (8, 11), 1)
    assert (wide.identifier, wide.origin, wide.mask.shape) == (700, (2, 3), (3, 4))
    np.testing.assert_array_equal(wide.full((10, 12)), labels == 700)
    half = np.zeros((10, 12), bool)
    half[2:5, 3:5] = True
    half[0, 0] = True
    assert wide.iou(half) == pytest.approx(6 / 13)


def test_stacks_give_evenly_spread_slices(tmp_path: Path) -> None:
    labels = np.stack([np.full((6, 5), z, np.uint16) for z in range(20)])
    image = np.repeat(labels[..., None], 3, axis=-1).astype(np.uint8)
    for kind, array in (("images", image), ("labels", labels)):
        (tmp_path / kind).mkdir()
        tifffile.imwrite(tmp_path / kind / "stack.tif", array)
    [found] = open_datasets(tmp_path, max_slices=4)
    slices = list(found)
    assert [each.name for each in slices] == [f"stack[{z}]" for z in (2, 7, 12, 17)]
    assert all(each.channel_axis == 2 and each.shape == (6, 5) for each in slices)
    assert [each.image[0, 0, 0] for each in slices] == [2, 7, 12, 17]


def test_limited_sets_are_spread_over_the_files(tmp_path: Path) -> None:
    [found] = open_datasets(write_set(tmp_path / "cells", images=6))
    names = [image.name for image in found.limited(2)]
    assert names == ["field1", "field4"]


@pytest.mark.parametrize(
    ("image", "axis"),
    [((6, 5), None), ((6, 5, 3), 2), ((2, 6, 5), 0)],
    ids=["grey", "channels last", "channels first"],
)
def test_the_labels_tell_where_the_channels_are(
    tmp_path: Path, image: tuple[int, ...], axis: int | None
) -> None:
    tifffile.imwrite(tmp_path / "image.tif", np.zeros(image, np.float32))
    np.save(tmp_path / "labels.npy", np.ones((6, 5)))
    pair = FilePair(tmp_path / "image.tif", tmp_path / "labels.npy")
    [read] = pair.read()
    assert (read.channel_axis, read.shape) == (axis, (6, 5))
    assert [target.area for target in read.targets] == [30]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        (np.zeros((6, 6), int), "as large as the image"),
        (np.full((6, 5), 0.5), "whole numbers"),
        (np.zeros((6, 5, 3), int), "as large as the image"),
    ],
)
def test_labels_that_do_not_fit_are_refused(
    tmp_path: Path, labels: np.ndarray, message: str
) -> None:
    np.save(tmp_path / "image.npy", np.zeros((6, 5)))
    np.save(tmp_path / "labels.npy", labels)
    with pytest.raises(DataError, match=message):
        list(FilePair(tmp_path / "image.npy", tmp_path / "labels.npy").read())


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "cells")
    (folder / "images" / "field0.png").write_bytes(b"no image")
    with pytest.raises(DataError, match=r"field0\.png cannot be read"):
        list(open_datasets(folder)[0])


def test_a_folder_without_pairs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is no data set"):
        open_datasets(tmp_path)
    folder = write_set(tmp_path / "cells")
    (folder / "labels" / "field0.png").unlink()
    with pytest.raises(DataError, match="same name"):
        open_datasets(folder)


def test_packed_run_lengths_are_those_of_pycocotools() -> None:
    np.testing.assert_array_equal(decode_segmentation(PACKED, (9, 7)), block())


def test_long_run_lengths_span_several_characters() -> None:
    assert unpack_counts("bk7j7f40") == [8050, 250, 150, 250]


def test_polygons_cover_the_pixels_whose_centres_they_hold() -> None:
    mask = decode_segmentation([[2, 1, 6, 1, 6, 4, 2, 4]], (6, 8))
    expected = np.zeros((6, 8), bool)
    expected[1:4, 2:6] = True
    np.testing.assert_array_equal(mask, expected)


def test_a_mask_of_another_size_is_refused() -> None:
    with pytest.raises(DataError, match="does not fit its image"):
        decode_segmentation(PACKED, (7, 9))
    damaged = {"size": [9, 7], "counts": [3, 4]}
    with pytest.raises(DataError, match="damaged"):
        decode_segmentation(damaged, (9, 7))


def write_coco(folder: Path) -> Path:
    (folder / "images").mkdir()
    for name in ("a.png", "b.png"):
        imageio.imwrite(folder / "images" / name, np.zeros((9, 7, 3), np.uint8))
    square = [[1, 1, 4, 1, 4, 4, 1, 4]]
    content = {
        "images": [{"id": 5, "file_name": "a.png"}, {"id": 6, "file_name": "b.png"}],
        "annotations": [
            {"image_id": 5, "segmentation": PACKED},
            {"image_id": 5, "segmentation": square, "iscrowd": 0},
            {"image_id": 5, "segmentation": square, "iscrowd": 1},
        ],
    }
    path = folder / "instances.json"
    path.write_text(json.dumps(content))
    return path


def test_coco_files_are_read_without_crowds(tmp_path: Path) -> None:
    [found] = open_datasets(write_coco(tmp_path))
    [image] = found
    assert (found.name, found.unlabelled, image.name) == ("instances", 1, "a")
    assert [target.area for target in image.targets] == [19, 9]
    # The smaller of two overlapping objects is on top.
    assert image.labels()[3, 3] == 2 and image.labels()[6, 3] == 1


def test_sa1b_files_are_read_alone_and_by_the_folder(tmp_path: Path) -> None:
    imageio.imwrite(tmp_path / "sa_1.png", np.zeros((9, 7, 3), np.uint8))
    content = {
        "image": {"file_name": "sa_1.png", "height": 9, "width": 7},
        "annotations": [{"segmentation": PACKED}],
    }
    path = tmp_path / "sa_1.json"
    path.write_text(json.dumps(content))
    for place in (path, tmp_path):
        [found] = open_datasets(place)
        [image] = found
        np.testing.assert_array_equal(image.targets[0].full((9, 7)), block())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("{", "cannot be read as JSON"),
        ("[]", "no COCO or SA-1B"),
        ('{"a": 1}', "no COCO or SA-1B"),
        ('{"images": []}', "no annotated image"),
        ('{"image": {"file_name": "x.png"}, "annotations": []}', "names x.png"),
    ],
)
def test_other_json_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "notes.json"
    path.write_text(text)
    with pytest.raises(DataError, match=message):
        open_datasets(path)
