"""Any array a microscope makes, as the three channels a model was trained on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_sam.errors import ImageError

NORMALISATIONS = ("sam", "micro_sam", "pocket")
# A hot pixel or a cosmic ray is far rarer than one pixel in a thousand.
PERCENTILES = (0.1, 99.9)


def to_model_image(
    image: ArrayLike,
    *,
    normalisation: str,
    channel_axis: int | None = None,
    channel_map: Sequence[int | None] | None = None,
    contrast_limits: ArrayLike | None = None,
    gamma: float = 1.0,
) -> NDArray[np.float32]:
    """Turn an array into a model's three channels.

    NaN and minus infinity become the darkest finite value, infinity the brightest.

    Parameters
    ----------
    image : array_like
        (H, W); (H, W, 3) or (H, W, 4) RGB, alpha ignored; or (H, W) and channels along
        ``channel_axis``. Bool, integers or floats of any size; further axes of length 1
        are dropped.
    normalisation : str
        What the model was trained on. "sam": uint8 as it is, else stretched between
        percentiles. "micro_sam": each channel stretched between its extremes.
        "pocket": stretched between percentiles of all channels together.
    channel_axis : int, optional
        Axis of the channels; negative counts from the end.
    channel_map : sequence of int or None, optional
        The channels to show as red, green and blue; None leaves a colour black. By
        default one channel is grey, and of more channel ``i`` goes to colour
        ``i % 3``, the brightest winning where several share one.
    contrast_limits : array_like, shape (2,) or (channels, 2), optional
        Values shown as black and white, instead of the normalisation's own stretch.
    gamma : float
        Exponent after stretching, as displayed.

    Returns
    -------
    ndarray of float32, shape (3, H, W)
        In 0..1 for "pocket", whole numbers in 0..255 for the others.

    Raises
    ------
    ImageError
        If the array is empty, complex, not numeric or of unclear axes, or a setting
        does not fit it.
    """
    _check_settings(normalisation, gamma)
    channels = _split_channels(_checked(image), channel_axis)
    bright = _unit_range(channels, normalisation, contrast_limits)
    colours = _to_rgb(_curved(bright, gamma), channel_map)
    return colours if normalisation == "pocket" else _whole_numbers(colours)


def _check_settings(normalisation: str, gamma: float) -> None:
    if normalisation not in NORMALISATIONS:
        raise ImageError(
            f"Unknown normalisation {normalisation!r}: use one of {NORMALISATIONS}."
        )
    if not (np.isfinite(gamma) and gamma > 0):
        raise ImageError(f"gamma must be a positive number, not {gamma}.")


def _checked(image: ArrayLike) -> NDArray[Any]:
    try:
        array = np.asarray(image)
    except ValueError as error:
        raise ImageError("The image's rows differ in length.") from error
    if array.dtype.kind not in "buif":
        raise ImageError(
            f"An image of {array.dtype} cannot be segmented: give bool, integers or "
            "floats, such as the absolute value of complex data."
        )
    if not array.size:
        raise ImageError(f"The image is empty: its shape is {array.shape}.")
    return array


def _split_channels(array: NDArray[Any], channel_axis: int | None) -> NDArray[Any]:
    """Return (channels, H, W)."""
    if channel_axis is not None:
        return _drop_singletons(_channels_first(array, channel_axis), keep=1)
    if array.ndim > 2 and array.shape[-1] in (3, 4):
        array = _drop_singletons(np.moveaxis(array, -1, 0), keep=1)
        return array[:3]
    return _drop_singletons(array[None], keep=1)


def _channels_first(array: NDArray[Any], channel_axis: int) -> NDArray[Any]:
    if not -array.ndim <= channel_axis < array.ndim:
        raise ImageError(
            f"channel_axis {channel_axis} does not exist in an image of "
            f"{array.ndim} axes."
        )
    return np.moveaxis(array, channel_axis, 0)


def _drop_singletons(array: NDArray[Any], keep: int) -> NDArray[Any]:
    """Drop axes of length 1 after the first ``keep`` until a plane is left."""
    surplus = array.ndim - keep - 2
    single = [axis for axis in range(keep, array.ndim) if array.shape[axis] == 1]
    dropped = tuple(single[: max(surplus, 0)])
    if surplus < 0 or len(dropped) < surplus:
        raise ImageError(
            f"The image has the shape {array.shape[keep:]} beside its channels: give "
            "one plane (H, W), or name the axis of its channels with channel_axis (on "
            "the command line --channel-axis, and --axes ZYX for a stack)."
        )
    return array.squeeze(dropped)


def _limits(contrast_limits: ArrayLike, channels: NDArray[Any]) -> NDArray[np.float64]:
    """Return (channels, 2)."""
    try:
        limits = np.asarray(contrast_limits, dtype=np.float64)
        limits = np.broadcast_to(limits, (len(channels), 2))
    except (TypeError, ValueError) as error:
        raise ImageError(
            f"contrast_limits must be two numbers, or two for each of the "
            f"{len(channels)} channels."
        ) from error
    if not np.isfinite(limits).all() or (limits[:, 0] >= limits[:, 1]).any():
        raise ImageError("contrast_limits must be finite, the low one first.")
    return limits


def _unit_range(
    channels: NDArray[Any], normalisation: str, contrast_limits: ArrayLike | None
) -> NDArray[np.float32]:
    """Stretch (C, H, W) to float32 in 0..1."""
    limits = None if contrast_limits is None else _limits(contrast_limits, channels)
    if limits is None and channels.dtype == bool:
        return channels.astype(np.float32)
    if limits is None and channels.dtype == np.uint8 and normalisation == "sam":
        return channels.astype(np.float32) / np.float32(255)
    values = _finite(channels)
    if limits is None:
        limits = _own_limits(values, normalisation)
    return np.stack(
        [
            _stretch(each, float(low), float(high))
            for each, (low, high) in zip(values, limits, strict=True)
        ]
    )


def _finite(channels: NDArray[Any]) -> NDArray[Any]:
    """Return floats of enough precision, with no NaN or infinity left."""
    exact = channels.dtype.itemsize <= 2
    values: NDArray[Any] = channels.astype(np.float32 if exact else np.float64)
    if channels.dtype.kind != "f":
        return values
    finite = np.isfinite(values)
    if finite.all():
        return values
    known = values[finite]
    low, high = (known.min(), known.max()) if known.size else (0.0, 0.0)
    np.nan_to_num(values, copy=False, nan=low, neginf=low, posinf=high)
    return values


def _own_limits(values: NDArray[Any], normalisation: str) -> NDArray[np.float64]:
    """Return (channels, 2) limits that the normalisation derives from the image."""
    if normalisation == "micro_sam":
        return np.stack([values.min(axis=(1, 2)), values.max(axis=(1, 2))], axis=1)
    low, high = np.percentile(values, PERCENTILES)
    if low == high:
        # So few pixels differ that the percentiles miss them.
        low, high = values.min(), values.max()
    return np.broadcast_to(np.array([low, high], np.float64), (len(values), 2))


def _stretch(values: NDArray[Any], low: float, high: float) -> NDArray[np.float32]:
    """Map low..high to 0..1 and clip; zeros if there is no contrast."""
    if low == high:
        return np.zeros(values.shape, np.float32)
    # Halved first: the whole range of float64 does not fit into float64.
    span = 0.5 * high - 0.5 * low
    stretched = (0.5 * np.clip(values, low, high) - 0.5 * low) / span
    unit: NDArray[np.float32] = np.clip(stretched, 0, 1).astype(np.float32)
    return unit


def _curved(unit: NDArray[np.float32], gamma: float) -> NDArray[np.float32]:
    return unit if gamma == 1 else unit ** np.float32(gamma)


def _whole_numbers(unit: NDArray[np.float32]) -> NDArray[np.float32]:
    """Round 0..1 to whole numbers in 0..255."""
    whole: NDArray[np.float32] = np.floor(unit * np.float32(255) + np.float32(0.5))
    return whole


def _to_rgb(
    channels: NDArray[np.float32], channel_map: Sequence[int | None] | None
) -> NDArray[np.float32]:
    """Return (3, H, W) from any number of channels."""
    if channel_map is not None:
        return _mapped(channels, channel_map)
    if len(channels) == 1:
        return np.repeat(channels, 3, axis=0)
    colours = np.zeros((3, *channels.shape[1:]), np.float32)
    for index, channel in enumerate(channels):
        colour = colours[index % 3]
        np.maximum(colour, channel, out=colour)
    return colours


def _mapped(
    channels: NDArray[np.float32], channel_map: Sequence[int | None]
) -> NDArray[np.float32]:
    count = len(channels)
    fits = len(channel_map) == 3 and all(
        index is None or 0 <= index < count for index in channel_map
    )
    if not fits:
        raise ImageError(
            f"channel_map must be 3 channel numbers under {count}, for red, green and "
            f"blue (None for black), not {tuple(channel_map)}."
        )
    black = np.zeros(channels.shape[1:], np.float32)
    return np.stack([black if i is None else channels[i] for i in channel_map])
