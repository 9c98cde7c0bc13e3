"""A fluorescence volume of nuclei with thick sections."""

from __future__ import annotations

from math import ceil, exp, pi

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from napari_sam.synthetic.optics import expose
from napari_sam.synthetic.scene import (
    FloatImage,
    Labels,
    SyntheticScene,
    largest_pieces,
)

Rng = np.random.Generator


def nuclei_volume(
    rng: Rng,
    shape: tuple[int, int, int],
    scale: tuple[float, float, float],
    *,
    diameter: float = 9.0,
    count: int = 40,
) -> SyntheticScene:
    """Ellipsoidal nuclei, some touching, blurred most along z, dimmer with depth.

    Parameters
    ----------
    rng : numpy.random.Generator
        The same state gives the same volume.
    shape : tuple of int
        (z, y, x) in voxels.
    scale : tuple of float
        Size of a voxel along (z, y, x), in the unit of `diameter`.
    diameter : float
        Typical size of a nucleus.
    count : int
        How many to try to place.
    """
    labels = np.zeros(shape, np.int32)
    signal = np.zeros(shape, np.float32)
    for _ in range(count):
        _add_nucleus(rng, labels, signal, scale, diameter)
    labels = largest_pieces(labels)
    signal *= labels > 0
    image = expose(rng, _optics(rng, signal, scale), photons=120, read_noise=0.012)
    classes = {int(i): "nucleus" for i in np.unique(labels) if i}
    return SyntheticScene(image, labels, classes, "fluorescence")


def _add_nucleus(
    rng: Rng,
    labels: Labels,
    signal: FloatImage,
    scale: tuple[float, float, float],
    diameter: float,
) -> None:
    """Write one more nucleus unless an eighth of it is taken."""
    extent = np.asarray(labels.shape) * np.asarray(scale)
    centre = rng.uniform(0, 1, 3) * extent
    axes = diameter / 2 * np.exp(rng.normal(0, 0.18, 3))
    window, distance = _ellipsoid(labels.shape, scale, centre, axes, _turn(rng))
    inside = distance < 1
    taken = labels[window] > 0
    if inside.sum() < 40 or (inside & taken).sum() > inside.sum() / 8:
        return
    new = inside & ~taken
    labels[window][new] = labels.max() + 1
    texture = gaussian_filter(rng.standard_normal(new.shape, dtype=np.float32), 1.5)
    level = rng.uniform(0.5, 1.0) * (1 + 1.5 * texture)
    signal[window][new] = level[new]


def _turn(rng: Rng) -> NDArray[np.float64]:
    """Draw a rotation: the orthogonal factor of a random matrix."""
    return np.asarray(np.linalg.qr(rng.standard_normal((3, 3)))[0])


def _ellipsoid(
    shape: tuple[int, ...],
    scale: tuple[float, float, float],
    centre: NDArray[np.float64],
    axes: NDArray[np.float64],
    turn: NDArray[np.float64],
) -> tuple[tuple[slice, ...], NDArray[np.float64]]:
    """Window of voxels and their distance, 1 at the surface."""
    reach = float(axes.max())
    window = tuple(
        slice(max(int((c - reach) / s), 0), min(ceil((c + reach) / s) + 1, n))
        for c, s, n in zip(centre.tolist(), scale, shape, strict=True)
    )
    grids = np.meshgrid(
        *[
            (np.arange(w.start, w.stop) + 0.5) * s - c
            for w, s, c in zip(window, scale, centre.tolist(), strict=True)
        ],
        indexing="ij",
    )
    local = np.stack(grids, -1) @ turn / axes
    return window, np.sqrt((local**2).sum(-1))


def _optics(
    rng: Rng, signal: FloatImage, scale: tuple[float, float, float]
) -> FloatImage:
    """Blur by 0.3 units in the plane and 1.2 along z, dim with depth, add ground."""
    sigmas = [1.2 / scale[0], 0.3 / scale[1], 0.3 / scale[2]]
    blurred = gaussian_filter(signal, sigmas)
    dimming = np.exp(-np.linspace(0, rng.uniform(0.2, 0.6), signal.shape[0]))
    ground = 0.05 + 0.02 * np.cos(np.linspace(0, pi, signal.shape[2]))
    image = blurred * dimming[:, None, None] + ground
    top = float(image.max()) * exp(0.1)
    return np.asarray(image / top, np.float32)
