"""`VolumeSegmenter`: prompts on some slices, objects in all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Literal, cast, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_sam.errors import PromptError
from napari_sam.inference.predictor import SamPredictor
from napari_sam.inference.volume_planes import CACHE_BYTES, VolumePlanes
from napari_sam.inference.volume_result import VolumeObject, VolumeSegmentation
from napari_sam.inference.volume_source import VolumeLike
from napari_sam.inference.volume_steps import PropagationSettings
from napari_sam.inference.volume_sweep import (
    BACKWARD,
    FORWARD,
    OnSlice,
    Progress,
    Sweep,
    SweepPlan,
    all_starts,
)
from napari_sam.structures import PointPrompt, PromptSet

if TYPE_CHECKING:
    from napari_sam.nn.pocket import Pocket
    from napari_sam.nn.sam import Sam

Direction = Literal["both", "forward", "backward"]
Prompts = Mapping[int, Mapping[int, PromptSet]]
ConfirmedMasks = Mapping[int, Mapping[int, ArrayLike]]


class VolumeSegmenter:
    """Objects of a volume, or of a movie, from prompts on some of its slices.

    From each prompted slice the objects are followed to both sides: the mask found in
    one slice becomes the prompt for the next, until the object ends. Every slice is
    embedded once for all objects.

    Parameters
    ----------
    model : Sam or Pocket or SamPredictor
        From `create_model`. A predictor's own image is replaced.
    settings : PropagationSettings, optional
        How objects are followed and when they have ended.

    Examples
    --------
    >>> segmenter = VolumeSegmenter(create_model("pocket"))  # doctest: +SKIP
    >>> click = PromptSet(points=(PointPrompt((40, 52)),))  # doctest: +SKIP
    >>> found = segmenter.propagate(volume, {1: {30: click}})  # doctest: +SKIP
    >>> found.labels().shape == volume.shape  # doctest: +SKIP
    True
    """

    def __init__(
        self,
        model: Sam | Pocket | SamPredictor,
        settings: PropagationSettings | None = None,
    ) -> None:
        # A fake or another predictor will do, so long as it can answer.
        is_model = not hasattr(model, "predict_batch")
        self._predictor = cast(
            "SamPredictor", SamPredictor(cast("Sam", model)) if is_model else model
        )
        self.settings = settings or PropagationSettings()

    @property
    def predictor(self) -> SamPredictor:
        """The predictor that reads the slices."""
        return self._predictor

    def open(
        self,
        volume: VolumeLike | VolumePlanes,
        *,
        axis: int = 0,
        channel_axis: int | None = None,
        contrast_limits: ArrayLike | None = None,
        cache_bytes: int = CACHE_BYTES,
    ) -> VolumePlanes:
        """Prepare a volume that will be used several times.

        Parameters and errors are those of `VolumePlanes`; give the result to
        `propagate` and `correct` in place of the volume. What is open already stays
        as it is.
        """
        if isinstance(volume, VolumePlanes):
            return volume
        return VolumePlanes(
            self._predictor,
            volume,
            axis=axis,
            channel_axis=channel_axis,
            contrast_limits=contrast_limits,
            cache_bytes=cache_bytes,
        )

    def propagate(
        self,
        volume: VolumeLike | VolumePlanes,
        prompts: Prompts | None = None,
        *,
        confirmed: ConfirmedMasks | None = None,
        axis: int = 0,
        channel_axis: int | None = None,
        contrast_limits: ArrayLike | None = None,
        direction: Direction = "both",
        limits: tuple[int, int] | None = None,
        settings: PropagationSettings | None = None,
        progress: Progress | None = None,
        should_cancel: Callable[[], bool] | None = None,
        on_slice: OnSlice | None = None,
    ) -> VolumeSegmentation:
        """Follow objects from the slices in which they were prompted.

        Parameters
        ----------
        volume : array-like or VolumePlanes
            Three axes, or four with ``channel_axis``; numpy, dask, zarr ..., of any
            real dtype. Only single slices are read. Or what `open` returned.
        prompts : mapping of int to (mapping of int to PromptSet)
            Object id, 1 or more, to slice index to the prompts there, in (row, col)
            of the slice. One slice or several: between two of them an object is
            followed from both and the better mask is kept.
        confirmed : mapping of int to (mapping of int to array_like), optional
            Object id to slice index to a mask, bool (rows, columns), that is right: it
            is taken over and never altered. An empty one says that the object is not
            in that slice.
        axis : int
            The axis to walk along: z of a stack, t of a movie.
        channel_axis : int, optional
            Axis of the volume's channels.
        contrast_limits : array_like, optional
            Values shown as black and white in all slices; read from the volume by
            default.
        direction : str
            "both", "forward" (to larger indices) or "backward".
        limits : tuple of int, optional
            First slice, and the one after the last, to go to.
        settings : PropagationSettings, optional
            Instead of the segmenter's own.
        progress : callable, optional
            Called with the numbers of slices done and to do.
        should_cancel : callable, optional
            Asked before each slice; what was found until it says True is returned.
        on_slice : callable, optional
            Called with a slice's index and its masks by id (`SliceMask`), each time
            they changed.

        Returns
        -------
        VolumeSegmentation

        Raises
        ------
        ImageError
            If the axes do not fit the volume.
        PromptError
            If there is no prompt, or one lies outside the volume or cannot be used.
        """
        planes = self.open(
            volume,
            axis=axis,
            channel_axis=channel_axis,
            contrast_limits=contrast_limits,
        )
        source = planes.source
        asked = {n: dict(each) for n, each in (prompts or {}).items() if each}
        masks = _checked_masks(confirmed or {}, source.slice_shape)
        anchors = _anchors(asked, masks, source.length)
        _check_direction(direction)
        result = VolumeSegmentation(source.shape, source.axis)
        for identifier, indices in anchors.items():
            result.objects[identifier] = VolumeObject(anchors=set(indices))
        plan = SweepPlan(
            asked, masks, all_starts(anchors), _limits(limits, source.length)
        )
        planes.prepare(sorted({n for each in anchors.values() for n in each}))
        Sweep(
            self._predictor,
            planes,
            plan,
            result,
            settings or self.settings,
            progress=progress,
            should_cancel=should_cancel,
            on_slice=on_slice,
        ).run(_directions(direction))
        return result

    def correct(
        self,
        volume: VolumeLike | VolumePlanes,
        result: VolumeSegmentation,
        prompts: Prompts | None = None,
        *,
        confirmed: ConfirmedMasks | None = None,
        channel_axis: int | None = None,
        contrast_limits: ArrayLike | None = None,
        direction: Direction = "both",
        limits: tuple[int, int] | None = None,
        settings: PropagationSettings | None = None,
        progress: Progress | None = None,
        should_cancel: Callable[[], bool] | None = None,
        on_slice: OnSlice | None = None,
    ) -> VolumeSegmentation:
        """Prompt objects in further slices and redo only what that changes.

        The slices up to the next prompted or confirmed ones on both sides are redone;
        those themselves, and other objects, stay as they are, except that other
        objects give way to a mask prompted or confirmed now. A prompt in a slice that
        was prompted before takes the place of those given then.

        Parameters
        ----------
        volume : array-like or VolumePlanes
            The one that ``result`` is of.
        result : VolumeSegmentation
            Not changed.
        prompts, confirmed, channel_axis, contrast_limits, direction, limits, settings
            As for `propagate`; objects that ``result`` lacks are new.
        progress, should_cancel, on_slice
            As for `propagate`.

        Returns
        -------
        VolumeSegmentation

        Raises
        ------
        ImageError, PromptError
            As `propagate`.
        """
        planes = self.open(
            volume,
            axis=_with_channels(result.axis, channel_axis),
            channel_axis=channel_axis,
            contrast_limits=contrast_limits,
        )
        source = planes.source
        asked = {n: dict(each) for n, each in (prompts or {}).items() if each}
        masks = _checked_masks(confirmed or {}, source.slice_shape)
        changed = _anchors(asked, masks, source.length)
        _check_direction(direction)
        redone = _copy(result)
        reach = _limits(limits, source.length)
        starts: dict[str, dict[int, set[int]]] = {FORWARD: {}, BACKWARD: {}}
        for identifier, indices in changed.items():
            each = redone.objects.setdefault(identifier, VolumeObject())
            _reopen(each, indices, reach, _directions(direction), starts, identifier)
        plan = SweepPlan(
            asked, masks, starts, reach, set(result.objects) - set(changed)
        )
        planes.prepare(sorted({n for each in changed.values() for n in each}))
        Sweep(
            self._predictor,
            planes,
            plan,
            redone,
            settings or self.settings,
            progress=progress,
            should_cancel=should_cancel,
            on_slice=on_slice,
        ).run(_directions(direction))
        return redone


def clicks_in_volume(
    points: Iterable[Sequence[float]], axis: int = 0, first_id: int = 1
) -> dict[int, dict[int, PromptSet]]:
    """Make prompts for `VolumeSegmenter.propagate` of one click for each object.

    Parameters
    ----------
    points : iterable of sequence of float
        Positions in the volume, in voxels, in its own axis order.
    axis : int
        The axis to walk along.
    first_id : int
        Id of the first object.
    """
    prompts: dict[int, dict[int, PromptSet]] = {}
    for identifier, point in enumerate(points, start=first_id):
        place = list(point)
        index = round(place.pop(axis))
        click = PointPrompt((float(place[0]), float(place[1])))
        prompts[identifier] = {index: PromptSet(points=(click,))}
    return prompts


def _with_channels(axis: int, channel_axis: int | None) -> int:
    """Return the place of a spatial axis in an array that has channels too."""
    if channel_axis is None:
        return axis
    return [n for n in range(4) if n != channel_axis % 4][axis]


def _checked_masks(
    given: ConfirmedMasks, shape: tuple[int, int]
) -> dict[int, dict[int, NDArray[np.bool_]]]:
    masks = {
        n: {index: np.asarray(mask).astype(bool) for index, mask in each.items()}
        for n, each in given.items()
        if each
    }
    for each in masks.values():
        for index, mask in each.items():
            if mask.shape != shape:
                raise PromptError(
                    f"The confirmed mask of slice {index} has the shape {mask.shape}, "
                    f"and the slices {shape}."
                )
    return masks


def _anchors(
    prompts: Prompts, masks: Mapping[int, Mapping[int, object]], length: int
) -> dict[int, set[int]]:
    """Slices with prompts or masks, by object id."""
    anchors: dict[int, set[int]] = {}
    for given in (prompts, masks):
        for identifier, each in given.items():
            anchors.setdefault(identifier, set()).update(each)
    if not anchors:
        raise PromptError("There is no prompt: give at least one on one slice.")
    for identifier, indices in anchors.items():
        if identifier < 1:
            raise PromptError(f"Object ids start at 1; {identifier} is none.")
        outside = [n for n in sorted(indices) if not 0 <= n < length]
        if outside:
            raise PromptError(
                f"Slice {outside[0]} is outside the volume, whose slices are 0 to "
                f"{length - 1}."
            )
    return anchors


def _check_direction(direction: str) -> None:
    if direction not in get_args(Direction):
        raise PromptError(
            f"Unknown direction {direction!r}: use one of {get_args(Direction)}."
        )


def _directions(direction: str) -> tuple[str, ...]:
    return (FORWARD, BACKWARD) if direction == "both" else (direction,)


def _limits(limits: tuple[int, int] | None, length: int) -> tuple[int, int]:
    low, high = limits or (0, length)
    if not 0 <= low < high <= length:
        raise PromptError(
            f"limits {low} to {high} do not lie in a volume of {length} slices."
        )
    return low, high


def _copy(result: VolumeSegmentation) -> VolumeSegmentation:
    objects = {
        n: VolumeObject(dict(each.slices), set(each.anchors), dict(each.ended))
        for n, each in result.objects.items()
    }
    return replace(result, objects=objects, complete=True)


def _reopen(
    each: VolumeObject,
    indices: set[int],
    reach: tuple[int, int],
    directions: Sequence[str],
    starts: dict[str, dict[int, set[int]]],
    identifier: int,
) -> None:
    """Forget what new anchors put in question, and say where to start again."""
    kept = each.anchors - indices
    each.anchors |= indices
    forward, backward = set(indices), set(indices)
    for index in indices:
        before = max((n for n in kept if n < index), default=None)
        after = min((n for n in kept if n > index), default=None)
        if before is not None:
            forward.add(before)
        if after is not None:
            backward.add(after)
        low = reach[0] if before is None else before + 1
        high = reach[1] if after is None else after
        if BACKWARD not in directions:
            low = index
        if FORWARD not in directions:
            high = index + 1
        for n in [n for n in each.slices if low <= n < high]:
            if n not in kept:
                del each.slices[n]
        _forget_ends(each, before, after)
    starts[FORWARD][identifier] = forward
    starts[BACKWARD][identifier] = backward


def _forget_ends(each: VolumeObject, before: int | None, after: int | None) -> None:
    if after is None:
        each.ended.pop(FORWARD, None)
    if before is None:
        each.ended.pop(BACKWARD, None)
