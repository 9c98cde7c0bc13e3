"""Every registered format gives back the labels that it was given."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_sam.errors import ExportError
from napari_sam.export import exporter_for, get_exporter, list_exporters


def with_holes() -> NDArray:
    labels = np.zeros((20, 30), np.int32)
    labels[4:16, 5:25] = 1
    labels[8:12, 10:14] = 0
    labels[9:11, 11:13] = 2
    return labels


def touching() -> NDArray:
    labels = np.zeros((16, 16), np.uint8)
    labels[2:14, 2:8], labels[2:14, 8:14] = 1, 2
    return labels


def at_the_border() -> NDArray:
    labels = np.zeros((9, 17), np.int64)
    labels[0, :], labels[-1, -1], labels[3:, 0] = 4, 9, 7
    return labels


LABELS = {
    "holes": with_holes(),
    "touching": touching(),
    "border": at_the_border(),
    "empty": np.zeros((7, 5), np.int32),
    "one pixel": np.ones((1, 1), np.uint8),
    "largest 16-bit id": np.array([[0, 65535]], np.int32),
}


@pytest.mark.parametrize("name", list_exporters())
@pytest.mark.parametrize("labels", LABELS.values(), ids=LABELS.keys())
def test_round_trip(name: str, labels: NDArray, tmp_path: Path) -> None:
    exporter = get_exporter(name)
    path = tmp_path / f"labels{exporter.extensions[0]}"
    exporter.write(path, labels)
    back = exporter.read(path)
    assert back.dtype.kind == "u"
    np.testing.assert_array_equal(back, labels)


@pytest.mark.parametrize("name", list_exporters())
def test_extension_leads_to_the_format(name: str) -> None:
    for extension in get_exporter(name).extensions:
        assert exporter_for(Path("x" + extension.upper())) is get_exporter(name)


@pytest.mark.parametrize("name", list_exporters())
def test_missing_file_is_one_sentence(name: str, tmp_path: Path) -> None:
    exporter = get_exporter(name)
    with pytest.raises(ExportError, match="no file"):
        exporter.read(tmp_path / f"none{exporter.extensions[0]}")


def test_unknown_names_say_what_there_is() -> None:
    with pytest.raises(ExportError, match="labels-tiff"):
        get_exporter("nonsense")
    with pytest.raises(ExportError, match=r"\.tif"):
        exporter_for(Path("labels.docx"))
