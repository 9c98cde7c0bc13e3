"""The reader of tracks in the layout of the Cell Tracking Challenge.

Opening its table, ``res_track.txt``, gives the masks beside it as labels and the tracks
with their lineage. Folders are not offered to napari, which would ask what plugin is
meant for every folder of images that a user opens.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from napari_sam.export.tracks import TABLE_NAME, read_tracks
from napari_sam.inference.tracking import track_points

LayerData = tuple[Any, dict[str, Any], str]


def get_reader(path: str | list[str]) -> Callable[[Any], list[LayerData]] | None:
    """Return a reader of tables of tracks, or None for any other file.

    Parameters
    ----------
    path : str or list of str
    """
    first = Path(path if isinstance(path, str) else path[0])
    return read_track_files if first.name == TABLE_NAME else None


def read_track_files(path: str | list[str]) -> list[LayerData]:
    """Read tables of tracks, each as a Labels and a Tracks layer.

    Parameters
    ----------
    path : str or list of str

    Raises
    ------
    ExportError
        If a table or the masks beside it are missing or damaged.
    """
    paths = [path] if isinstance(path, str) else path
    return [layer for each in paths for layer in _layers(Path(each).parent)]


def _layers(folder: Path) -> list[LayerData]:
    labels, rows = read_tracks(folder)
    parents = {number: [parent] for number, _, _, parent in rows if parent}
    name = folder.resolve().name
    layers: list[LayerData] = [(labels, {"name": f"{name} labels"}, "labels")]
    points = track_points(labels)
    # napari takes no Tracks layer without a track.
    if len(points):
        tracks = {"name": f"{name} lineage", "graph": parents}
        layers.append((points, tracks, "tracks"))
    return layers
