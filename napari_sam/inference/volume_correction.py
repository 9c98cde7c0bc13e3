"""What a correction leaves of what was found before."""

from __future__ import annotations

from collections.abc import Mapping

from napari_sam.inference.volume_plan import STEP
from napari_sam.inference.volume_result import (
    SliceMask,
    VolumeObject,
    VolumeSegmentation,
    slice_iou,
)

# A mask that overlaps so much with the one found before is the same mask.
SAME = 0.9


class Earlier:
    """Objects as they were before a correction, beside what becomes of them.

    Parameters
    ----------
    before : mapping of int to VolumeObject
        By id; empty where nothing is corrected.
    result : VolumeSegmentation
        Still holds the old masks where no new one has come yet.
    corrected : mapping of int to set of int
        Slices prompted or confirmed now, by object id.
    length : int
        Number of slices.
    """

    def __init__(
        self,
        before: Mapping[int, VolumeObject],
        result: VolumeSegmentation,
        corrected: Mapping[int, set[int]],
        length: int,
    ) -> None:
        self._before = before
        self._corrected = corrected
        self._result = result
        self._length = length

    def known(self, identifier: int, index: int) -> SliceMask | None:
        """The mask that an object had in a slice."""
        before = self._before.get(identifier)
        return None if before is None else before.slices.get(index)

    def had_ended(self, identifier: int, index: int) -> bool:
        """Whether an object that is corrected had not been found in a slice."""
        return identifier in self._before and self.known(identifier, index) is None

    def beside(self, identifier: int, index: int) -> SliceMask | None:
        """The mask that an object had in the slice before, or in the one after."""
        before = self.known(identifier, index - 1)
        return before or self.known(identifier, index + 1)

    def is_as_before(self, identifier: int, index: int, seen: SliceMask) -> bool:
        """Whether a new mask is the old one, so that all further ones would be too."""
        known = self.known(identifier, index)
        return known is not None and slice_iou(seen, known) >= SAME

    def take_back_end(self, identifier: int, direction: str) -> None:
        """Let an object end where it ended before."""
        ended = self._before[identifier].ended
        if direction in ended:
            self._result.objects[identifier].ended[direction] = ended[direction]

    def end_at(self, identifier: int, index: int, direction: str) -> None:
        """Drop what lies beyond a slice in which, as was said, the object is not."""
        anchors = self._result.objects[identifier].anchors
        if all((n - index) * STEP[direction] <= 0 for n in anchors):
            self.forget(identifier, index, direction)

    def forget(self, identifier: int, last: int, direction: str) -> None:
        """Drop old masks beyond the last new one, up to the next anchor."""
        each = self._result.objects[identifier]
        beyond = [n for n in each.slices if (n - last) * STEP[direction] > 0]
        anchors = [n for n in each.anchors if (n - last) * STEP[direction] > 0]
        nearest = min((abs(n - last) for n in anchors), default=self._length + 1)
        for n in beyond:
            if abs(n - last) < nearest:
                del each.slices[n]

    def ways(self, identifier: int, index: int) -> tuple[int, int] | None:
        """Slices to the anchor that an old mask came from, and to the new one.

        None where the old mask came through the slice that is corrected: it only
        handed on what was wrong there.
        """
        redone = self._corrected[identifier]
        nearest = min(redone, key=lambda n: abs(n - index))
        step = 1 if nearest < index else -1
        others = self._before[identifier].anchors - redone
        beyond = [n for n in others if (n - index) * step >= 0]
        if not beyond:
            return None
        return min(abs(n - index) for n in beyond), abs(nearest - index)
