"""Check prompts against an image, so that a model only meets usable ones."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_sam.errors import PromptError
from napari_sam.inference.framing import ImageEmbedding
from napari_sam.structures import BoxPrompt, MaskPrompt, PointPrompt, PromptSet

# Napari puts pixel centres on whole numbers, so a click on pixel 0 may be at -0.4.
HALF_PIXEL = 0.5


def prompt_set(
    *,
    points: ArrayLike | None = None,
    point_labels: ArrayLike | None = None,
    box: ArrayLike | None = None,
    mask_input: ArrayLike | MaskPrompt | None = None,
) -> PromptSet:
    """Gather the arrays that describe one object.

    Parameters
    ----------
    points : array_like, shape (N, 2), optional
        (row, col) positions in pixels of the full image.
    point_labels : array_like, shape (N,), optional
        1 or True on the object, 0 or False off it; all positive by default.
    box : array_like, shape (4,), optional
        (row0, col0, row1, col1) in pixels, the second corner exclusive.
    mask_input : array_like or MaskPrompt, optional
        Bool (H, W) in the full image, or the (h, w) or (1, h, w) float logits of an
        earlier prediction.

    Raises
    ------
    PromptError
        If a shape or a label is not as described.
    """
    return PromptSet(
        points=_points(points, point_labels),
        box=None if box is None else _box(box),
        mask=None if mask_input is None else _mask(mask_input),
    )


def check_prompts(
    prompts: PromptSet, embedding: ImageEmbedding, accepted: Collection[str]
) -> PromptSet:
    """Return prompts that are fit for a model, or say why they are not.

    Parameters
    ----------
    prompts : PromptSet
        One object's prompts.
    embedding : ImageEmbedding
        Of the image they lie in.
    accepted : collection of str
        The kinds the model takes: "point", "box", "mask", "text".

    Returns
    -------
    PromptSet
        With its box clipped to the image and its mask bool (H, W) without a frame, or
        float32 logits with one.

    Raises
    ------
    PromptError
        If there is no prompt, or one is of a kind that the model does not take, is not
        finite, lies outside the image, is empty or has a wrong shape.
    """
    _check_kinds(prompts, embedding.model_name, accepted)
    for point in prompts.points:
        _check_point(point, embedding.image_shape)
    return replace(
        prompts,
        box=prompts.box and _clip_box(prompts.box, embedding.image_shape),
        mask=prompts.mask and _check_mask(prompts.mask, embedding),
    )


def _points(
    points: ArrayLike | None, labels: ArrayLike | None
) -> tuple[PointPrompt, ...]:
    if points is None:
        if labels is not None:
            raise PromptError("point_labels came without points: give both.")
        return ()
    positions = _floats(points, "points")
    if positions.ndim != 2 or positions.shape[1] != 2:
        raise PromptError(
            f"points have the shape {positions.shape}: give (N, 2), a (row, col) each."
        )
    return tuple(
        PointPrompt((float(row), float(col)), positive)
        for (row, col), positive in zip(
            positions, _labels(labels, len(positions)), strict=True
        )
    )


def _labels(labels: ArrayLike | None, count: int) -> list[bool]:
    if labels is None:
        return [True] * count
    values = np.asarray(labels)
    if values.shape != (count,):
        raise PromptError(
            f"There are {count} points but point_labels has the shape "
            f"{values.shape}: give one label a point."
        )
    if not np.isin(values, (0, 1)).all():
        raise PromptError("point_labels must be 1 (on the object) or 0 (off it).")
    return [bool(value) for value in values]


def _box(box: ArrayLike) -> BoxPrompt:
    values = _floats(box, "box")
    if values.shape != (4,):
        raise PromptError(
            f"box has the shape {values.shape}: give 4 numbers, row0, col0, row1, col1;"
            " several boxes are several objects, for predict_batch."
        )
    row0, col0, row1, col1 = map(float, values)
    return BoxPrompt((row0, col0), (row1, col1))


def _mask(mask: ArrayLike | MaskPrompt) -> MaskPrompt:
    if isinstance(mask, MaskPrompt):
        return mask
    values = np.asarray(mask)
    if values.ndim == 3 and len(values) == 1:
        values = values[0]
    return MaskPrompt(values)


def _floats(values: ArrayLike, name: str) -> NDArray[np.float64]:
    try:
        return np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise PromptError(f"{name} must be numbers in an array.") from error


def _check_kinds(prompts: PromptSet, model: str, accepted: Collection[str]) -> None:
    if prompts.is_empty:
        raise PromptError("There is no prompt: give a point, a box or a mask.")
    given = {
        "point": bool(prompts.points),
        "box": prompts.box is not None,
        "mask": prompts.mask is not None,
        "text": prompts.text is not None,
    }
    for kind, is_given in given.items():
        if is_given and kind not in accepted:
            raise PromptError(
                f"The model {model!r} takes no {kind} prompt, only "
                f"{', '.join(sorted(accepted))}: choose another prompt or model."
            )


def _check_point(point: PointPrompt, shape: tuple[int, int]) -> None:
    position = _pair(point.position, "point")
    inside = (position >= -HALF_PIXEL) & (position < np.asarray(shape))
    if not inside.all():
        raise PromptError(
            f"The point (row {position[0]:g}, col {position[1]:g}) is outside the "
            f"image of {shape[0]} x {shape[1]} pixels."
        )


def _pair(values: Sequence[float], name: str) -> NDArray[np.float64]:
    pair = _floats(values, name)
    if pair.shape != (2,):
        raise PromptError(f"A {name} position must be two numbers, row and col.")
    if not np.isfinite(pair).all():
        raise PromptError(f"A {name} position is NaN or infinite: give pixels.")
    return pair


def _clip_box(box: BoxPrompt, shape: tuple[int, int]) -> BoxPrompt:
    start, stop = _pair(box.start, "box"), _pair(box.stop, "box")
    text = f"The box from {tuple(start.tolist())} to {tuple(stop.tolist())}"
    if (stop <= start).any():
        raise PromptError(
            f"{text} is inverted or has no area: its second corner must be larger in "
            "row and col."
        )
    start, stop = np.maximum(start, 0), np.minimum(stop, shape)
    if (stop <= start).any():
        raise PromptError(
            f"{text} is outside the image of {shape[0]} x {shape[1]} pixels."
        )
    row0, col0, row1, col1 = map(float, (*start, *stop))
    return BoxPrompt((row0, col0), (row1, col1))


def _check_mask(mask: MaskPrompt, embedding: ImageEmbedding) -> MaskPrompt:
    values = np.asarray(mask.values)
    if values.dtype.kind not in "buif":
        raise PromptError(f"A mask prompt must be bool or float, not {values.dtype}.")
    frame = mask.frame
    if frame is None and values.dtype.kind == "f":
        default = embedding.low_res_frame
        frame = default if default and values.shape == default.shape else None
    if frame is None:
        return MaskPrompt(_full_mask(values, embedding.image_shape))
    return MaskPrompt(_logits(values, frame.shape), frame)


def _full_mask(values: NDArray[Any], shape: tuple[int, int]) -> NDArray[np.bool_]:
    if values.shape != shape:
        raise PromptError(
            f"The mask prompt has the shape {values.shape} but the image {shape}: give "
            "a mask of the image, or the low_res_masks of a prediction."
        )
    inside = values > 0
    if not inside.any():
        raise PromptError("The mask prompt is empty: mark the object in it.")
    return inside


def _logits(values: NDArray[Any], shape: tuple[int, int]) -> NDArray[np.float32]:
    if values.shape != shape:
        raise PromptError(
            f"The mask prompt has the shape {values.shape} but its frame {shape}."
        )
    if not np.isfinite(values).all():
        raise PromptError("The mask prompt holds NaN or infinite logits.")
    return values.astype(np.float32)
