from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_sam._napari.track_files import get_reader
from napari_sam.errors import ExportError
from napari_sam.export.tracks import write_tracks

pytestmark = pytest.mark.widget


def division(is_deep: bool) -> np.ndarray:
    """Object 1 divides into 2 and 3 in frame 2."""
    labels = np.zeros((4, 30, 40), np.int32)
    labels[:2, 10:20, 10:20] = 1
    labels[2:, 10:16, 8:14] = 2
    labels[2:, 10:16, 20:26] = 3
    return np.repeat(labels[:, None], 3, axis=1) if is_deep else labels


ROWS = [(1, 0, 1, 0), (2, 2, 3, 1), (3, 2, 3, 1)]


@pytest.mark.parametrize("is_deep", [False, True])
def test_tracks_open_as_labels_and_a_lineage(tmp_path: Path, is_deep: bool) -> None:
    layers = pytest.importorskip("napari.layers")
    labels = division(is_deep)
    *_, table = write_tracks(tmp_path / "movie", labels, ROWS)
    reader = get_reader(str(table))
    assert reader is not None
    (masks, about_masks, kind), (points, about, other) = reader(str(table))
    assert (kind, other) == ("labels", "tracks")
    names = about_masks["name"], about["name"]
    assert names == ("movie labels", "movie lineage")
    np.testing.assert_array_equal(masks, labels)
    shown = layers.Tracks(points, **about)
    assert {int(n): list(each) for n, each in shown.graph.items()} == {2: [1], 3: [1]}
    centre = [1.0] * is_deep + [14.5, 14.5]
    assert points[:2].tolist() == [[1, 0, *centre], [1, 1, *centre]]


def test_nothing_else_is_read(tmp_path: Path) -> None:
    assert get_reader(str(tmp_path / "notes.txt")) is None
    assert get_reader([str(tmp_path / "my_res_track.txt")]) is None
    reader = get_reader(str(tmp_path / "res_track.txt"))
    assert reader is not None
    with pytest.raises(ExportError, match=r"mask000\.tif"):
        reader(str(tmp_path / "res_track.txt"))


def test_a_movie_without_objects_has_no_tracks(tmp_path: Path) -> None:
    *_, table = write_tracks(tmp_path, np.zeros((2, 8, 9), np.int32), [])
    reader = get_reader(str(table))
    assert reader is not None
    assert [kind for *_, kind in reader(str(table))] == ["labels"]
