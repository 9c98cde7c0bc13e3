"""Slices of a noisy stack, averaged with their neighbours.

What the next slices show of an object is the same but for the noise, and the model,
which sees one slice at a time, cannot know it. A neighbour counts the more, the less it
differs from the slice by more than noise: the weights are those of a linear
least-squares estimate (as in Lee, "Digital image enhancement and noise filtering by use
of local statistics", 1980, there among the pixels around).
"""

from __future__ import annotations

import math
from collections import OrderedDict
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_sam.inference.volume_source import VolumeSource

# Slices on both sides that are averaged.
REACH = 2
# A stack is noisy if noise makes more than this share of its slices' variance; in a
# clearer one more is lost at the ends of objects than is won inside them.
NOISY_SHARE = 0.2
# That is looked up in so many slices.
LOOKED_AT = 5
# Slices are compared after a Gaussian of one pixel, which leaves so much of white
# noise's variance: the model too averages within a slice.
SMOOTHING, NOISE_LEFT = 1.0, 1 / (4 * math.pi)
# What is left of an image by this kernel is noise (Immerkaer, "Fast noise variance
# estimation", 1996).
NOISE_KERNEL = np.array([[1, -2, 1], [-2, 4, -2], [1, -2, 1]], np.float32)


class NoisySlices:
    """Reads slices of a volume, averaged with their neighbours where it is noisy.

    Parameters
    ----------
    source : VolumeSource
        Along space: what moves from slice to slice would be smeared.
    """

    def __init__(self, source: VolumeSource) -> None:
        self._source = source
        self._kept: OrderedDict[int, NDArray[Any]] = OrderedDict()
        self._noise: dict[int, float] = {}
        self._differences: dict[tuple[int, int], float] = {}

    @cached_property
    def are_noisy(self) -> bool:
        """Whether noise outweighs what the slices show."""
        chosen = self._source.spread(LOOKED_AT)
        planes = [self._grey(self._source.read(index)) for index in chosen]
        noise = sum(noise_variance(plane) for plane in planes)
        return noise > NOISY_SHARE * sum(float(plane.var()) for plane in planes)

    def read(self, index: int) -> NDArray[Any]:
        """Read one slice.

        Parameters
        ----------
        index : int

        Returns
        -------
        ndarray, shape (rows, columns), with channels as in the volume
            Of the volume's own type: some models take 8-bit images as they are.
        """
        if not self.are_noisy:
            return self._source.read(index)
        plane = self._plane(index)
        total, weights = plane.astype(np.float32), 1.0
        for other in range(index - REACH, index + REACH + 1):
            if other != index and 0 <= other < self._source.length:
                weight = self._weight(index, other)
                total += np.float32(weight) * self._plane(other)
                weights += weight
        mean = total / np.float32(weights)
        if not np.issubdtype(plane.dtype, np.floating):
            mean = np.rint(mean)
        return mean.astype(plane.dtype)

    def _weight(self, index: int, other: int) -> float:
        """How much a neighbour counts: 0 to 1."""
        own, its = (NOISE_LEFT * self._noise_of(n) for n in (index, other))
        change = max(self._difference(index, other) - own - its, 0.0)
        weight = own / max(its + change, own)
        return weight if math.isfinite(weight) else 0.0

    def _difference(self, index: int, other: int) -> float:
        """Mean square of what two slices, smoothed, differ by."""
        key = min(index, other), max(index, other)
        if key not in self._differences:
            one, two = (self._grey(self._plane(n)) for n in key)
            smoothed = ndimage.gaussian_filter(two - one, SMOOTHING)
            self._differences[key] = float(np.mean(smoothed**2))
        return self._differences[key]

    def _noise_of(self, index: int) -> float:
        if index not in self._noise:
            self._noise[index] = noise_variance(self._grey(self._plane(index)))
        return self._noise[index]

    def _plane(self, index: int) -> NDArray[Any]:
        """A slice as it is stored; those of the last neighbourhood are kept."""
        if index not in self._kept:
            self._kept[index] = self._source.read(index)
            if len(self._kept) > 2 * REACH + 1:
                self._kept.popitem(last=False)
        self._kept.move_to_end(index)
        return self._kept[index]

    def _grey(self, plane: NDArray[Any]) -> NDArray[np.float32]:
        axis = self._source.channel_axis
        grey = plane if axis is None else plane.mean(axis=axis)
        return grey.astype(np.float32)


def noise_variance(plane: NDArray[np.float32]) -> float:
    """Estimate the variance of the noise in an image.

    Parameters
    ----------
    plane : ndarray of float32, shape (rows, columns)

    Returns
    -------
    float
        0 for an image too small to tell.
    """
    if min(plane.shape) < 3:
        return 0.0
    rest = ndimage.convolve(plane, NOISE_KERNEL)[1:-1, 1:-1]
    return float(np.pi / 2 * (np.abs(rest).mean() / 6) ** 2)
