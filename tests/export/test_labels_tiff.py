"""What is particular to TIFF files of labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import tifffile

from napari_sam.errors import ExportError
from napari_sam.export import LabelsTiff


@pytest.mark.parametrize(
    ("highest", "dtype"), [(1, "uint16"), (65535, "uint16"), (65536, "uint32")]
)
def test_ids_take_as_few_bytes_as_they_need(
    highest: int, dtype: str, tmp_path: Path
) -> None:
    path = tmp_path / "labels.tif"
    LabelsTiff().write(path, np.array([[0, highest]]))
    with tifffile.TiffFile(path) as file:
        page = file.pages[0]
        assert page.dtype == dtype
        assert page.compression == tifffile.COMPRESSION.ADOBE_DEFLATE


def test_volumes_keep_their_axes(tmp_path: Path) -> None:
    path = tmp_path / "labels.tif"
    LabelsTiff().write(path, np.ones((3, 8, 9), np.uint16))
    with tifffile.TiffFile(path) as file:
        assert file.series[0].axes == "ZYX"
        assert file.series[0].shape == (3, 8, 9)


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        (np.array([[0.5]]), "whole numbers"),
        (np.array([[-1, 2]]), "-1 to 2"),
        (np.array([[1 << 33]]), "Ids must lie in"),
        (np.array([1, 2]), "no label image"),
        (np.zeros((0, 4), np.uint8), "no label image"),
    ],
)
def test_what_is_no_label_image_is_refused(
    labels: np.ndarray, reason: str, tmp_path: Path
) -> None:
    path = tmp_path / "labels.tif"
    with pytest.raises(ExportError, match=reason):
        LabelsTiff().write(path, labels)
    assert not path.exists()


def test_folders_are_created_and_files_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "labels.tif"
    for value in (1, 2):
        LabelsTiff().write(path, np.full((4, 4), value))
    assert LabelsTiff().read(path).max() == 2
    assert list(path.parent.iterdir()) == [path]


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(ExportError, match="Cannot write"):
        LabelsTiff().write(tmp_path / "file" / "labels.tif", np.ones((2, 2), int))


def test_a_text_file_is_no_tiff(tmp_path: Path) -> None:
    path = tmp_path / "labels.tif"
    path.write_text("no tiff")
    with pytest.raises(ExportError, match="no readable TIFF"):
        LabelsTiff().read(path)
