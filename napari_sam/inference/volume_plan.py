"""What a walk through a volume is to do: its prompts, its limits, where it starts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from napari_sam.errors import PromptError
from napari_sam.inference.volume_result import VolumeObject
from napari_sam.structures import PromptSet

FORWARD, BACKWARD = "forward", "backward"
STEP = {FORWARD: 1, BACKWARD: -1}

Direction = Literal["both", "forward", "backward"]
Prompts = Mapping[int, Mapping[int, PromptSet]]
ConfirmedMasks = Mapping[int, Mapping[int, ArrayLike]]
Masks = dict[int, dict[int, NDArray[np.bool_]]]
Starts = dict[str, dict[int, set[int]]]


@dataclass(eq=False)
class SweepPlan:
    """What a walk through the slices is to do.

    Attributes
    ----------
    prompts : dict of int to dict of int to PromptSet
        By object id and slice.
    masks : dict of int to dict of int to ndarray of bool
        Confirmed masks by object id and slice, (rows, columns); an empty one says that
        the object is not there.
    starts : dict of str to dict of int to set of int
        For each direction and object, the anchors that it is followed from.
    limits : tuple of int
        First slice and the one after the last.
    fixed : set of int
        Objects that are not part of this.
    before : dict of int to VolumeObject
        Objects that are corrected, as they were.
    """

    prompts: dict[int, dict[int, PromptSet]]
    masks: Masks
    starts: Starts
    limits: tuple[int, int]
    fixed: set[int] = field(default_factory=set)
    before: dict[int, VolumeObject] = field(default_factory=dict)

    @property
    def new_anchors(self) -> dict[int, set[int]]:
        """Objects with a prompt or confirmed mask, by slice."""
        found: dict[int, set[int]] = {}
        for given in (self.prompts, self.masks):
            for identifier, each in given.items():
                for index in each:
                    found.setdefault(index, set()).add(identifier)
        return found

    @property
    def corrected(self) -> dict[int, set[int]]:
        """Slices with a prompt or confirmed mask, by object id."""
        found: dict[int, set[int]] = {}
        for index, identifiers in self.new_anchors.items():
            for identifier in identifiers:
                found.setdefault(identifier, set()).add(index)
        return found


@dataclass(frozen=True, eq=False)
class Request:
    """Prompts and confirmed masks that were checked against a volume.

    Attributes
    ----------
    prompts : dict of int to dict of int to PromptSet
    masks : dict of int to dict of int to ndarray of bool
    anchors : dict of int to set of int
        Slices with either, by object id.
    """

    prompts: dict[int, dict[int, PromptSet]]
    masks: Masks
    anchors: dict[int, set[int]]

    @property
    def indices(self) -> list[int]:
        """All slices with a prompt or a mask, in order."""
        return sorted({n for each in self.anchors.values() for n in each})


def checked_request(
    prompts: Prompts | None,
    confirmed: ConfirmedMasks | None,
    slice_shape: tuple[int, int],
    length: int,
) -> Request:
    """Check what was asked for against a volume.

    Parameters
    ----------
    prompts, confirmed : mapping or None
        See `VolumeSegmenter.propagate`.
    slice_shape : tuple of int
        (rows, columns).
    length : int
        Number of slices.

    Raises
    ------
    PromptError
        If there is no prompt, or one lies outside the volume, or a mask does not fit.
    """
    asked = {n: dict(each) for n, each in (prompts or {}).items() if each}
    masks = _checked_masks(confirmed or {}, slice_shape)
    return Request(asked, masks, _anchors(asked, masks, length))


def _checked_masks(given: ConfirmedMasks, shape: tuple[int, int]) -> Masks:
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


def checked_directions(direction: str) -> tuple[str, ...]:
    """Return the ways that a direction means.

    Raises
    ------
    PromptError
        If it is unknown.
    """
    if direction not in get_args(Direction):
        raise PromptError(
            f"Unknown direction {direction!r}: use one of {get_args(Direction)}."
        )
    return (FORWARD, BACKWARD) if direction == "both" else (direction,)


def checked_limits(limits: tuple[int, int] | None, length: int) -> tuple[int, int]:
    """Return the first slice and the one after the last.

    Raises
    ------
    PromptError
        If they do not lie in the volume.
    """
    low, high = limits or (0, length)
    if not 0 <= low < high <= length:
        raise PromptError(
            f"limits {low} to {high} do not lie in a volume of {length} slices."
        )
    return low, high


def all_starts(anchors: Mapping[int, Iterable[int]]) -> Starts:
    """Follow every object from each of its anchors, both ways."""
    return {
        direction: {n: set(each) for n, each in anchors.items()}
        for direction in (FORWARD, BACKWARD)
    }


def reopen(each: VolumeObject, indices: set[int], directions: Sequence[str]) -> None:
    """Take further anchors into an object, and forget what they put in question.

    Parameters
    ----------
    each : VolumeObject
        Changed.
    indices : set of int
        The new anchors.
    directions : sequence of str
        Ways that it will be followed.
    """
    others = each.anchors - indices
    each.anchors |= indices
    for index in indices:
        each.slices.pop(index, None)
    for direction in directions:
        outermost = max(each.anchors, key=lambda n: n * STEP[direction])
        if outermost not in others:
            each.ended.pop(direction, None)
