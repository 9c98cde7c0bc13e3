"""Tracks in the layout of the Cell Tracking Challenge (Maska et al., 2014).

A folder holds one label image a frame, ``mask000.tif`` and so on, and ``res_track.txt``
with a line for each track: its id, its first and last frame, and its parent or 0.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_sam.errors import ExportError
from napari_sam.export.files import replacing

TABLE_NAME = "res_track.txt"
TrackRow = tuple[int, int, int, int]


def write_tracks(
    folder: Path, labels: NDArray[np.integer], rows: Sequence[TrackRow]
) -> list[Path]:
    """Write a folder of masks and the table of tracks.

    Parameters
    ----------
    folder : Path
        Made if it does not exist; masks of more frames that lie there are refused.
    labels : ndarray of int, shape (T, Y, X) or (T, Z, Y, X)
        The same id in all frames of a track, at most 65535.
    rows : sequence of (int, int, int, int)
        Track id, first frame, last frame (it is the track's too), parent or 0.

    Returns
    -------
    list of Path
        The masks in order, then the table.

    Raises
    ------
    ExportError
        An id is too large, a row does not fit the labels, or a file cannot be written.
    """
    _check(labels, rows)
    digits = max(3, len(str(len(labels) - 1)))
    names = [f"mask{frame:0{digits}d}.tif" for frame in range(len(labels))]
    strangers = {path.name for path in folder.glob("mask*.tif")} - set(names)
    if strangers:
        raise ExportError(
            f"{folder} holds masks of another movie, such as {min(strangers)}: choose "
            "an empty folder."
        )
    for name, plane in zip(names, labels, strict=True):
        with replacing(folder / name) as partial:
            tifffile.imwrite(
                partial,
                plane.astype(np.uint16),
                photometric="minisblack",
                compression="zlib",
            )
    with replacing(folder / TABLE_NAME) as partial:
        text = "".join(f"{' '.join(str(n) for n in row)}\n" for row in sorted(rows))
        partial.write_text(text, encoding="ascii")
    return [*(folder / name for name in names), folder / TABLE_NAME]


def read_tracks(folder: Path) -> tuple[NDArray[np.uint16], list[TrackRow]]:
    """Read what `write_tracks` wrote, or any folder of this layout.

    Parameters
    ----------
    folder : Path

    Returns
    -------
    labels : ndarray of uint16, shape (T, ...)
    rows : list of (int, int, int, int)

    Raises
    ------
    ExportError
        The folder has no masks or no table, or they are damaged.
    """
    masks = sorted(folder.glob("mask*.tif"))
    if not masks:
        raise ExportError(f"{folder} holds no mask000.tif and so on.")
    try:
        labels = np.stack([tifffile.imread(path) for path in masks])
        lines = (folder / TABLE_NAME).read_text(encoding="ascii").splitlines()
        rows = [tuple(int(word) for word in line.split()) for line in lines if line]
    except (OSError, ValueError) as error:
        raise ExportError(f"{folder} holds no readable tracks: {error}.") from error
    if any(len(row) != 4 for row in rows):
        raise ExportError(f"{folder / TABLE_NAME} needs four numbers in each line.")
    return labels, [(a, b, c, d) for a, b, c, d in rows]


def _check(labels: NDArray[np.integer], rows: Sequence[TrackRow]) -> None:
    if labels.ndim not in (3, 4):
        raise ExportError(f"Tracks are (T, Y, X) or (T, Z, Y, X), not {labels.shape}.")
    highest = int(labels.max(initial=0))
    if highest > np.iinfo(np.uint16).max or int(labels.min(initial=0)) < 0:
        raise ExportError(
            f"This layout holds ids up to 65535, and there is one of {highest}."
        )
    known = {row[0] for row in rows}
    missing = set(np.unique(labels).tolist()) - {0} - known
    if missing:
        raise ExportError(f"The labels hold the id {min(missing)}, which has no track.")
