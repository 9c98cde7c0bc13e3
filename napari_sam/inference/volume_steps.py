"""One object's step from a slice to the next: what is asked, and what ends it.

The prompts made from a neighbour's mask are the projections of micro-sam (Archit et
al., "Segment Anything for Microscopy", Nature Methods 2025): its mask, its box and
points inside it. That the object has moved on by as much as it did before, and the
rules by which an object ends, are this project's own.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from napari_sam.errors import PromptError
from napari_sam.inference.volume_colour import ColourModel
from napari_sam.inference.volume_motion import SURE_LOGIT
from napari_sam.inference.volume_result import SliceMask, slice_iou
from napari_sam.structures import (
    BoxPrompt,
    Frame,
    MaskPrompt,
    PointPrompt,
    PromptSet,
)

MOTIONS = ("shift", "flow")
# Tuned on the two training sequences of DAVIS 2016.
MOVIE: dict[str, Any] = {
    "cues": ("mask", "box"),
    "motion": "flow",
    "inertia": 0.8,
    "colour": 0.4,
    "min_predicted_iou": 0.0,
    "min_overlap": 0.1,
    "max_area_ratio": 4.0,
    "revival": 0.0,
    "min_contrast": 0.0,
    "patience": 3,
}
CUES = ("mask", "box", "points", "point")
# Points inside a mask when several are given.
INNER_POINTS = 3
# What stands out less, in brightness of 0 to 1, is known by its outline alone.
FAINT = 0.08
# An object has waned where its bulk is less than this share of the most.
WANED = 0.8
# A step's shift counts no more than this, in shares of the object's size.
LARGEST_SHIFT = 0.5


@dataclass(frozen=True)
class PropagationSettings:
    """How an object is followed, and when it has ended.

    Attributes
    ----------
    cues : tuple of str
        What of the neighbour's mask is given to the model: "mask" its logits, "box",
        "points" up to three well inside, or "point" the innermost one.
    mask_scale, mask_bias : float
        The logits are multiplied by the one, and then lowered by the other: without
        support from the next slice a mask should fade, not stay.
    min_predicted_iou : float
        The object has ended where the model rates its mask lower.
    min_stability : float
        Or where a mask is less stable.
    min_overlap : float
        Or where the IoU with the neighbour, moved as expected, is lower.
    max_area_ratio : float
        Or where the area grows or shrinks by more.
    revival : float
        An object wanes towards its end. Where its bulk, which is its area times how
        much it stands out, has grown by this factor since it was least, another object
        has begun, and it is cut back to where it was least; 0 turns the rule off.
    min_contrast : float
        It has ended where it stands out by less than this share of the most that it
        did on the way; 0 turns the rule off.
    patience : int
        Slices in a row that may fail before the object has ended; those that fail are
        left out unless a later one succeeds.
    motion : str
        "shift": the object moves on as it did before; or "flow": as the optical flow
        between both slices says, for frames of a movie.
    momentum : float
        Of "shift": how much of the last shift is expected again, 0 to 1.
    inertia : float
        How much of the neighbour's logits, moved, is kept in a slice's mask, 0 to 1.
    colour : float
        How much the object's own colours count, against logits; 0 turns them off. They
        are learned where it was prompted, and sharpen the answer to a box there.
    spacing : tuple of float or None
        Size of a voxel along the walked axis and along rows and columns; None if they
        are equal. With thicker slices more change is expected.
    min_area : int
        Smallest mask, in pixels.

    Raises
    ------
    PromptError
        If a setting is unknown or out of range.
    """

    cues: tuple[str, ...] = ("mask",)
    mask_scale: float = 1.0
    mask_bias: float = 0.0
    min_predicted_iou: float = 0.35
    min_stability: float = 0.0
    min_overlap: float = 0.3
    max_area_ratio: float = 2.5
    revival: float = 1.2
    min_contrast: float = 0.45
    patience: int = 1
    motion: str = "shift"
    momentum: float = 0.5
    inertia: float = 0.0
    colour: float = 0.0
    spacing: tuple[float, float, float] | None = None
    min_area: int = 4

    def __post_init__(self) -> None:
        if not self.cues or set(self.cues) - set(CUES):
            raise PromptError(f"cues must be some of {CUES}, not {self.cues}.")
        if self.patience < 0 or self.max_area_ratio < 1:
            raise PromptError("patience is at least 0 and max_area_ratio at least 1.")
        if self.motion not in MOTIONS or not 0 <= self.inertia <= 1 or self.colour < 0:
            raise PromptError(
                f"motion is one of {MOTIONS}, inertia lies in 0 to 1, and colour is at "
                "least 0."
            )

    @classmethod
    def for_movie(cls, **changes: Any) -> PropagationSettings:
        """Return what suits the frames of a movie: things move, and rarely end.

        A low rating ends nothing there, as long as something of the object is seen.

        Parameters
        ----------
        **changes
            Attributes that are to be otherwise.
        """
        return cls(**{**MOVIE, **changes})

    @property
    def is_movie(self) -> bool:
        """Whether things are expected to move, as in the frames of a movie."""
        return self.motion == "flow"

    @property
    def anisotropy(self) -> float:
        """How much thicker a slice is than a pixel is wide, at least 1."""
        if self.spacing is None:
            return 1.0
        step, rows, cols = self.spacing
        return min(max(step / math.sqrt(rows * cols), 1.0), 4.0)

    @property
    def by_contrast(self) -> bool:
        """Whether an object ends by how much it stands out."""
        return self.revival > 0 or self.min_contrast > 0

    @property
    def area_ratio(self) -> float:
        """`max_area_ratio` for slices of this thickness."""
        return float(self.max_area_ratio ** math.sqrt(self.anisotropy))

    @property
    def overlap(self) -> float:
        """`min_overlap` for slices of this thickness."""
        return self.min_overlap / math.sqrt(self.anisotropy)


@dataclass(frozen=True)
class Bulk:
    """How much of an object there was on its way.

    Attributes
    ----------
    most : float
        In one slice.
    least : float
        Since then.
    place : int
        Slice of the least.
    """

    most: float
    least: float
    place: int

    def after(self, index: int, bulk: float) -> Bulk:
        """Return what is known after a further slice.

        Parameters
        ----------
        index : int
        bulk : float
            In that slice.
        """
        if bulk >= self.most:
            return Bulk(bulk, bulk, index)
        if bulk <= self.least:
            return replace(self, least=bulk, place=index)
        return self

    def revives(self, bulk: float, factor: float) -> bool:
        """Whether an object that has waned is so much bulkier again.

        Parameters
        ----------
        bulk : float
            In a further slice.
        factor : float
            0 says that it never is.
        """
        has_waned = self.least < WANED * self.most
        return factor > 0 and has_waned and bulk > factor * self.least


@dataclass(frozen=True, eq=False)
class Follower:
    """An object on its way: where it was last seen, and how it moves.

    Attributes
    ----------
    seen : SliceMask
        Its last accepted mask.
    logits : ndarray of float32 or None
        The model's logits of that mask; None if only the mask is known.
    frame : Frame or None
        Where the logits lie.
    shift : tuple of float
        (rows, columns) of the last step.
    contrast : float
        The most that it stood out so far; 0 if that says nothing.
    bulk : Bulk or None
        How much of it there was so far; None where that is not asked for.
    failures : int
        Slices in a row in which it was not found.
    colours : ColourModel or None
        Its colours, if they count.
    """

    seen: SliceMask
    logits: NDArray[np.float32] | None = None
    frame: Frame | None = None
    shift: tuple[float, float] = (0.0, 0.0)
    contrast: float = 0.0
    bulk: Bulk | None = None
    failures: int = 0
    colours: ColourModel | None = None

    def expected_shift(self, momentum: float) -> tuple[float, float]:
        """(rows, columns) by which the object is expected to have moved on."""
        limit = LARGEST_SHIFT * math.sqrt(max(self.seen.area, 1))
        row, col = (
            float(np.clip(momentum * each, -limit, limit)) for each in self.shift
        )
        return row, col

    def moved_on(
        self, answer: Follower, seen: SliceMask, change: Change, index: int
    ) -> Follower:
        """Return the object where it was found next.

        Parameters
        ----------
        answer : Follower
            What the model saw.
        seen : SliceMask
            Its mask, with its confidence.
        change : Change
            From here to there.
        index : int
            The slice there.
        """
        return replace(
            answer,
            seen=seen,
            shift=change.shift,
            contrast=self.contrast * max(change.contrast, 1.0),
            bulk=self.bulk and self.bulk.after(index, change.bulk),
        )


def projected_prompts(
    follower: Follower, shape: tuple[int, int], settings: PropagationSettings
) -> PromptSet | None:
    """Make the next slice's prompts from the last mask.

    Parameters
    ----------
    follower : Follower
    shape : tuple of int
        (rows, columns) of a slice.
    settings : PropagationSettings

    Returns
    -------
    PromptSet or None
        None if the object is expected outside the slice.
    """
    shift = follower.expected_shift(settings.momentum)
    box = _moved_box(follower.seen, shift, shape)
    if box is None:
        return None
    mask = None
    if "mask" in settings.cues:
        mask = _moved_mask(follower, shift, settings)
        if not (mask.values > 0).any():
            return None
    return PromptSet(
        points=_moved_points(follower.seen, shift, shape, settings.cues),
        box=box if "box" in settings.cues else None,
        mask=mask,
    )


def _moved_box(
    seen: SliceMask, shift: tuple[float, float], shape: tuple[int, int]
) -> BoxPrompt | None:
    start = np.array(seen.record.origin, float) + shift
    stop = np.clip(start + seen.record.mask.shape, 0, shape)
    start = np.clip(start, 0, shape)
    if (stop - start < 1).any():
        return None
    return BoxPrompt(
        (float(start[0]), float(start[1])), (float(stop[0]), float(stop[1]))
    )


def _moved_points(
    seen: SliceMask,
    shift: tuple[float, float],
    shape: tuple[int, int],
    cues: tuple[str, ...],
) -> tuple[PointPrompt, ...]:
    count = INNER_POINTS if "points" in cues else int("point" in cues)
    if not count:
        return ()
    places = inner_points(seen.record.mask, count) + seen.record.origin
    moved = np.round(places + np.array(shift))
    inside = ((moved >= 0) & (moved < shape)).all(axis=1)
    return tuple(PointPrompt((float(r), float(c))) for r, c in moved[inside])


def inner_points(mask: NDArray[np.bool_], count: int) -> NDArray[np.int64]:
    """Pick pixels well inside a mask and far from each other.

    Parameters
    ----------
    mask : ndarray of bool, shape (h, w)
        Not empty.
    count : int

    Returns
    -------
    ndarray of int64, shape (1 to count, 2)
        The innermost pixel first.
    """
    depth = distance_transform_edt(np.pad(mask, 1))[1:-1, 1:-1]
    places = np.argwhere(depth >= max(depth.max() / 2, 1))
    chosen = [np.array(np.unravel_index(int(depth.argmax()), depth.shape))]
    while len(chosen) < min(count, len(places)):
        far = ((places[:, None] - np.array(chosen)) ** 2).sum(-1).min(1)
        chosen.append(places[int(far.argmax())])
    return np.array(chosen, dtype=np.int64)


def _moved_mask(
    follower: Follower, shift: tuple[float, float], settings: PropagationSettings
) -> MaskPrompt:
    if follower.logits is not None and follower.frame is not None:
        row, col = follower.frame.origin
        origin = (row + shift[0], col + shift[1])
        frame = Frame(origin, follower.frame.step, follower.frame.shape)
        logits = follower.logits * np.float32(settings.mask_scale)
        return MaskPrompt(logits - np.float32(settings.mask_bias), frame)
    mask, (row, col) = np.pad(follower.seen.record.mask, 1), follower.seen.record.origin
    values = np.where(mask, SURE_LOGIT, -SURE_LOGIT).astype(np.float32)
    origin = (row - 1 + shift[0], col - 1 + shift[1])
    return MaskPrompt(values, Frame(origin, (1.0, 1.0), mask.shape))


@dataclass(frozen=True)
class Change:
    """How a mask differs from its neighbour's.

    Attributes
    ----------
    overlap : float
        IoU with the neighbour, moved as expected.
    area_ratio : float
        The larger of both areas by the smaller, at least 1.
    contrast : float
        How much it stands out, by the most that it did so far.
    bulk : float
        See `bulk_of`.
    shift : tuple of float
        (rows, columns) from the neighbour's centre to its own.
    """

    overlap: float
    area_ratio: float
    contrast: float
    bulk: float
    shift: tuple[float, float]


def measure_change(
    follower: Follower,
    found: SliceMask,
    plane: NDArray[np.float32],
    settings: PropagationSettings,
) -> Change:
    """Compare an answer with the mask it was made from.

    Parameters
    ----------
    follower : Follower
    found : SliceMask
        In the next slice.
    plane : ndarray of float32, shape (rows, columns)
        Brightness of that slice.
    settings : PropagationSettings
    """
    seen, shift = follower.seen, follower.expected_shift(settings.momentum)
    stands_out = stand_out(found, plane) if follower.contrast else 0.0
    areas = sorted((max(seen.area, 1), max(found.area, 1)))
    centre, before = _centre(found), _centre(seen)
    return Change(
        slice_iou(seen, found, (round(shift[0]), round(shift[1]))),
        areas[1] / areas[0],
        stands_out / follower.contrast if follower.contrast else 1.0,
        bulk_of(found, stands_out, follower.contrast),
        (centre[0] - before[0], centre[1] - before[1]),
    )


def end_reason(
    found: SliceMask, change: Change, settings: PropagationSettings
) -> str | None:
    """Say why an answer is not the object any more; None if it is.

    Parameters
    ----------
    found : SliceMask
        The answer.
    change : Change
        To it from the slice before.
    settings : PropagationSettings
    """
    if found.area < settings.min_area:
        return "nothing found"
    if found.record.predicted_iou < settings.min_predicted_iou:
        return "low predicted IoU"
    if found.record.stability_score < settings.min_stability:
        return "unstable mask"
    if change.area_ratio > settings.area_ratio:
        return "area jumps"
    if change.overlap < settings.overlap:
        return "little overlap with the slice before"
    if change.contrast < settings.min_contrast:
        return "fades into its surroundings"
    return None


def bulk_of(found: SliceMask, stands_out: float, contrast: float) -> float:
    """How much of an object a mask holds: its area, times how much it stands out.

    Parameters
    ----------
    found : SliceMask
    stands_out : float
        See `stand_out`.
    contrast : float
        The most that the object did so; where that is 0, the area alone counts.
    """
    if not contrast:
        return float(found.area)
    return found.area * max(math.copysign(stands_out, stands_out * contrast), 0.0)


def first_contrast(found: SliceMask, plane: NDArray[np.float32]) -> float:
    """`stand_out` of a prompted mask; 0 if it is too faint to judge others by.

    Parameters
    ----------
    found : SliceMask
    plane : ndarray of float32, shape (rows, columns)
    """
    contrast = stand_out(found, plane)
    return contrast if abs(contrast) >= FAINT else 0.0


def stand_out(found: SliceMask, plane: NDArray[np.float32]) -> float:
    """Brightness of a mask minus that of a ring around it.

    Parameters
    ----------
    found : SliceMask
    plane : ndarray of float32, shape (rows, columns)

    Returns
    -------
    float
        Negative for an object darker than its surroundings.
    """
    width = max(2, round(math.sqrt(found.area) / 6))
    (top, left), (height, width_) = found.record.origin, found.record.mask.shape
    row0, col0 = max(top - width, 0), max(left - width, 0)
    row1 = min(top + height + width, plane.shape[0])
    col1 = min(left + width_ + width, plane.shape[1])
    inside = np.zeros((row1 - row0, col1 - col0), dtype=bool)
    inside[top - row0 :, left - col0 :][:height, :width_] = found.record.mask
    crop = plane[row0:row1, col0:col1]
    ring = (distance_transform_edt(~inside) <= width) & ~inside
    if not ring.any() or not inside.any():
        return 0.0
    return float(crop[inside].mean() - crop[ring].mean())


def _centre(found: SliceMask) -> tuple[float, float]:
    rows, cols = np.nonzero(found.record.mask)
    if not rows.size:
        return float(found.record.origin[0]), float(found.record.origin[1])
    row, col = found.record.origin
    return row + float(rows.mean()), col + float(cols.mean())
