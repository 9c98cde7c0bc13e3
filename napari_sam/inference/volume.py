"""`VolumeSegmenter`: prompts on some slices, objects in all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypedDict, Unpack, cast

from numpy.typing import ArrayLike

from napari_sam.inference.predictor import SamPredictor
from napari_sam.inference.volume_plan import (
    ConfirmedMasks,
    Direction,
    Prompts,
    Request,
    SweepPlan,
    all_starts,
    checked_directions,
    checked_limits,
    checked_request,
    reopen,
)
from napari_sam.inference.volume_planes import CACHE_BYTES, VolumePlanes
from napari_sam.inference.volume_result import VolumeObject, VolumeSegmentation
from napari_sam.inference.volume_source import VolumeLike
from napari_sam.inference.volume_steps import PropagationSettings
from napari_sam.inference.volume_sweep import OnSlice, Progress, Sweep
from napari_sam.structures import PointPrompt, PromptSet

if TYPE_CHECKING:
    from napari_sam.nn.pocket import Pocket
    from napari_sam.nn.sam import Sam

__all__ = [
    "ConfirmedMasks",
    "Direction",
    "Prompts",
    "VolumeSegmenter",
    "WalkOptions",
    "clicks_in_volume",
]


class WalkOptions(TypedDict, total=False):
    """How `VolumeSegmenter` goes through a volume; all may be left out.

    Attributes
    ----------
    channel_axis : int or None
        Axis of the volume's channels.
    contrast_limits : array_like or None
        Values shown as black and white in all slices; read from the volume by default.
    direction : str
        "both" (the default), "forward" (to larger indices) or "backward".
    limits : tuple of int or None
        First slice, and the one after the last, to go to.
    settings : PropagationSettings or None
        Instead of the segmenter's own; `PropagationSettings.for_movie()` along t.
    progress : callable or None
        Called with the numbers of slices done and to do.
    should_cancel : callable or None
        Asked before each slice; what was found until it says True is returned.
    on_slice : callable or None
        Called with a slice's index and its masks by id (`SliceMask`), each time they
        changed.
    """

    channel_axis: int | None
    contrast_limits: ArrayLike | None
    direction: Direction
    limits: tuple[int, int] | None
    settings: PropagationSettings | None
    progress: Progress | None
    should_cancel: Callable[[], bool] | None
    on_slice: OnSlice | None


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
        denoise: bool = True,
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
            denoise=denoise,
        )

    def propagate(
        self,
        volume: VolumeLike | VolumePlanes,
        prompts: Prompts | None = None,
        *,
        confirmed: ConfirmedMasks | None = None,
        axis: int = 0,
        **how: Unpack[WalkOptions],
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
        **how
            See `WalkOptions`.

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
        planes = self._opened(volume, axis, how)
        source = planes.source
        asked = checked_request(prompts, confirmed, source.slice_shape, source.length)
        result = VolumeSegmentation(source.shape, source.axis)
        for identifier, indices in asked.anchors.items():
            result.objects[identifier] = VolumeObject(anchors=set(indices))
        return self._walk(planes, asked, result, how)

    def correct(
        self,
        volume: VolumeLike | VolumePlanes,
        result: VolumeSegmentation,
        prompts: Prompts | None = None,
        *,
        confirmed: ConfirmedMasks | None = None,
        **how: Unpack[WalkOptions],
    ) -> VolumeSegmentation:
        """Prompt objects in further slices and redo only what that changes.

        From each of these slices the object is followed anew to both sides, up to the
        next slice that was prompted or confirmed, or until the new mask is what was
        there before. Prompted and confirmed slices, and other objects, stay as they
        are, except that other objects give way to a mask prompted or confirmed now. A
        prompt in a slice that was prompted before takes the place of those given then.

        Parameters
        ----------
        volume : array-like or VolumePlanes
            The one that ``result`` is of.
        result : VolumeSegmentation
            Not changed.
        prompts, confirmed
            As for `propagate`; objects that ``result`` lacks are new.
        **how
            See `WalkOptions`.

        Returns
        -------
        VolumeSegmentation

        Raises
        ------
        ImageError, PromptError
            As `propagate`.
        """
        axis = _with_channels(result.axis, how.get("channel_axis"))
        planes = self._opened(volume, axis, how)
        source = planes.source
        asked = checked_request(prompts, confirmed, source.slice_shape, source.length)
        redone = _copy(result)
        for identifier, indices in asked.anchors.items():
            each = redone.objects.setdefault(identifier, VolumeObject())
            reopen(each, indices, checked_directions(how.get("direction", "both")))
        return self._walk(planes, asked, redone, how, result.objects)

    def _opened(
        self, volume: VolumeLike | VolumePlanes, axis: int, how: WalkOptions
    ) -> VolumePlanes:
        return self.open(
            volume,
            axis=axis,
            channel_axis=how.get("channel_axis"),
            contrast_limits=how.get("contrast_limits"),
            denoise=not (how.get("settings") or self.settings).is_movie,
        )

    def _walk(
        self,
        planes: VolumePlanes,
        asked: Request,
        result: VolumeSegmentation,
        how: WalkOptions,
        before: Mapping[int, VolumeObject] | None = None,
    ) -> VolumeSegmentation:
        """Follow what was asked for, and write it into a result."""
        known = dict(before or {})
        plan = SweepPlan(
            asked.prompts,
            asked.masks,
            all_starts(asked.anchors),
            checked_limits(how.get("limits"), planes.source.length),
            fixed=set(known) - set(asked.anchors),
            before={n: each for n, each in known.items() if n in asked.anchors},
        )
        directions = checked_directions(how.get("direction", "both"))
        planes.prepare(asked.indices)
        Sweep(
            self._predictor,
            planes,
            plan,
            result,
            how.get("settings") or self.settings,
            progress=how.get("progress"),
            should_cancel=how.get("should_cancel"),
            on_slice=how.get("on_slice"),
        ).run(directions)
        return result


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


def _copy(result: VolumeSegmentation) -> VolumeSegmentation:
    objects = {
        n: VolumeObject(dict(each.slices), set(each.anchors), dict(each.ended))
        for n, each in result.objects.items()
    }
    return replace(result, objects=objects, complete=True)
