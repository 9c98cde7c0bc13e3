"""Read a volume slice by slice, with one contrast for all slices."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_sam.errors import ImageError
from napari_sam.inference.preprocess import PERCENTILES

# What the contrast of a volume is read from: so many slices, of so many values each.
SAMPLED_SLICES = 9
SAMPLED_VALUES = 200_000

Reader = Callable[[int], NDArray[Any]]


class VolumeLike(Protocol):
    """What numpy, dask, zarr and h5py arrays have in common."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Size along each axis."""
        ...

    @property
    def dtype(self) -> Any:
        """Type of the values."""
        ...

    def __getitem__(self, key: Any) -> Any:
        """Read a part."""
        ...


class VolumeSource:
    """The slices of a volume across one axis, read when they are asked for.

    Parameters
    ----------
    volume : array-like, 3D, or 4D with channels
        numpy, dask, zarr or anything with ``shape``, ``dtype`` and slicing. Only the
        slices asked for are ever read.
    axis : int
        The axis that is walked along.
    channel_axis : int, optional
        Axis of the volume's channels.

    Raises
    ------
    ImageError
        If the axes do not fit the volume.
    """

    def __init__(
        self, volume: VolumeLike, axis: int = 0, channel_axis: int | None = None
    ) -> None:
        self._volume = volume
        shape = tuple(int(side) for side in volume.shape)
        wanted = 3 if channel_axis is None else 4
        if len(shape) != wanted:
            channels = "no" if channel_axis is None else "a"
            raise ImageError(
                f"The volume has the shape {shape} and {channels} channel axis: give "
                "three axes, or four with channel_axis."
            )
        self._axis = _positive(axis, len(shape), "axis")
        self._channels: int | None = None
        if channel_axis is not None:
            self._channels = _positive(channel_axis, len(shape), "channel_axis")
            if self._channels == self._axis:
                raise ImageError("axis and channel_axis cannot be the same axis.")
        spatial = [n for n in range(len(shape)) if n != self._channels]
        self.axis = spatial.index(self._axis)
        self.shape = tuple(shape[n] for n in spatial)

    @property
    def length(self) -> int:
        """Number of slices."""
        return self.shape[self.axis]

    @property
    def slice_shape(self) -> tuple[int, int]:
        """(rows, columns) of a slice."""
        rows, cols = (side for n, side in enumerate(self.shape) if n != self.axis)
        return rows, cols

    @property
    def channel_axis(self) -> int | None:
        """Axis of the channels in a slice."""
        if self._channels is None:
            return None
        return self._channels - (self._channels > self._axis)

    def read(self, index: int) -> NDArray[Any]:
        """Read one slice.

        Parameters
        ----------
        index : int

        Returns
        -------
        ndarray, shape (rows, columns), with channels along `channel_axis` if any
        """
        key = (slice(None),) * self._axis + (index,)
        return np.asarray(self._volume[key])

    def spread(self, count: int) -> list[int]:
        """Return the indices of so many slices, or of all, evenly over the volume."""
        last = self.length - 1
        indices: list[int] = (
            np.linspace(0, last, min(count, self.length)).astype(int).tolist()
        )
        return indices

    def contrast_limits(
        self, around: Sequence[int] = (), read: Reader | None = None
    ) -> NDArray[np.float64] | None:
        """Black and white of the whole volume, read from some of its slices.

        A slice on its own has another contrast than its neighbour where objects begin
        and end, and an empty one is stretched until its noise looks like something.

        Parameters
        ----------
        around : sequence of int
            Slices that are looked at in any case.
        read : callable, optional
            Reads a slice as the model is to see it; `read` by default.

        Returns
        -------
        ndarray of float64, shape (2,), or None
            None if the slices looked at have no contrast.
        """
        chosen = sorted({*self.spread(SAMPLED_SLICES), *around[:SAMPLED_SLICES]})
        planes = map(read or self.read, chosen)
        values = np.concatenate([_sampled(plane) for plane in planes])
        if not values.size:
            return None
        low, high = np.percentile(values, PERCENTILES)
        return np.array([low, high]) if high > low else None


def volume_limits(
    source: VolumeSource,
    normalisation: str,
    given: ArrayLike | None,
    around: Sequence[int],
    read: Reader | None = None,
) -> ArrayLike | None:
    """Return the contrast limits of all slices: those given, else the volume's own.

    A model that takes 8-bit images as they are gets them as they are: None.
    """
    if given is not None:
        return given
    if normalisation == "sam" and np.asarray(source.read(around[0])).dtype == np.uint8:
        return None
    return source.contrast_limits(around, read)


def _positive(axis: int, count: int, name: str) -> int:
    if not -count <= axis < count:
        raise ImageError(f"{name} {axis} does not exist in a volume of {count} axes.")
    return axis % count


def _sampled(plane: NDArray[Any]) -> NDArray[np.float64]:
    flat = plane.ravel()
    step = max(1, flat.size // SAMPLED_VALUES)
    values = flat[::step].astype(np.float64)
    return values[np.isfinite(values)]
