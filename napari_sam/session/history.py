"""Undo and redo without limit, over every kind of edit, in the order they were made."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from napari_sam.session.drafts import Draft
from napari_sam.session.labels import Patch
from napari_sam.session.objects import SegmentedObject
from napari_sam.session.plane import Plane


@dataclass(frozen=True, eq=False)
class DraftChange:
    """The prompts of one plane before and after."""

    plane: Plane
    before: Draft
    after: Draft


@dataclass(frozen=True, eq=False)
class ObjectChange:
    """One object of the table before and after; None where it is not in the table."""

    before: SegmentedObject | None
    after: SegmentedObject | None


@dataclass(frozen=True, eq=False)
class Edit:
    """An invertible change of the session's document.

    Attributes
    ----------
    title : str
        What a person did, as in "Undo: commit object 3".
    drafts : tuple of DraftChange
    objects : tuple of ObjectChange
    patches : tuple of Patch
    record : dict or None
        The same as JSON, for the session file; None if it leaves no trace there.
    """

    title: str
    drafts: tuple[DraftChange, ...] = ()
    objects: tuple[ObjectChange, ...] = ()
    patches: tuple[Patch, ...] = ()
    record: dict[str, Any] | None = None

    @property
    def inverse(self) -> Edit:
        """The edit that takes this one back."""
        return Edit(
            self.title,
            tuple(DraftChange(c.plane, c.after, c.before) for c in self.drafts[::-1]),
            tuple(ObjectChange(c.after, c.before) for c in self.objects[::-1]),
            tuple(patch.inverse for patch in self.patches[::-1]),
            self.record,
        )


@dataclass
class History:
    """A line of edits and a place in it.

    Attributes
    ----------
    apply : callable
        Makes an edit.
    changed : callable
        Called with the edit that was just made, once it is in its place.
    """

    apply: Callable[[Edit], None]
    changed: Callable[[Edit], None]
    _done: list[Edit] = field(default_factory=list)
    _undone: list[Edit] = field(default_factory=list)

    @property
    def done(self) -> tuple[Edit, ...]:
        """The edits in force, the oldest first."""
        return tuple(self._done)

    @property
    def undo_title(self) -> str | None:
        """What `undo` would take back; None if there is nothing."""
        return self._done[-1].title if self._done else None

    @property
    def redo_title(self) -> str | None:
        """What `redo` would make again; None if there is nothing."""
        return self._undone[-1].title if self._undone else None

    def push(self, edit: Edit) -> None:
        """Make an edit; what was undone cannot be redone any more."""
        self.apply(edit)
        self._done.append(edit)
        self._undone.clear()
        self.changed(edit)

    def undo(self) -> Edit | None:
        """Take the last edit back; None if there is none."""
        if not self._done:
            return None
        edit = self._done.pop()
        self.apply(edit.inverse)
        self._undone.append(edit)
        self.changed(edit.inverse)
        return edit

    def redo(self) -> Edit | None:
        """Make the last undone edit again; None if there is none."""
        if not self._undone:
            return None
        edit = self._undone.pop()
        self.apply(edit)
        self._done.append(edit)
        self.changed(edit)
        return edit
