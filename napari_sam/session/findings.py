"""Masks that were found without clicks, shown before they are accepted."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal

from napari_sam.errors import PromptError
from napari_sam.session.candidates import Candidates
from napari_sam.session.document import Finding
from napari_sam.session.engine import Steps
from napari_sam.session.session import Session
from napari_sam.session.standing import split_standing
from napari_sam.session.view import ImageView
from napari_sam.structures import Frame, MaskPrediction, MaskRecord, Provenance

if TYPE_CHECKING:
    from napari_sam.inference.automatic import Method

# A mask given as bool, seen as logits.
SURE = 8.0


@dataclass(frozen=True, eq=False)
class Proposal:
    """A mask that a person may accept.

    Attributes
    ----------
    record : MaskRecord
        In samples of the view.
    class_name, phrase : str
    text_score : float or None
    method : str
        "grid", "dense" or "text".
    """

    record: MaskRecord
    class_name: str
    phrase: str = ""
    text_score: float | None = None
    method: str = "grid"


class Proposals:
    """What was found in one view, and which of it is taken.

    Parameters
    ----------
    session : Session

    Attributes
    ----------
    changed : Signal()
        What is shown or taken.
    """

    changed = Signal()

    def __init__(self, session: Session) -> None:
        self._session = session
        self.view: ImageView | None = None
        self.shown: tuple[Proposal, ...] = ()
        self.dropped: set[int] = set()

    @property
    def taken(self) -> list[Proposal]:
        """The proposals that `accept` makes objects."""
        pairs = enumerate(self.shown)
        return [each for number, each in pairs if number not in self.dropped]

    def show(self, view: ImageView, proposals: Sequence[Proposal]) -> None:
        """Show other proposals, all of them taken."""
        self.view, self.shown, self.dropped = view, tuple(proposals), set()
        self.changed.emit()

    def clear(self) -> None:
        """Show none."""
        if self.shown:
            self.shown, self.dropped = (), set()
            self.changed.emit()

    def toggle(self, position: tuple[float, float]) -> bool:
        """Drop the proposal at a (row, col) pixel of the plane, or take it again.

        Returns
        -------
        bool
            Whether there is one.
        """
        if self.view is None:
            return False
        frame = self.view.frame
        row, col = (
            int((place + 0.5 - start) / step)
            for place, start, step in zip(
                position, frame.origin, frame.step, strict=True
            )
        )
        for number, each in enumerate(self.shown):
            if _covers(each.record, row, col):
                self.dropped ^= {number}
                self.changed.emit()
                return True
        return False

    def accept(self, title: str) -> int:
        """Make what is taken objects, as one edit; return how many found room.

        Raises
        ------
        PromptError
            If nothing is taken.
        """
        if self.view is None or not self.taken:
            raise PromptError("There is nothing to accept.")
        view, session = self.view, self._session
        findings = [to_finding(each, view, session.model_name) for each in self.taken]
        self.clear()
        # Of a mask that lies on an object already, "keep" would leave a sliver.
        rule = "background" if session.overlap == "keep" else session.overlap
        count = session.document.add(findings, rule, title)
        left = len(findings) - count
        rest = f"; {left} left out, where objects are already" if left else ""
        session.events.status.emit(f"{count} became objects{rest}.")
        return count

    def painted(self, value_of: Callable[[Proposal], int]) -> NDArray[np.uint8]:
        """Return values for the view's samples, shape ``frame.shape``.

        Parameters
        ----------
        value_of : callable
            Value of a taken proposal; dropped ones and background are 0.
        """
        assert self.view is not None
        canvas = np.zeros(self.view.frame.shape, np.uint8)
        for each in self.taken:
            row, col = each.record.origin
            height, width = each.record.mask.shape
            window = canvas[row : row + height, col : col + width]
            window[each.record.mask] = value_of(each)
        return canvas


def to_finding(proposal: Proposal, view: ImageView, model: str) -> Finding:
    """Return a proposal in pixels of the plane."""
    record = proposal.record
    logits = np.where(record.mask, SURE, -SURE).astype(np.float32)
    row, col = record.origin
    frame = Frame((float(row), float(col)), (1.0, 1.0), record.mask.shape)
    prediction = MaskPrediction(
        _in_view(record, view)[None],
        np.array([record.predicted_iou], np.float32),
        np.array([record.stability_score], np.float32),
        logits[None],
        frame,
    )
    return Finding(
        Candidates(view, prediction, 0).place(),
        proposal.class_name,
        record.predicted_iou,
        record.stability_score,
        proposal.text_score,
        proposal.phrase,
        Provenance(model, method=proposal.method),
    )


def find_everything(
    session: Session,
    proposals: Proposals,
    method: Method = "dense",
    *,
    grid: dict[str, Any] | None = None,
    settings: dict[str, Any] | None = None,
) -> None:
    """Propose every object in the view.

    Parameters
    ----------
    session : Session
    proposals : Proposals
        Where the result is shown, when it is there.
    method : {"dense", "grid"}
        See `napari_sam.inference.automatic.segment_everything`.
    grid : dict, optional
        Of `AutomaticMaskGenerator`, for "grid".
    settings : dict, optional
        Of `InstanceSettings`.

    Raises
    ------
    PromptError
        If there is no image or no model.
    """
    view = ready_view(session)
    class_name, worker = session.class_name, session.engine.worker

    def work(steps: Steps) -> list[Proposal]:
        records = worker.everything(
            view, method, grid or {}, settings or {}, steps.report
        )
        return [Proposal(each, class_name, method=method) for each in records]

    def done(found: list[Proposal]) -> None:
        left, standing = split_standing(session, view, found)
        proposals.show(view, left)
        rest = f"; {standing} more are objects already" if standing else ""
        text = f"Found {len(left)} objects{rest}: accept or change."
        session.events.status.emit(text)

    session.engine.run("Segmenting everything", work, done)


def ready_view(session: Session) -> ImageView:
    """Return the view, if there is a model to look at it.

    Raises
    ------
    PromptError
        If there is no image or no model.
    """
    if session.view is None or not session.model_is_ready:
        raise PromptError("There is no image or no model yet: wait until it is loaded.")
    return session.view


def _covers(record: MaskRecord, row: int, col: int) -> bool:
    row, col = row - record.origin[0], col - record.origin[1]
    height, width = record.mask.shape
    return 0 <= row < height and 0 <= col < width and bool(record.mask[row, col])


def _in_view(record: MaskRecord, view: ImageView) -> NDArray[np.bool_]:
    mask = np.zeros(view.frame.shape, bool)
    row, col = record.origin
    height, width = record.mask.shape
    mask[row : row + height, col : col + width] = record.mask
    return mask
