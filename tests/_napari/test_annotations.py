"""Annotation files are opened and written through the manifest's commands."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from napari_sam._napari import annotations
from napari_sam.errors import ExportError
from napari_sam.export import LabelsTiff

LABELS = np.zeros((20, 30), np.int32)
LABELS[2:6, 3:9] = 1
LABELS[10:15, 20:28] = 5


@pytest.mark.parametrize("write", [annotations.write_coco, annotations.write_sa1b])
def test_round_trip(tmp_path: Path, write: Any) -> None:
    path = str(tmp_path / "cells.json")
    assert write(path, LABELS, {}) == [path]
    reader = annotations.get_reader(path)
    assert reader is not None
    ((data, attributes, kind),) = reader(path)
    np.testing.assert_array_equal(data, LABELS)
    assert (attributes["name"], kind) == ("cells", "labels")


def test_classes_of_our_layer_are_written(tmp_path: Path) -> None:
    features = pd.DataFrame({"index": [1, 5], "class": ["nuclei", "debris"]})
    path = tmp_path / "cells.json"
    annotations.write_coco(str(path), LABELS, {"features": features})
    written = json.loads(path.read_text())
    assert [each["name"] for each in written["categories"]] == ["nuclei", "debris"]
    strange = pd.DataFrame({"circularity": [0.5, 0.7]})
    annotations.write_coco(str(path), LABELS, {"features": strange})
    assert len(json.loads(path.read_text())["annotations"]) == 2


def test_tiff(tmp_path: Path) -> None:
    path = tmp_path / "cells.tif"
    annotations.write_tiff(str(path), LABELS, {})
    np.testing.assert_array_equal(LabelsTiff().read(path), LABELS)


@pytest.mark.parametrize("text", ["", "{}", '{"annotations": "none of ours', "[1]"])
def test_other_json_is_left_to_others(tmp_path: Path, text: str) -> None:
    path = tmp_path / "other.json"
    path.write_text(text)
    assert annotations.get_reader(str(path)) is None
    with pytest.raises(ExportError, match="holds no COCO"):
        annotations.read_annotations(str(path))
