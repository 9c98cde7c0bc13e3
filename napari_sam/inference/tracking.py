"""Join objects found frame by frame into tracks, with divisions.

The linking is laptrack's (Fukai and Kawaguchi, "LapTrack: linear assignment particle
tracking with tunable metrics", 2023, after Jaqaman et al., 2008): an optional package.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import find_objects

from napari_sam.errors import ModelError, PromptError

# A division's daughter may lie this much farther away than a step leads.
SPLIT_REACH = 1.5


@dataclass(frozen=True)
class TrackSettings:
    """How far objects move and whether they divide.

    Attributes
    ----------
    max_distance : float or None
        Longest way of a centre from one frame to the next, in units of ``spacing``;
        None for the median diameter of the objects.
    divisions : bool
        Whether a track may end in two others.
    gap : int
        Most frames in a row in which an object may be missing.
    min_frames : int
        Shorter tracks are dropped, unless they belong to a division.
    spacing : tuple of float or None
        Size of a pixel along each axis of a frame; None for 1 each.

    Raises
    ------
    PromptError
        If a number is out of range.
    """

    max_distance: float | None = None
    divisions: bool = True
    gap: int = 1
    min_frames: int = 1
    spacing: tuple[float, ...] | None = None

    def __post_init__(self) -> None:
        if self.gap < 0 or self.min_frames < 1:
            raise PromptError("gap is at least 0 and min_frames at least 1.")
        if self.max_distance is not None and self.max_distance <= 0:
            raise PromptError("max_distance must be above 0.")


@dataclass(frozen=True)
class Track:
    """One object from its first to its last frame.

    Attributes
    ----------
    identifier : int
        Its id in the labels.
    start, stop : int
        First frame, and the one after the last.
    parent : int
        The track that divided into this one and others; 0 for none.
    """

    identifier: int
    start: int
    stop: int
    parent: int = 0


@dataclass(eq=False)
class TrackResult:
    """Tracks of a movie.

    Attributes
    ----------
    labels : ndarray of int32, shape (T, Y, X) or (T, Z, Y, X)
        The same id in all frames of a track.
    tracks : list of Track
        By id.
    points : ndarray of float64, shape (N, 2 + D)
        Track id, frame and centre of every object, as a napari Tracks layer takes them.
    """

    labels: NDArray[np.int32]
    tracks: list[Track]
    points: NDArray[np.float64] = field(repr=False)

    @property
    def graph(self) -> dict[int, list[int]]:
        """Parents of each track that has one, as a napari Tracks layer takes them."""
        return {each.identifier: [each.parent] for each in self.tracks if each.parent}


def track_labels(
    labels: NDArray[np.integer], settings: TrackSettings | None = None
) -> TrackResult:
    """Give the objects of a movie the same id in all frames.

    Parameters
    ----------
    labels : ndarray of int, shape (T, Y, X) or (T, Z, Y, X)
        Ids of each frame by itself, 0 is background.
    settings : TrackSettings, optional

    Returns
    -------
    TrackResult

    Raises
    ------
    ModelError
        If laptrack is not installed.
    PromptError
        If the labels have neither three nor four axes, or hold no object.
    """
    chosen = settings or TrackSettings()
    if labels.ndim not in (3, 4):
        raise PromptError(
            f"The labels have the shape {labels.shape}: give (T, Y, X) or (T, Z, Y, X)."
        )
    spots = _spots(labels, chosen.spacing)
    if not len(spots.frames):
        raise PromptError("There is nothing to track: the labels hold no object.")
    table, splits = _link(spots, chosen)
    return _result(labels, spots, table, splits, chosen)


def track_points(labels: NDArray[np.integer]) -> NDArray[np.float64]:
    """Where the objects of labels are that are tracked already.

    Parameters
    ----------
    labels : ndarray of int, shape (T, Y, X) or (T, Z, Y, X)
        The same id in all frames of a track.

    Returns
    -------
    ndarray of float64, shape (N, 2 + D)
        As `TrackResult.points`.
    """
    spots = _spots(labels, None)
    return _points(spots, spots.ids)


@dataclass(frozen=True, eq=False)
class _Spots:
    """All objects of all frames."""

    frames: NDArray[np.int64]
    ids: NDArray[np.int64]
    centres: NDArray[np.float64]
    sizes: NDArray[np.float64]
    spacing: NDArray[np.float64]

    @property
    def diameter(self) -> float:
        """Median diameter, in units of the spacing."""
        dims = self.centres.shape[1]
        measure = self.sizes * self.spacing.prod()
        if dims == 2:
            return float(np.median(2 * np.sqrt(measure / np.pi)))
        return float(np.median(2 * np.cbrt(measure * 3 / (4 * np.pi))))


def _spots(labels: NDArray[np.integer], spacing: tuple[float, ...] | None) -> _Spots:
    dims = labels.ndim - 1
    given = np.ones(dims) if spacing is None else np.array(spacing, dtype=float)
    if given.shape != (dims,) or not (given > 0).all():
        raise PromptError(f"spacing needs {dims} sizes above 0, not {spacing}.")
    found = [
        (frame, *each) for frame, plane in enumerate(labels) for each in _objects(plane)
    ]
    rows = np.array([(f, n, size) for f, n, size, _ in found]).reshape(-1, 3)
    centres = np.array([centre for *_, centre in found]).reshape(-1, dims)
    ids = rows[:, :2].astype(np.int64)
    return _Spots(ids[:, 0], ids[:, 1], centres, rows[:, 2].astype(float), given)


def _objects(
    plane: NDArray[np.integer],
) -> Iterator[tuple[int, int, NDArray[np.float64]]]:
    """Yield id, size in pixels and centre of each object of a frame."""
    ids, index = np.unique(plane, return_inverse=True)
    index = index.reshape(plane.shape) + 1
    for which, box in enumerate(find_objects(index), start=1):
        identifier = int(ids[which - 1])
        if identifier and box is not None:
            inside = np.argwhere(index[box] == which)
            start = [part.start for part in box]
            yield identifier, len(inside), inside.mean(axis=0) + start


def _link(
    spots: _Spots, settings: TrackSettings
) -> tuple[NDArray[np.int64], list[tuple[int, int]]]:
    """Return the track of each spot, from 0, and (parent, child) tracks."""
    try:
        import pandas
        from laptrack import LapTrack
    except ImportError as error:
        raise ModelError(
            "Tracking needs laptrack: pip install 'napari-sam-clip[tracking]'."
        ) from error
    # Its settings have defaults that a type checker does not see.
    make_tracker: Any = LapTrack
    reach = settings.max_distance or spots.diameter
    names = [f"axis{n}" for n in range(spots.centres.shape[1])]
    table = pandas.DataFrame(spots.centres * spots.spacing, columns=names)
    table["frame"] = spots.frames
    table["spot"] = np.arange(len(table))
    tracker = make_tracker(
        cutoff=reach**2,
        gap_closing_cutoff=reach**2 if settings.gap else False,
        gap_closing_max_frame_count=settings.gap,
        splitting_cutoff=(SPLIT_REACH * reach) ** 2 if settings.divisions else False,
        merging_cutoff=False,
    )
    found, splits, _ = tracker.predict_dataframe(
        table, names, frame_col="frame", only_coordinate_cols=False
    )
    tracks = np.zeros(len(table), dtype=np.int64)
    tracks[found["spot"].to_numpy()] = found["track_id"].to_numpy()
    return tracks, _pairs(splits)


def _pairs(splits: Any) -> list[tuple[int, int]]:
    if not len(splits):
        return []
    columns = splits[["parent_track_id", "child_track_id"]].to_numpy()
    return [(int(parent), int(child)) for parent, child in columns]


def _result(
    labels: NDArray[np.integer],
    spots: _Spots,
    table: NDArray[np.int64],
    splits: list[tuple[int, int]],
    settings: TrackSettings,
) -> TrackResult:
    """Number the tracks from 1 in the order in which they begin, and paint them."""
    related = {n for pair in splits for n in pair}
    counts = np.bincount(table)
    kept = [
        int(n)
        for n in np.unique(table)
        if counts[n] >= settings.min_frames or n in related
    ]
    starts = {n: int(spots.frames[table == n].min()) for n in kept}
    kept.sort(key=lambda n: (starts[n], n))
    number = {n: which for which, n in enumerate(kept, start=1)}
    parents = {child: parent for parent, child in splits}
    tracks = [
        Track(
            number[n],
            starts[n],
            int(spots.frames[table == n].max()) + 1,
            number.get(parents.get(n, -1), 0),
        )
        for n in kept
    ]
    new = np.array([number.get(int(n), 0) for n in table], dtype=np.int64)
    return TrackResult(_painted(labels, spots, new), tracks, _points(spots, new))


def _points(spots: _Spots, numbers: NDArray[np.int64]) -> NDArray[np.float64]:
    points = np.column_stack([numbers, spots.frames, spots.centres])[numbers > 0]
    return points[np.lexsort((points[:, 1], points[:, 0]))]


def _painted(
    labels: NDArray[np.integer], spots: _Spots, numbers: NDArray[np.int64]
) -> NDArray[np.int32]:
    painted = np.zeros(labels.shape, np.int32)
    for frame in np.unique(spots.frames):
        here = spots.frames == frame
        ids, position = np.unique(labels[frame], return_inverse=True)
        known = dict(zip(spots.ids[here], numbers[here], strict=True))
        table = np.array([known.get(n, 0) for n in ids.tolist()], dtype=np.int32)
        painted[frame] = table[position].reshape(labels[frame].shape)
    return painted
