"""The object being worked on: its prompts, before it is committed."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from napari_sam.structures import BoxPrompt, MaskPrompt, PointPrompt, PromptSet


@dataclass(frozen=True, eq=False)
class Draft:
    """Prompts of one object that is not committed yet.

    Attributes
    ----------
    prompts : PromptSet
        In pixels of the plane.
    candidate : int or None
        The chosen one of several masks; None for the one that the model rates best.
    object_id : int or None
        The committed object that is being refined.
    """

    prompts: PromptSet = field(default_factory=PromptSet)
    candidate: int | None = None
    object_id: int | None = None

    @property
    def is_empty(self) -> bool:
        """Whether there is no prompt."""
        return self.prompts.is_empty

    @property
    def is_ambiguous(self) -> bool:
        """Whether one click is all there is, which may mean a part or the whole."""
        prompts = self.prompts
        alone = prompts.box is None and prompts.mask is None
        return alone and len(prompts.points) <= 1

    def with_point(self, point: PointPrompt) -> Draft:
        """Add a point."""
        return self._with_points((*self.prompts.points, point))

    def replacing_point(self, index: int, point: PointPrompt) -> Draft:
        """Move a point or change its polarity."""
        points = list(self.prompts.points)
        points[index] = point
        return self._with_points(tuple(points))

    def without_point(self, index: int) -> Draft:
        """Take a point away."""
        points = self.prompts.points
        return self._with_points(points[:index] + points[index + 1 :])

    def with_points(self, points: tuple[PointPrompt, ...]) -> Draft:
        """Replace all points."""
        return self._with_points(points)

    def with_box(self, box: BoxPrompt | None) -> Draft:
        """Set or remove the box."""
        return self._with_prompts(replace(self.prompts, box=box))

    def with_mask(self, mask: MaskPrompt | None) -> Draft:
        """Set or remove the mask to refine."""
        return self._with_prompts(replace(self.prompts, mask=mask))

    def _with_points(self, points: tuple[PointPrompt, ...]) -> Draft:
        return self._with_prompts(replace(self.prompts, points=points))

    def _with_prompts(self, prompts: PromptSet) -> Draft:
        # Another prompt asks anew: the choice among the old masks means nothing now.
        return replace(self, prompts=prompts, candidate=None)
