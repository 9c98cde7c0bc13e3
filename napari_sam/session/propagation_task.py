"""One propagation, frozen when it was asked for, and what it becomes in the labels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_sam.geometry import mask_to_box, resample
from napari_sam.session.filling import ObjectFill, SliceFill
from napari_sam.session.labels import LabelStore, PlacedMask
from napari_sam.session.objects import SegmentedObject
from napari_sam.session.plane import Plane, Stack
from napari_sam.session.view import ImageView
from napari_sam.structures import Frame, MaskRecord, Provenance

if TYPE_CHECKING:
    from napari_sam.inference.volume import Direction
    from napari_sam.inference.volume_result import SliceMask, VolumeSegmentation
    from napari_sam.inference.volume_steps import PropagationSettings


@dataclass(frozen=True, eq=False)
class Target:
    """An object that is to be followed.

    Attributes
    ----------
    id : int
    seeds : dict of int to PlacedMask
        Its right masks, by index along the stack, to start from.
    keeps : bool
        Whether its other slices stay, up to those that a person made: only what the
        seeds put in question is done again.
    made : ObjectFill
        What is known of the object if it is new.
    """

    id: int
    seeds: dict[int, PlacedMask]
    keeps: bool
    made: ObjectFill


@dataclass(frozen=True, eq=False)
class PropagationTask:
    """What to propagate, through what, and how.

    Attributes
    ----------
    view : ImageView
        Of a plane of the stack.
    stack : Stack
    targets : tuple of Target
    objects : tuple of SegmentedObject
        All that there are.
    store : LabelStore
    direction : {"both", "forward", "backward"}
    limits : tuple of int
        First index, and the one after the last.
    settings : PropagationSettings
    """

    view: ImageView
    stack: Stack
    targets: tuple[Target, ...]
    objects: tuple[SegmentedObject, ...]
    store: LabelStore
    direction: Direction
    limits: tuple[int, int]
    settings: PropagationSettings
    _known: dict[tuple[int, int], Any] = field(
        default_factory=dict, init=False, repr=False
    )

    @property
    def ids(self) -> set[int]:
        """Of the objects that are followed."""
        return {each.id for each in self.targets}

    def confirmed(self) -> dict[int, dict[int, NDArray[np.bool_]]]:
        """Return the seeds, in samples of the view."""
        return {
            each.id: {
                index: _full(to_samples(placed, self.view.frame), self.view.frame)
                for index, placed in each.seeds.items()
            }
            for each in self.targets
        }

    def existing(self) -> VolumeSegmentation:
        """Return the objects that are there, but for the slices to be found anew."""
        from napari_sam.inference.volume_result import VolumeObject, VolumeSegmentation

        shape = (self.stack.length, *self.view.frame.shape)
        found = VolumeSegmentation(shape)
        renewed = {each.id for each in self.targets if not each.keeps}
        for each in self.objects:
            known = VolumeObject()
            for index, mask in self._slices(each):
                known.slices[index] = mask
                if mask.rank:
                    known.anchors.add(index)
            if known.slices and each.id not in renewed:
                found.objects[each.id] = known
        return found

    def fills(self, found: VolumeSegmentation) -> list[ObjectFill]:
        """Return what a result changes in the labels.

        Parameters
        ----------
        found : VolumeSegmentation
            It may be incomplete: slices that were not reached stay as they are.
        """
        made = [self._fill(each, found) for each in self.targets]
        return [each for each in made if each.planes]

    def placed(self, mask: SliceMask, index: int) -> PlacedMask | None:
        """Return a mask of a result in pixels of its plane."""
        return to_pixels(mask.record, self.view.frame, self.stack.at(index))

    def _slices(self, each: SegmentedObject) -> list[tuple[int, SliceMask]]:
        from napari_sam.inference.volume_result import SliceMask

        found = []
        for region in each.regions:
            index = self.stack.index_of(region.plane)
            if index is None:
                continue
            mask = self.store.mask(region.plane, region.box, each.id)
            placed = PlacedMask(region.plane, region.box[:2], mask)
            record = to_samples(placed, self.view.frame)
            if record is None:
                continue
            by_hand = region.confidence is None
            sure = 1.0 if region.confidence is None else region.confidence
            known = SliceMask(record, sure, rank=2 * by_hand)
            self._known[each.id, index] = known.record.mask
            found.append((index, known))
        return found

    def _fill(self, target: Target, found: VolumeSegmentation) -> ObjectFill:
        result = found.objects.get(target.id)
        slices = {} if result is None else result.slices
        fills, present = [], set()
        for index, mask in sorted(slices.items()):
            present.add(index)
            if self._known.get((target.id, index)) is mask.record.mask:
                continue
            if index in target.seeds:
                fills.append(SliceFill(target.seeds[index]))
                continue
            placed = self.placed(mask, index)
            if placed is not None:
                fills.append(SliceFill(placed, round(float(mask.confidence), 4)))
        cleared: list[Plane] = []
        if found.complete:
            cleared = [self.stack.at(n) for n in self._lost(target, present)]
        return replace(target.made, slices=tuple(fills), cleared=tuple(cleared))

    def _lost(self, target: Target, present: set[int]) -> Sequence[int]:
        """Return where the object was, and should have been found again but was not."""
        known = {index for number, index in self._known if number == target.id}
        low, high = self._reach(target)
        return [n for n in sorted(known - present) if low <= n < high]

    def _reach(self, target: Target) -> tuple[int, int]:
        low, high = self.limits
        if self.direction == "forward":
            low = max(low, min(target.seeds))
        if self.direction == "backward":
            high = min(high, max(target.seeds) + 1)
        return low, high


class StackArray:
    """The planes of a stack as a volume that is read slice by slice.

    Parameters
    ----------
    view : ImageView
        Of one plane; the others are read in the same region and colours.
    stack : Stack
    limits : tuple of int, optional
        First index along the stack, and the one after the last, of a part of it.
    """

    def __init__(
        self, view: ImageView, stack: Stack, limits: tuple[int, int] | None = None
    ) -> None:
        assert view.at is not None
        self._view_at: Callable[[Plane], ImageView] = view.at
        self._view, self._stack = view, stack
        self._low, self._high = limits or (0, stack.length)

    @cached_property
    def _shown(self) -> NDArray[Any]:
        return np.asarray(self._view.read())

    @property
    def dtype(self) -> np.dtype[Any]:
        """Of all planes."""
        return self._shown.dtype

    @property
    def shape(self) -> tuple[int, ...]:
        """Planes first."""
        return self._high - self._low, *self._shown.shape

    @property
    def key(self) -> Any:
        """The same for the same samples; nothing is read for it."""
        return self._high - self._low, self._stack.axis, self._at(0).key

    def __getitem__(self, key: Any) -> NDArray[Any]:
        """Return one slice: the key's first item is its index."""
        index = key[0] if isinstance(key, tuple) else key
        return np.asarray(self._at(int(index)).read())

    def _at(self, index: int) -> ImageView:
        return self._view_at(self._stack.at(self._low + index))


def to_samples(placed: PlacedMask, frame: Frame) -> MaskRecord | None:
    """Return a mask in pixels of a plane as one in a view's samples; None if empty."""
    if frame.step == (1.0, 1.0):
        mask, corner = placed.mask, np.array(placed.origin) - frame.origin
        row, col = np.round(corner).astype(int).tolist()
        start = max(-row, 0), max(-col, 0)
        mask = mask[start[0] : frame.shape[0] - row, start[1] : frame.shape[1] - col]
        return _record(mask, (row + start[0], col + start[1]))
    origin = float(placed.origin[0]), float(placed.origin[1])
    shape = placed.mask.shape[0], placed.mask.shape[1]
    source = Frame(origin, (1.0, 1.0), shape)
    return _record(resample(placed.mask, source, frame) > 0.5, (0, 0))


def to_pixels(record: MaskRecord, frame: Frame, plane: Plane) -> PlacedMask | None:
    """Return a mask in a view's samples as one in pixels of a plane; None if empty."""
    corner = np.array(record.origin) * frame.step + frame.origin
    low = np.floor(corner).astype(int)
    if frame.step == (1.0, 1.0):
        return PlacedMask(plane, (int(low[0]), int(low[1])), record.mask).tight()
    high = np.ceil(corner + np.array(record.mask.shape) * frame.step).astype(int)
    high = np.minimum(high, plane.size)
    shape = int(high[0] - low[0]), int(high[1] - low[1])
    height, width = record.mask.shape
    source = Frame((float(corner[0]), float(corner[1])), frame.step, (height, width))
    target = Frame((float(low[0]), float(low[1])), (1.0, 1.0), shape)
    inside = resample(record.mask, source, target) > 0.5
    return PlacedMask(plane, (int(low[0]), int(low[1])), inside).tight()


def _record(mask: NDArray[np.bool_], origin: tuple[int, int]) -> MaskRecord | None:
    box = mask_to_box(mask) if mask.size else None
    if box is None:
        return None
    row0, col0, row1, col1 = box
    place = origin[0] + row0, origin[1] + col0
    return MaskRecord(mask[row0:row1, col0:col1].copy(), place, 1.0, 1.0)


def _full(record: MaskRecord | None, frame: Frame) -> NDArray[np.bool_]:
    canvas = np.zeros(frame.shape, bool)
    if record is not None:
        row, col = record.origin
        height, width = record.mask.shape
        canvas[row : row + height, col : col + width] = record.mask
    return canvas


def new_object(
    number: int,
    class_name: str,
    provenance: Provenance,
    scores: tuple[float, float] = (float("nan"), float("nan")),
) -> ObjectFill:
    """Return what is known of an object before it is followed."""
    return ObjectFill(number, (), (), class_name, *scores, provenance)
