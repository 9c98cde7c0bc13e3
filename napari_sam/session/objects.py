"""The committed objects and what is known of each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from napari_sam.geometry import Box
from napari_sam.session.plane import Plane, Region
from napari_sam.structures import Provenance

DEFAULT_CLASS = "object"


@dataclass(frozen=True, eq=False)
class SegmentedObject:
    """One committed object.

    Attributes
    ----------
    id : int
        Its value in the labels; never given to another object.
    class_name : str
    regions : tuple of Region
        Where its pixels are, one box a plane; first the one it was made in.
    area : int
        In pixels, of all planes.
    predicted_iou, stability_score : float
    text_score : float or None
        How well it matches ``phrase``.
    phrase : str
        The words it was found by; "" if it was not.
    provenance : Provenance
    """

    id: int
    class_name: str
    regions: tuple[Region, ...]
    area: int
    predicted_iou: float = float("nan")
    stability_score: float = float("nan")
    text_score: float | None = None
    phrase: str = ""
    provenance: Provenance = field(default_factory=lambda: Provenance(""))

    @property
    def plane(self) -> Plane:
        """The plane it was made in."""
        return self.regions[0].plane

    @property
    def box(self) -> Box:
        """(row0, col0, row1, col1) in the plane it was made in."""
        return self.regions[0].box

    def region_in(self, plane: Plane) -> Region | None:
        """Return where it is in a plane; None if it is not."""
        return next((each for each in self.regions if each.plane == plane), None)

    @property
    def centre(self) -> tuple[float, float]:
        """(row, col) of the middle of its box."""
        row0, col0, row1, col1 = self.box
        return (row0 + row1 - 1) / 2, (col0 + col1 - 1) / 2

    @property
    def prompts_text(self) -> str:
        """What it was made from, in words."""
        prompts = self.provenance.prompts
        if prompts is None:
            return self.provenance.method
        positive = sum(point.positive for point in prompts.points)
        negative = len(prompts.points) - positive
        parts = [f"+{positive}"] * bool(positive) + [f"-{negative}"] * bool(negative)
        parts += ["box"] * (prompts.box is not None)
        parts += ["mask"] * (prompts.mask is not None)
        return " ".join(parts)


class ObjectTable:
    """Objects by id."""

    def __init__(self) -> None:
        self._objects: dict[int, SegmentedObject] = {}
        self._highest = 0

    def __len__(self) -> int:
        return len(self._objects)

    def __iter__(self) -> Iterator[SegmentedObject]:
        return iter(sorted(self._objects.values(), key=lambda each: each.id))

    def __contains__(self, object_id: int) -> bool:
        return object_id in self._objects

    def __getitem__(self, object_id: int) -> SegmentedObject:
        return self._objects[object_id]

    def get(self, object_id: int) -> SegmentedObject | None:
        """Return an object, or None if there is none of this id."""
        return self._objects.get(object_id)

    def replace(
        self, before: SegmentedObject | None, after: SegmentedObject | None
    ) -> None:
        """Put ``after`` where ``before`` was; None for not in the table."""
        if before is not None:
            del self._objects[before.id]
        if after is not None:
            self._objects[after.id] = after
            self._highest = max(self._highest, after.id)

    def reserve(self, highest: int) -> None:
        """Never give out ids up to this one: they are taken in the labels."""
        self._highest = max(self._highest, highest)

    def next_id(self) -> int:
        """Return an id that no object ever had."""
        return self._highest + 1

    def least_confident(self, after: int | None = None) -> SegmentedObject | None:
        """Return the object to look at next: the lowest predicted IoU comes first.

        Parameters
        ----------
        after : int, optional
            Id of the object looked at last.
        """
        ranked = sorted(self, key=_confidence)
        ids = [each.id for each in ranked]
        place = ids.index(after) + 1 if after in ids else 0
        return ranked[place % len(ranked)] if ranked else None


def _confidence(each: SegmentedObject) -> tuple[float, int]:
    iou = each.predicted_iou
    return (iou if iou == iou else 2.0), each.id
