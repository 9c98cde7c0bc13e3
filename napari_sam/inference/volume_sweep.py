"""Walk through the slices of a volume with many objects at once."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from napari_sam.inference.predictor import SamPredictor
from napari_sam.inference.volume_correction import Earlier
from napari_sam.inference.volume_decoding import SliceDecoder
from napari_sam.inference.volume_overlap import (
    better_of,
    between,
    resolve_overlaps,
    share_out,
)
from napari_sam.inference.volume_plan import FORWARD, STEP, SweepPlan
from napari_sam.inference.volume_planes import VolumePlanes
from napari_sam.inference.volume_result import (
    SliceMask,
    VolumeSegmentation,
)
from napari_sam.inference.volume_steps import (
    Change,
    Follower,
    PropagationSettings,
    bulk_of,
    end_reason,
    measure_change,
)

# A follower forgets the model's logits when it had to give away more of its mask.
KEPT_SHARE = 0.95
# With so much overlap, a mask agrees with its neighbour as well as any.
FULL_AGREEMENT = 0.7

OnSlice = Callable[[int, dict[int, SliceMask]], object]
Progress = Callable[[int, int | None], object]


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
        self._decoder = SliceDecoder(predictor, planes, settings)
        self._planes = planes
        self._plan = plan
        self._result = result
        self._settings = settings
        self._progress = progress
        self._should_cancel = should_cancel
        self._on_slice = on_slice
        self._earlier = Earlier(
            plan.before, result, plan.corrected, planes.source.length
        )
        self._new = plan.new_anchors
        self._seeds: dict[tuple[int, int], Follower | None] = {}

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
            followed = set(followers)
            self._settle(index, found, followers)
            for identifier in followed - set(followers):
                self._note_loss(identifier, index, direction)
        for identifier in anchored:
            starts = self._plan.starts[direction].get(identifier, ())
            if index not in starts:
                continue
            seed = self._seed(identifier, index)
            if seed is not None:
                followers[identifier] = seed
            elif not self._is_there(identifier, index):
                self._earlier.end_at(identifier, index, direction)

    def _is_new(self, identifier: int, index: int) -> bool:
        return (identifier, index) not in self._seeds

    # Anchors

    def _place_anchors(self, index: int, wanted: list[int]) -> dict[int, SliceMask]:
        """Decode the prompts, and take over the confirmed masks, of one slice."""
        masks = {n: self._plan.masks.get(n, {}).get(index) for n in wanted}
        asked = {
            n: self._plan.prompts[n][index] for n, each in masks.items() if each is None
        }
        beside = {n: self._earlier.beside(n, index) for n in asked}
        known = {n: each for n, each in beside.items() if each is not None}
        seeds = self._decoder.anchors(index, asked, known)
        for identifier, mask in masks.items():
            if mask is not None:
                seeds[identifier] = self._decoder.confirmed(mask)
        for identifier, seed in seeds.items():
            self._seeds[identifier, index] = seed
        return {n: seed.seen for n, seed in seeds.items() if seed is not None}

    def _seed(self, identifier: int, index: int) -> Follower | None:
        """An anchor to start from: decoded just now, or in an earlier run."""
        found = self._seeds.get((identifier, index))
        seen = self._result.objects[identifier].slices.get(index)
        if seen is None:
            return None
        if found is None or found.seen.record.mask is not seen.record.mask:
            found = Follower(seen)
        return self._compared(identifier, index, self._decoder.ready(found, index))

    def _compared(self, identifier: int, index: int, seed: Follower) -> Follower:
        """Judge an anchor's contrast by the most that any anchor stands out.

        Else an object that is corrected where it fades would run on from there. But
        where it had been taken to have ended, it may be as faint as it is there.
        """
        if not self._settings.by_contrast:
            return seed
        each = self._result.objects[identifier]
        known = {n: each.slices[n] for n in each.anchors if n in each.slices}
        if len(known) < 2 or seed.bulk is None:
            return seed
        seen = {n: self._decoder.contrast(mask, n) for n, mask in known.items()}
        contrast = max(seen.values(), key=abs)
        bulks = [bulk_of(mask, seen[n], contrast) for n, mask in known.items()]
        own = bulk_of(seed.seen, seed.contrast, contrast)
        bulk = replace(seed.bulk, most=max(bulks), least=own)
        # 0 if it is hardly seen at all, and can't be told from nothing.
        faint = seed.contrast if self._earlier.had_ended(identifier, index) else 0.0
        return replace(seed, contrast=faint or contrast, bulk=bulk)

    # Steps

    def _step(
        self, index: int, direction: str, followers: dict[int, Follower]
    ) -> dict[int, SliceMask]:
        """Follow all objects on their way into one slice."""
        followers.update(self._decoder.carry(index, index - STEP[direction], followers))
        answers = self._told_apart(self._decoder.followers(index, followers), followers)
        brightness = self._planes.get(index).brightness
        found: dict[int, SliceMask] = {}
        for identifier, follower in list(followers.items()):
            answer = answers.get(identifier)
            if answer is None:
                self._fail(identifier, index, direction, followers, "nothing found")
                continue
            change = measure_change(follower, answer.seen, brightness, self._settings)
            reason = self._why_ended(identifier, index, answer, change)
            if reason is not None:
                self._fail(identifier, index, direction, followers, reason)
                continue
            if self._earlier.is_as_before(identifier, index, answer.seen):
                # From here on all would be found as it was.
                self._earlier.take_back_end(identifier, direction)
                del followers[identifier]
                continue
            if self._revives(identifier, index, follower, change):
                self._cut_back(identifier, direction, followers)
                continue
            seen = replace(answer.seen, confidence=_confidence(answer.seen, change))
            self._fill_gap(identifier, index, direction, follower, seen)
            followers[identifier] = follower.moved_on(answer, seen, change, index)
            found[identifier] = seen
        return found

    def _told_apart(
        self, answers: dict[int, Follower], followers: Mapping[int, Follower]
    ) -> dict[int, Follower]:
        """Divide what the model takes for one object although it was several."""
        shared = share_out(
            {n: each.seen for n, each in answers.items()},
            {n: followers[n].seen for n in answers},
        )
        parts = {
            n: replace(answers[n], seen=seen, logits=None, frame=None)
            for n, seen in shared.items()
        }
        return answers | parts

    def _why_ended(
        self, identifier: int, index: int, answer: Follower, change: Change
    ) -> str | None:
        """Say why an object has ended; between two anchors only where it is empty."""
        if not self._is_enclosed(identifier, index):
            return end_reason(answer.seen, change, self._settings)
        return "nothing found" if answer.seen.area == 0 else None

    def _revives(
        self, identifier: int, index: int, follower: Follower, change: Change
    ) -> bool:
        """Whether another object began where this one was least."""
        if follower.bulk is None or self._is_enclosed(identifier, index):
            return False
        return follower.bulk.revives(change.bulk, self._settings.revival)

    def _cut_back(
        self, identifier: int, direction: str, followers: dict[int, Follower]
    ) -> None:
        """Let an object end where it was least, and take back what lies beyond."""
        bulk = followers.pop(identifier).bulk
        assert bulk is not None
        each = self._result.objects[identifier]
        before = set(each.slices)
        self._earlier.forget(identifier, bulk.place, direction)
        end = bulk.place + STEP[direction]
        each.ended[direction] = (end, "another object begins")
        if self._on_slice:
            for index in sorted(before - set(each.slices)):
                self._on_slice(index, self._result.at(index))

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
        first = index - STEP[direction] * (failures - 1)
        last = first - STEP[direction]
        self._result.objects[identifier].ended[direction] = (first, reason)
        self._earlier.forget(identifier, last, direction)

    def _note_loss(self, identifier: int, index: int, direction: str) -> None:
        """Say that an object ends here, if it does: others took what it had."""
        each = self._result.objects[identifier]
        if all((n - index) * STEP[direction] < 0 for n in each.slices):
            each.ended[direction] = (index, "another object is there")

    def _fill_gap(
        self,
        identifier: int,
        index: int,
        direction: str,
        follower: Follower,
        seen: SliceMask,
    ) -> None:
        """Interpolate the slices in which an object was lost before it came back."""
        step = STEP[direction]
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
        settled = resolve_overlaps(
            merged,
            self._result.slice_shape,
            self._plan.fixed,
            {n: self._way(n, index) for n in merged},
        )
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

    def _way(self, identifier: int, index: int) -> int:
        """Slices from an object's nearest anchor."""
        anchors = self._result.objects[identifier].anchors
        return min((abs(n - index) for n in anchors), default=0)

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
        if old is self._earlier.known(identifier, index):
            since = self._earlier.ways(identifier, index)
            return new if since is None else better_of(old, new, *since)
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
