"""The masks that the model offers, for the draft and under the pointer."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from napari_sam.errors import NapariSamError
from napari_sam.session.candidates import Candidates
from napari_sam.session.view import ImageView
from napari_sam.structures import MaskPrediction, PointPrompt, PromptSet

if TYPE_CHECKING:
    from napari_sam.session.session import Session

Position = tuple[float, float]


class Asking:
    """Asks the model whenever the draft or the pointer moves, and keeps its answers.

    Parameters
    ----------
    session : Session

    Attributes
    ----------
    candidates : Candidates or None
        For the draft, or those under the pointer.
    """

    def __init__(self, session: Session) -> None:
        self._session = session
        self.candidates: Candidates | None = None
        # The draft's last answer is not there yet, though an earlier one may be.
        self._waiting = False
        self._commit_later = False
        self._hovering = False
        self._hover_next: Position | None = None

    def ask(self) -> None:
        """Ask for masks of the draft, if it has prompts and there is a model."""
        session = self._session
        self._hovering, self._hover_next = False, None
        draft, view = session.draft, session.view
        if draft.is_empty or view is None or not session.model_is_ready:
            self.forget()
            self.set(None)
            return

        def show(prediction: MaskPrediction | None, final: bool) -> None:
            if final:
                self._waiting = False
            self._show(view, prediction)
            if final and self._commit_later:
                self.commit_when_ready()

        self._waiting = True
        session.engine.ask(view, draft.prompts, draft.is_ambiguous, show)

    def hover(self, position: Position | None) -> None:
        """Show what a click would give, at the first scale; None to stop.

        Nothing happens while there are prompts, or no model.
        """
        session = self._session
        view = session.view
        if not session.draft.is_empty or view is None or not session.model_is_ready:
            return
        if position is None or not view.contains(position):
            self.forget()
            self.set(None)
            return
        if self._hovering:
            # A moving pointer must not make every answer a late one.
            self._hover_next = position
            return
        self._hovering, self._hover_next = True, None
        prompts = PromptSet(points=(PointPrompt(position),))

        def show(prediction: MaskPrediction | None, final: bool) -> None:
            if prediction is not None and not final:
                best = prediction.best
                self.set(Candidates(view, prediction, best, hovering=True))
            if final:
                self._hovering = False
                if self._hover_next is not None:
                    self.hover(self._hover_next)

        session.engine.ask(view, prompts, True, show, quick=True)

    def forget(self) -> None:
        """Drop what the model is asked."""
        self._waiting = self._commit_later = False
        self._hovering, self._hover_next = False, None
        self._session.engine.forget()

    def set(self, candidates: Candidates | None) -> None:
        """Show other masks, or none."""
        if candidates is None and self.candidates is None:
            return
        self.candidates = candidates
        self._session.events.mask.emit(candidates)

    def choose(self, index: int) -> None:
        """Choose one of the draft's masks; what is there now is not improved."""
        found = self._session.candidates
        if found is None:
            return
        if self._waiting:
            self.forget()
        chosen = index % len(found)
        self._session.document.choose(found.view.plane, chosen)
        self.set(replace(found, chosen=chosen))

    def commit_when_ready(self) -> None:
        """Commit the mask of the present prompts, once its last answer is there."""
        self._commit_later = self._waiting
        if self._waiting:
            return
        try:
            self._session.commit()
        except NapariSamError as error:
            self._session.events.failed.emit(error)

    def _show(self, view: ImageView, prediction: MaskPrediction | None) -> None:
        if prediction is None:
            self._commit_later = False
            self.set(None)
            return
        shown = self.candidates
        if shown is not None and shown.prediction is prediction:
            return
        chosen = self._session.draft.candidate
        valid = chosen is not None and chosen < len(prediction.masks)
        best = chosen if valid and chosen is not None else prediction.best
        self.set(Candidates(view, prediction, best))
