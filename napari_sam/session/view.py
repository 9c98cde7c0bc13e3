"""What a model is shown: the samples of a region of one plane, read when needed."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_sam.geometry import Box, frame_to_image, image_to_frame, resample
from napari_sam.session.plane import Plane
from napari_sam.structures import (
    BoxPrompt,
    Frame,
    MaskPrediction,
    MaskPrompt,
    PointPrompt,
    PromptSet,
)


@dataclass(frozen=True)
class Display:
    """How samples become colours; see `to_model_image`.

    Attributes
    ----------
    channel_axis : int or None
    channel_map : tuple of (int or None), or None
    contrast_limits : tuple or None
    gamma : float
    """

    channel_axis: int | None = None
    channel_map: tuple[int | None, ...] | None = None
    contrast_limits: tuple[Any, ...] | None = None
    gamma: float = 1.0


@dataclass(frozen=True, eq=False)
class ImageView:
    """A region of a plane at some resolution.

    Attributes
    ----------
    key : hashable
        Views of one key show the same samples in the same colours.
    plane : Plane
    frame : Frame
        Where the samples lie in the plane.
    read : callable
        Returns the samples, shape ``frame.shape`` and perhaps channels; called off
        the main thread, once, when they are needed.
    display : Display
    at : callable or None
        Returns the view of the same region of another plane; None for a single image.
    axis_names : tuple of str
        Of the array's axes; empty if they have none.
    spacing : tuple of float
        Distance of neighbours along each axis; empty if it is not known.
    """

    key: Hashable
    plane: Plane
    frame: Frame
    read: Callable[[], ArrayLike]
    display: Display = field(default_factory=Display)
    at: Callable[[Plane], ImageView] | None = None
    axis_names: tuple[str, ...] = ()
    spacing: tuple[float, ...] = ()

    @property
    def is_full_resolution(self) -> bool:
        """Whether samples are pixels of the plane."""
        return self.frame.step == (1.0, 1.0)

    @property
    def box(self) -> Box:
        """(row0, col0, row1, col1) of the region, in whole pixels of the plane."""
        corners = frame_to_image(np.array([(0, 0), self.frame.shape]), self.frame)
        low, high = np.floor(corners[0]), np.ceil(corners[1])
        high = np.minimum(high, self.plane.size)
        return int(low[0]), int(low[1]), int(high[0]), int(high[1])

    def contains(self, position: Sequence[float]) -> bool:
        """Whether a (row, col) pixel of the plane lies in the region."""
        row0, col0, row1, col1 = self.box
        row, col = position
        return row0 - 0.5 <= row < row1 - 0.5 and col0 - 0.5 <= col < col1 - 0.5


def array_view(image: ArrayLike, key: Hashable = "image", **display: Any) -> ImageView:
    """Return the view of a whole image at its own resolution.

    Parameters
    ----------
    image : array_like
        (H, W), (H, W, 3), (H, W, 4), or with channels along ``channel_axis``.
    key : hashable
    **display
        Attributes of `Display`.
    """
    array = np.asarray(image)
    shown = Display(**display)
    sides = list(array.shape)
    if shown.channel_axis is not None:
        del sides[shown.channel_axis]
    shape = (sides[0], sides[1])
    frame = Frame((0.0, 0.0), (1.0, 1.0), shape)
    return ImageView(key, Plane.whole(shape), frame, lambda: array, shown)


def stack_view(
    array: Any,
    plane: Plane,
    key: Hashable = "volume",
    axis_names: tuple[str, ...] = (),
    spacing: tuple[float, ...] = (),
) -> ImageView:
    """Return the view of a plane of a volume or movie, at its own resolution.

    Parameters
    ----------
    array : array-like
        Of the plane's shape; numpy, dask, zarr: only shown planes are read.
    plane : Plane
    key : hashable
    axis_names : tuple of str
    spacing : tuple of float
        See `ImageView`.
    """

    def at(plane: Plane) -> ImageView:
        return stack_view(array, plane, key, axis_names, spacing)

    box = (0, 0, *plane.size)
    return ImageView(
        (key, plane),
        plane,
        Frame((0.0, 0.0), (1.0, 1.0), plane.size),
        lambda: plane.read(array, box),
        at=at,
        axis_names=axis_names,
        spacing=spacing,
    )


def to_view(prompts: PromptSet, view: ImageView) -> PromptSet:
    """Move prompts from pixels of the plane to samples of a view."""
    if view.is_full_resolution and view.frame.origin == (0.0, 0.0):
        return prompts
    return replace(
        prompts,
        points=tuple(_point_to_view(each, view.frame) for each in prompts.points),
        box=prompts.box and _box_to_view(prompts.box, view.frame),
        mask=prompts.mask and _mask_to_view(prompts.mask, view),
    )


def _point_to_view(point: PointPrompt, frame: Frame) -> PointPrompt:
    # Pixel r has its centre at r + 0.5.
    row, col = image_to_frame(np.array(point.position) + 0.5, frame) - 0.5
    return PointPrompt((float(row), float(col)), point.positive)


def _box_to_view(box: BoxPrompt, frame: Frame) -> BoxPrompt:
    corners = image_to_frame(np.array([box.start, box.stop]), frame)
    (row0, col0), (row1, col1) = corners.tolist()
    return BoxPrompt((row0, col0), (row1, col1))


def _mask_to_view(mask: MaskPrompt, view: ImageView) -> MaskPrompt:
    if mask.frame is None:
        whole = Frame((0.0, 0.0), (1.0, 1.0), view.plane.size)
        inside = resample(np.asarray(mask.values) > 0, whole, view.frame)
        return MaskPrompt(inside > 0.5)
    origin = image_to_frame(np.array(mask.frame.origin), view.frame)
    step = np.array(mask.frame.step) / view.frame.step
    frame = Frame(_pair(origin), _pair(step), mask.frame.shape)
    return MaskPrompt(mask.values, frame)


def _pair(values: NDArray[Any]) -> tuple[float, float]:
    return float(values[0]), float(values[1])


def logits_frame(prediction: MaskPrediction, view: ImageView) -> Frame:
    """Return where a prediction's ``low_res_masks`` lie in the plane."""
    inner = prediction.frame
    origin = frame_to_image(np.array(inner.origin), view.frame)
    step = np.array(inner.step) * view.frame.step
    return Frame(_pair(origin), _pair(step), inner.shape)
