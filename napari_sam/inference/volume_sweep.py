"""Walk through the slices of a volume with many objects at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from napari_sam.geometry import mask_to_box
from napari_sam.inference.postprocess import STABILITY_OFFSET
from napari_sam.inference.predictor import SamPredictor
from napari_sam.inference.volume_overlap import (
    better_of,
    between,
    resolve_overlaps,
)
from napari_sam.inference.volume_planes import Plane, VolumePlanes
from napari_sam.inference.volume_result import SliceMask, VolumeSegmentation
from napari_sam.inference.volume_steps import (
    Change,
    Follower,
    PropagationSettings,
    end_reason,
    first_contrast,
    measure_change,
    projected_prompts,
)
from napari_sam.structures import (
    MaskPrediction,
    MaskRecord,
    PromptSet,
    Provenance,
)

FORWARD, BACKWARD = "forward", "backward"
# Prompts of one slice decoded at a time: their full-size candidates are in memory.
CHUNK = 16
# A follower forgets the model's logits when it had to give away more of its mask.
KEPT_SHARE = 0.95
# With so much overlap, a mask agrees with its neighbour as well as any.
FULL_AGREEMENT = 0.7

OnSlice = Callable[[int, dict[int, SliceMask]], object]
Progress = Callable[[int, int | None], object]


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
    """

    prompts: dict[int, dict[int, PromptSet]]
    masks: dict[int, dict[int, NDArray[np.bool_]]]
    starts: dict[str, dict[int, set[int]]]
    limits: tuple[int, int]
    fixed: set[int] = field(default_factory=set)

    @property
    def new_anchors(self) -> dict[int, set[int]]:
        """Objects with a prompt or confirmed mask, by slice."""
        found: dict[int, set[int]] = {}
        for given in (self.prompts, self.masks):
            for identifier, each in given.items():
                for index in each:
                    found.setdefault(index, set()).add(identifier)
        return found


class Sweep:
    """One run through a volume, forward and backward.

    Parameters
    ----------
    predictor : SamPredictor
        Its own image is replaced.
    planes : VolumePlanes
    plan : SweepPlan
    result : VolumeSegmentation
        Written to, slice by slice.
    settings : PropagationSettings
    progress : callable, optional
        Called with the number of slices done and of all to do.
    should_cancel : callable, optional
        Asked before each slice.
    on_slice : callable, optional
        Called with a slice's index and all masks it has by then.
    """

    def __init__(
        self,
        predictor: SamPredictor,
        planes: VolumePlanes,
        plan: SweepPlan,
        result: VolumeSegmentation,
        settings: PropagationSettings,
        *,
        progress: Progress | None = None,
        should_cancel: Callable[[], bool] | None = None,
        on_slice: OnSlice | None = None,
    ) -> None:
        self._predictor = predictor
        self._planes = planes
        self._plan = plan
        self._result = result
        self._settings = settings
        self._progress = progress
        self._should_cancel = should_cancel
        self._on_slice = on_slice
        self._new = plan.new_anchors
        self._seeds: dict[tuple[int, int], Follower | None] = {}
        self._name = predictor.model.name, predictor.model.checkpoint_sha256 or ""

    def run(self, directions: Sequence[str]) -> None:
        """Walk, and leave what was found in the result.

        Parameters
        ----------
        directions : sequence of str
            Of "forward" and "backward".
        """
        walks = [(each, self._walk(each)) for each in directions]
        total = sum(len(walk) for _, walk in walks)
        done = 0
        for direction, walk in walks:
            followers: dict[int, Follower] = {}
            for index in walk:
                if self._should_cancel and self._should_cancel():
                    self._result.complete = False
                    return
                self._visit(index, direction, followers)
                done += 1
                if self._progress:
                    self._progress(done, total)

    def _walk(self, direction: str) -> range:
        """Slices from the first place to start from on."""
        places = {n for each in self._plan.starts[direction].values() for n in each}
        places |= set(self._new)
        low, high = self._plan.limits
        if not places:
            return range(0)
        if direction == FORWARD:
            return range(max(min(places), low), high)
        return range(min(max(places), high - 1), low - 1, -1)

    def _visit(
        self, index: int, direction: str, followers: dict[int, Follower]
    ) -> None:
        """Do all objects of one slice."""
        anchored = {
            identifier
            for identifier, each in self._result.objects.items()
            if index in each.anchors
        } - self._plan.fixed
        for identifier in anchored & set(followers):
            del followers[identifier]
        found: dict[int, SliceMask] = {}
        wanted = [n for n in sorted(self._new.get(index, ())) if self._is_new(n, index)]
        if wanted:
            found |= self._place_anchors(index, wanted)
        if followers:
            found |= self._step(index, direction, followers)
        if found:
            self._settle(index, found, followers)
        for identifier in anchored:
            starts = self._plan.starts[direction].get(identifier, ())
            seed = self._seed(identifier, index) if index in starts else None
            if seed is not None:
                followers[identifier] = seed

    def _is_new(self, identifier: int, index: int) -> bool:
        return (identifier, index) not in self._seeds

    # Anchors

    def _place_anchors(self, index: int, wanted: list[int]) -> dict[int, SliceMask]:
        """Decode the prompts, and take over the confirmed masks, of one slice."""
        found: dict[int, SliceMask] = {}
        asked = [n for n in wanted if index not in self._plan.masks.get(n, {})]
        for start in range(0, len(asked), CHUNK):
            found |= self._decode_anchors(index, asked[start : start + CHUNK])
        for identifier in set(wanted) - set(asked):
            mask = self._plan.masks[identifier][index]
            seen = self._confirmed(mask)
            self._seeds[identifier, index] = None if seen is None else Follower(seen)
            if seen:
                found[identifier] = seen
        return found

    def _decode_anchors(self, index: int, asked: list[int]) -> dict[int, SliceMask]:
        self._predictor.set_embedding(self._planes.get(index).embedding)
        found: dict[int, SliceMask] = {}
        prompts = [self._plan.prompts[n][index] for n in asked]
        for ambiguous in (True, False):
            chosen = [
                n for n, each in enumerate(prompts) if _is_ambiguous(each) is ambiguous
            ]
            answers = self._predictor.predict_batch(
                [prompts[n] for n in chosen], multimask_output=ambiguous
            )
            for n, answer in zip(chosen, answers, strict=True):
                seed = self._seed_of(answer, prompts[n])
                self._seeds[asked[n], index] = seed
                if seed:
                    found[asked[n]] = seed.seen
        return found

    def _seed_of(self, answer: MaskPrediction, prompts: PromptSet) -> Follower | None:
        best = answer.best
        box = mask_to_box(answer.masks[best])
        if box is None:
            return None
        row0, col0, row1, col1 = box
        record = MaskRecord(
            answer.masks[best][row0:row1, col0:col1].copy(),
            (row0, col0),
            float(answer.predicted_iou[best]),
            float(answer.stability_score[best]),
            Provenance(*self._name, prompts, "prompt"),
        )
        seen = SliceMask(record, record.predicted_iou, rank=1)
        return Follower(seen, answer.low_res_masks[best], answer.frame)

    def _confirmed(self, mask: NDArray[np.bool_]) -> SliceMask | None:
        box = mask_to_box(mask)
        if box is None:
            return None
        row0, col0, row1, col1 = box
        part = mask[row0:row1, col0:col1].copy()
        record = MaskRecord(part, (row0, col0), 1.0, 1.0, Provenance("", "", None))
        return SliceMask(record, 1.0, rank=2)

    def _seed(self, identifier: int, index: int) -> Follower | None:
        """An anchor to start from: decoded just now, or in an earlier run."""
        found = self._seeds.get((identifier, index))
        seen = self._result.objects[identifier].slices.get(index)
        if seen is None:
            return None
        if found is None or found.seen.record.mask is not seen.record.mask:
            found = Follower(seen)
        contrast = 0.0
        if self._settings.min_contrast:
            contrast = first_contrast(seen, self._planes.get(index).brightness)
        return replace(found, contrast=contrast)

    # Steps

    def _step(
        self, index: int, direction: str, followers: dict[int, Follower]
    ) -> dict[int, SliceMask]:
        """Follow all objects on their way into one slice."""
        plane = self._planes.get(index)
        answers = self._ask(plane, followers)
        found: dict[int, SliceMask] = {}
        for identifier in list(followers):
            follower = followers[identifier]
            answer = answers.get(identifier)
            reason: str | None = "nothing found"
            if answer is not None:
                change = measure_change(
                    follower, answer.seen, plane.brightness, self._settings
                )
                reason = self._why_ended(identifier, index, direction, answer, change)
            if reason is not None:
                self._fail(identifier, index, direction, followers, reason)
                continue
            assert answer is not None
            seen = replace(answer.seen, confidence=_confidence(answer.seen, change))
            moved = replace(answer, seen=seen, shift=change.shift)
            self._fill_gap(identifier, index, direction, follower, seen)
            followers[identifier] = replace(
                moved, contrast=follower.contrast * max(change.contrast, 1.0)
            )
            found[identifier] = seen
        return found

    def _ask(
        self, plane: Plane, followers: Mapping[int, Follower]
    ) -> dict[int, Follower]:
        """Decode all objects' prompts made from their neighbours."""
        asked: dict[int, PromptSet] = {}
        for identifier, follower in followers.items():
            shape = plane.embedding.image_shape
            prompts = projected_prompts(follower, shape, self._settings)
            if prompts is not None and not prompts.is_empty:
                asked[identifier] = prompts
        framing, embedding = self._predictor.framing, plane.embedding
        answers: dict[int, Follower] = {}
        decoded = framing.decode_low_res(embedding, list(asked.values()), False)
        for identifier, each in zip(asked, decoded, strict=True):
            drawn = framing.draw(
                embedding, each.logits[0], each.frame, STABILITY_OFFSET
            )
            if drawn is None:
                continue
            record = MaskRecord(
                drawn.mask,
                (drawn.box[0], drawn.box[1]),
                float(each.predicted_iou[0].clamp(0, 1)),
                drawn.stability_score,
                Provenance(*self._name, None, "propagate"),
            )
            logits = each.logits[0].cpu().numpy()
            seen = SliceMask(record, record.predicted_iou)
            answers[identifier] = Follower(seen, logits, each.frame)
        return answers

    def _why_ended(
        self,
        identifier: int,
        index: int,
        direction: str,
        answer: Follower,
        change: Change,
    ) -> str | None:
        """Say why an object has ended; between two anchors only where it is empty."""
        if not self._is_enclosed(identifier, index):
            return end_reason(answer.seen, change, self._settings)
        return "nothing found" if answer.seen.area == 0 else None

    def _is_enclosed(self, identifier: int, index: int) -> bool:
        """Whether the object was seen by a person on both sides of a slice."""
        each = self._result.objects[identifier]
        before = [n for n in each.anchors if n < index]
        after = [n for n in each.anchors if n > index]
        if not before or not after:
            return False
        known = (max(before), min(after))
        return all(self._is_there(identifier, n) for n in known)

    def _is_there(self, identifier: int, index: int) -> bool:
        """Whether an anchor, maybe not yet visited, says that the object is there."""
        mask = self._plan.masks.get(identifier, {}).get(index)
        if mask is not None:
            return bool(mask.any())
        if index in self._plan.prompts.get(identifier, {}):
            return self._seeds.get((identifier, index), True) is not None
        return index in self._result.objects[identifier].slices

    def _fail(
        self,
        identifier: int,
        index: int,
        direction: str,
        followers: dict[int, Follower],
        reason: str,
    ) -> None:
        follower = followers[identifier]
        failures = follower.failures + 1
        if failures <= self._settings.patience or self._is_enclosed(identifier, index):
            followers[identifier] = replace(follower, failures=failures)
            return
        del followers[identifier]
        back = failures - 1 if direction == FORWARD else 1 - failures
        self._result.objects[identifier].ended[direction] = (index - back, reason)

    def _fill_gap(
        self,
        identifier: int,
        index: int,
        direction: str,
        follower: Follower,
        seen: SliceMask,
    ) -> None:
        """Interpolate the slices in which an object was lost before it came back."""
        step = 1 if direction == FORWARD else -1
        slices = self._result.objects[identifier].slices
        for n in range(1, follower.failures + 1):
            share = n / (follower.failures + 1)
            place = index - step * (follower.failures + 1 - n)
            shape = self._result.slice_shape
            filled = between(follower.seen, seen, share, shape)
            if filled is not None and place not in slices:
                self._settle(place, {identifier: filled}, {})

    # Results

    def _settle(
        self,
        index: int,
        found: dict[int, SliceMask],
        followers: dict[int, Follower],
    ) -> None:
        """Resolve overlaps in a slice and write it down."""
        present = self._result.at(index)
        merged = {**present}
        for identifier, each in found.items():
            merged[identifier] = self._merged(identifier, index, each, present)
        settled = resolve_overlaps(merged, self._result.slice_shape, self._plan.fixed)
        for identifier in merged:
            slices = self._result.objects[identifier].slices
            if identifier in settled:
                slices[index] = settled[identifier]
            else:
                slices.pop(index, None)
        for identifier in set(found) & set(followers):
            _give_way(identifier, followers, found, settled, merged)
        if self._on_slice:
            self._on_slice(index, settled)

    def _merged(
        self,
        identifier: int,
        index: int,
        new: SliceMask,
        present: Mapping[int, SliceMask],
    ) -> SliceMask:
        """Choose between a slice's masks from the anchors before and after it."""
        old = present.get(identifier)
        if old is None or new.rank > old.rank:
            return new
        anchors = self._result.objects[identifier].anchors
        ways = (
            index - max((n for n in anchors if n < index), default=index),
            min((n for n in anchors if n > index), default=index) - index,
        )
        # The old mask came forward, the new one comes backward.
        return better_of(old, new, *ways)


def _give_way(
    identifier: int,
    followers: dict[int, Follower],
    found: Mapping[int, SliceMask],
    settled: Mapping[int, SliceMask],
    merged: Mapping[int, SliceMask],
) -> None:
    """Let an object that lost pixels to another go on from what it kept."""
    if merged[identifier] is not found[identifier]:
        return
    left = settled.get(identifier)
    if left is None:
        del followers[identifier]
    elif left.area < KEPT_SHARE * found[identifier].area:
        followers[identifier] = replace(
            followers[identifier], seen=left, logits=None, frame=None
        )


def _confidence(found: SliceMask, change: Change) -> float:
    agreement = min(change.overlap / FULL_AGREEMENT, 1.0)
    return found.record.predicted_iou * (0.5 + 0.5 * agreement)


def _is_ambiguous(prompts: PromptSet) -> bool:
    return len(prompts.points) == 1 and prompts.box is None and prompts.mask is None


def all_starts(anchors: Mapping[int, Iterable[int]]) -> dict[str, dict[int, set[int]]]:
    """Follow every object from each of its anchors, both ways."""
    return {
        direction: {n: set(each) for n, each in anchors.items()}
        for direction in (FORWARD, BACKWARD)
    }
