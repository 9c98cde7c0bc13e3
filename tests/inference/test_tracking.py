from __future__ import annotations

import builtins
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_sam.errors import ExportError, ModelError, PromptError
from napari_sam.export.tracks import read_tracks, write_tracks
from napari_sam.inference.tracking import TrackSettings, track_labels

pytest.importorskip("laptrack")


def moving(frames: int = 8) -> np.ndarray:
    """Two objects that move apart, with ids that change in each frame."""
    labels = np.zeros((frames, 40, 60), np.int32)
    for frame in range(frames):
        first, second = (1, 2) if frame % 2 else (2, 1)
        labels[frame, 5:13, 4 + 2 * frame : 12 + 2 * frame] = first
        labels[frame, 25:33, 40 - 2 * frame : 48 - 2 * frame] = second
    return labels


def test_ids_become_stable() -> None:
    labels = moving()
    found = track_labels(labels)
    assert [(each.start, each.stop) for each in found.tracks] == [(0, 8), (0, 8)]
    np.testing.assert_array_equal(found.labels > 0, labels > 0)
    for frame in range(8):
        assert found.labels[frame, 8, 8 + 2 * frame] == found.labels[0, 8, 8]
    assert found.points.shape == (16, 4)
    assert not found.graph


def dividing() -> np.ndarray:
    labels = np.zeros((8, 40, 60), np.int32)
    for frame in range(4):
        labels[frame, 14:26, 20:36] = 1
    for frame in range(4, 8):
        labels[frame, 14:26, 16 - frame + 4 : 26 - frame + 4] = 1
        labels[frame, 14:26, 30 + frame - 4 : 40 + frame - 4] = 2
    return labels


def test_a_division_has_a_parent() -> None:
    found = track_labels(dividing())
    assert len(found.tracks) == 3
    mother = found.tracks[0]
    assert (mother.start, mother.stop) == (0, 4)
    assert found.graph == {2: [1], 3: [1]}
    single = track_labels(dividing(), TrackSettings(divisions=False))
    assert not single.graph


def test_volumes_over_time_are_tracked() -> None:
    labels = np.repeat(moving(4)[:, None], 3, axis=1)
    found = track_labels(labels)
    assert len(found.tracks) == 2
    assert found.points.shape == (8, 5)
    np.testing.assert_allclose(found.points[:, 2], 1)


def test_what_cannot_be_tracked_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PromptError, match="no object"):
        track_labels(np.zeros((3, 8, 8), int))
    with pytest.raises(PromptError, match="T, Y, X"):
        track_labels(np.zeros((8, 8), int))
    with pytest.raises(PromptError, match="spacing"):
        track_labels(moving(), TrackSettings(spacing=(1.0,)))
    imported = builtins.__import__

    def refuse(name: str, *rest: Any, **named: Any) -> Any:
        if name.startswith("laptrack"):
            raise ImportError(name)
        return imported(name, *rest, **named)

    monkeypatch.setattr(builtins, "__import__", refuse)
    with pytest.raises(ModelError, match="tracking"):
        track_labels(moving())


def test_the_challenge_layout_is_read_back(tmp_path: Path) -> None:
    found = track_labels(dividing())
    rows = [(t.identifier, t.start, t.stop - 1, t.parent) for t in found.tracks]
    paths = write_tracks(tmp_path / "01_RES", found.labels, rows)
    assert [path.name for path in paths[:2]] == ["mask000.tif", "mask001.tif"]
    text = (tmp_path / "01_RES" / "res_track.txt").read_text()
    assert text == "1 0 3 0\n2 4 7 1\n3 4 7 1\n"
    labels, read = read_tracks(tmp_path / "01_RES")
    np.testing.assert_array_equal(labels, found.labels)
    assert read == rows


def test_a_folder_of_another_movie_is_refused(tmp_path: Path) -> None:
    found = track_labels(moving())
    rows = [(1, 0, 7, 0), (2, 0, 7, 0)]
    write_tracks(tmp_path, found.labels, rows)
    with pytest.raises(ExportError, match="another movie"):
        write_tracks(tmp_path, found.labels[:4], rows)
    with pytest.raises(ExportError, match="no track"):
        write_tracks(tmp_path, found.labels, rows[:1])
    with pytest.raises(ExportError, match="65535"):
        write_tracks(tmp_path, found.labels * 70000, rows)
