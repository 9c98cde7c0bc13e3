"""What a layer shows, as something the session can read when it needs it."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam._napari.placement import image_shape, shown_box
from napari_sam.geometry import Box
from napari_sam.session.plane import Plane
from napari_sam.session.view import Display, ImageView
from napari_sam.structures import Frame

# A plane up to this side is read whole; of a larger one, what is on screen.
WHOLE_SIDE = 2048
# The part around what is on screen that is read too, for small moves of the camera.
MARGIN = 0.15


@dataclass(frozen=True)
class Region:
    """What of a plane to read.

    Attributes
    ----------
    box : tuple of int
        In samples of the level, or of every ``stride``-th pixel.
    step : tuple of float
        Pixels of the plane that a sample covers, in rows and cols.
    level : int
        0 is full resolution.
    stride : int
        Every which element of the level is read.
    """

    box: Box
    step: tuple[float, float] = (1.0, 1.0)
    level: int = 0
    stride: int = 1

    @property
    def frame(self) -> Frame:
        """Where the samples lie in the plane."""
        row0, col0, row1, col1 = self.box
        origin = (row0 * self.step[0], col0 * self.step[1])
        return Frame(origin, self.step, (row1 - row0, col1 - col0))


def is_whole(layer: Any, plane: Plane) -> bool:
    """Whether a plane is read whole, wherever the camera is."""
    return not layer.multiscale and max(plane.size) <= WHOLE_SIDE


def choose_region(layer: Any, plane: Plane) -> Region:
    """Return what to read of a layer for what is on screen."""
    if is_whole(layer, plane):
        return Region((0, 0, *plane.size))
    box = _with_margin(shown_box(layer, plane), plane.size)
    if not layer.multiscale:
        stride = -(-max(box[2] - box[0], box[3] - box[1]) // WHOLE_SIDE)
        sides = -(-plane.size[0] // stride), -(-plane.size[1] // stride)
        step = (float(stride), float(stride))
        return Region(_in_samples(box, step, sides), step, 0, stride)
    level = int(layer.data_level)
    factors = np.asarray(layer.downsample_factors)[level]
    shape = layer.data[level].shape
    step = (float(factors[plane.rows]), float(factors[plane.cols]))
    sides = (int(shape[plane.rows]), int(shape[plane.cols]))
    return Region(_in_samples(box, step, sides), step, level)


def make_view(
    layers: Sequence[Any],
    plane: Plane,
    region: Region,
    *,
    as_displayed: bool,
    version: int,
) -> ImageView:
    """Return the view of one image layer, or of several mixed as displayed.

    Parameters
    ----------
    layers : sequence of Image
        Of one shape; the first is the one that is segmented.
    plane : Plane
    region : Region
    as_displayed : bool
        Whether colours are those on screen; otherwise the samples themselves.
    version : int
        Changes when the data of a layer do.
    """
    mixed = as_displayed or len(layers) > 1
    looks = tuple(_look(layer) for layer in layers) if mixed else ()
    family = (tuple(id(layer) for layer in layers), region, looks, version)
    # All that is needed of the layers, so that no thread has to touch them later.
    sources = [_Source.of(layer, region.level) for layer in layers]
    mixers = [_mixer(layer) for layer in layers] if mixed else []
    channel_axis = 2 if mixed or layers[0].rgb else None
    names, spacing = tuple(layers[0].axis_labels), tuple(layers[0].scale)

    def at(plane: Plane) -> ImageView:
        readers = [source.reader(plane, region) for source in sources]
        return ImageView(
            (family, plane),
            plane,
            region.frame,
            _mixing(readers, mixers) if mixed else readers[0],
            Display(channel_axis=channel_axis),
            at if len(plane.shape) > 2 else None,
            names,
            spacing,
        )

    return at(plane)


@dataclass(frozen=True, eq=False)
class _Source:
    """What is read of a layer: one level of its data.

    Attributes
    ----------
    data : array-like
    shape : tuple of int
        Of the layer at full resolution.
    factors : ndarray or None
        Pixels that an element of a multiscale level covers, along each axis.
    """

    data: Any
    shape: tuple[int, ...]
    factors: NDArray[Any] | None

    @classmethod
    def of(cls, layer: Any, level: int) -> _Source:
        if not layer.multiscale:
            return cls(layer.data, image_shape(layer), None)
        factors = np.asarray(layer.downsample_factors)[level]
        return cls(layer.data[level], image_shape(layer), factors)

    def reader(self, plane: Plane, region: Region) -> Callable[[], NDArray[Any]]:
        """Return what reads the samples of a region."""
        data, index = self.data, self._index(plane, region)
        transposed, shape = plane.is_transposed, region.frame.shape

        def read() -> NDArray[Any]:
            samples = np.asarray(data[index])
            if transposed:
                samples = np.swapaxes(samples, 0, 1)
            return samples[: shape[0], : shape[1]]

        return read

    def _index(self, plane: Plane, region: Region) -> tuple[Any, ...]:
        if self.factors is None:
            box = tuple(edge * region.stride for edge in region.box)
            return plane.index((box[0], box[1], box[2], box[3]), region.stride)
        point = [
            min(int(each / factor), side - 1)
            for each, factor, side in zip(
                plane.point, self.factors, self.data.shape, strict=False
            )
        ]
        there = Plane(self.shape, plane.rows, plane.cols, tuple(point))
        return there.index(region.box)


def _mixing(
    readers: Sequence[Callable[[], NDArray[Any]]],
    mixers: Sequence[Callable[[NDArray[Any]], NDArray[np.float32]]],
) -> Callable[[], NDArray[np.uint8]]:
    """Return what reads layers and adds up the colours they are displayed in."""

    def read() -> NDArray[np.uint8]:
        shown = [mix(read()) for mix, read in zip(mixers, readers, strict=True)]
        total = np.clip(np.sum(shown, axis=0), 0, 1)
        colours: NDArray[np.uint8] = np.round(total * 255).astype(np.uint8)
        return colours

    return read


def _look(layer: Any) -> tuple[Any, ...]:
    if layer.rgb:
        return ("rgb",)
    limits = tuple(float(each) for each in layer.contrast_limits)
    return (*limits, float(layer.gamma), layer.colormap.name)


def _mixer(layer: Any) -> Callable[[NDArray[Any]], NDArray[np.float32]]:
    """Return what turns a layer's samples into the (H, W, 3) it is displayed as."""
    if layer.rgb:
        return _rgb
    low, high = (float(each) for each in layer.contrast_limits)
    gamma, colormap = float(layer.gamma), layer.colormap
    # Looked up in a table: mapping every sample is far slower.
    table = np.asarray(colormap.map(np.linspace(0, 1, 256)), np.float32)[:, :3]

    def mix(samples: NDArray[Any]) -> NDArray[np.float32]:
        span = max(high - low, 1e-12)
        unit = np.clip((samples.astype(np.float32) - low) / span, 0, 1) ** gamma
        colours: NDArray[np.float32] = table[np.round(unit * 255).astype(np.uint8)]
        return colours

    return mix


def _rgb(samples: NDArray[Any]) -> NDArray[np.float32]:
    colours: NDArray[np.float32] = samples[..., :3].astype(np.float32)
    if samples.dtype.kind in "ui":
        colours /= np.float32(np.iinfo(samples.dtype).max)
    return colours


def _with_margin(box: Box, size: tuple[int, int]) -> Box:
    row0, col0, row1, col1 = box
    rows, cols = int((row1 - row0) * MARGIN), int((col1 - col0) * MARGIN)
    return (
        max(row0 - rows, 0),
        max(col0 - cols, 0),
        min(row1 + rows, size[0]),
        min(col1 + cols, size[1]),
    )


def _in_samples(box: Box, step: tuple[float, float], sides: tuple[int, int]) -> Box:
    """Return the samples that a box of pixels touches."""
    row0, col0 = (int(box[axis] / step[axis]) for axis in (0, 1))
    row1, col1 = (
        min(math.ceil(box[axis + 2] / step[axis]), sides[axis]) for axis in (0, 1)
    )
    return row0, col0, row1, col1
