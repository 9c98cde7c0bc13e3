"""One person's work on one image: the GUI, the program and the tests all drive this."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from napari_sam.errors import ImageError, PromptError
from napari_sam.session.asking import Asking
from napari_sam.session.candidates import Candidates
from napari_sam.session.document import Document, Finding
from napari_sam.session.drafts import Draft
from napari_sam.session.engine import Engine
from napari_sam.session.events import SessionEvents
from napari_sam.session.history import Edit
from napari_sam.session.labels import LabelStore, OverlapRule
from napari_sam.session.mask_prompts import prompt_of_mask
from napari_sam.session.objects import DEFAULT_CLASS, SegmentedObject
from napari_sam.session.plane import Plane
from napari_sam.session.records import write_frame
from napari_sam.session.runner import InlineRunner, Runner
from napari_sam.session.view import ImageView, array_view
from napari_sam.session.worker import ModelChoice
from napari_sam.structures import (
    BoxPrompt,
    MaskPrompt,
    PointPrompt,
    PromptSet,
    Provenance,
)

if TYPE_CHECKING:
    from napari_sam.inference.predictor import SamPredictor


class Session:
    """Prompts, candidate masks, committed objects and their history.

    With the default runner every call returns with its result in place. Positions are
    (row, col) pixels of the shown plane.

    Parameters
    ----------
    model : str, ModelChoice, SamPredictor, Sam or None
        What predicts: a registered name, or something that is loaded already; None
        leaves it to `load_model`.
    runner : Runner, optional
        Where slow work runs; at once by default.
    reads_ahead : bool
        Whether pauses are used to prepare the image for clicks to come.

    Attributes
    ----------
    events : SessionEvents
        What to listen to.
    document : Document
        Drafts, objects, labels and history.
    overlap : {"keep", "overwrite", "background"}
        How a commit treats other objects.
    class_name : str
        Class of the objects that are committed next.
    interrupt : callable or None
        Stops and drops what is being found for an edit; returns what that is.

    Examples
    --------
    >>> session = Session("pocket")  # doctest: +SKIP
    >>> session.set_image(image)  # doctest: +SKIP
    >>> session.add_point((120, 88))  # doctest: +SKIP
    >>> session.commit().id  # doctest: +SKIP
    1
    """

    def __init__(
        self,
        model: Any = None,
        runner: Runner | None = None,
        *,
        reads_ahead: bool = False,
    ) -> None:
        self.events = SessionEvents()
        self.overlap: OverlapRule = "keep"
        self.class_name = DEFAULT_CLASS
        self.interrupt: Callable[[], str] | None = None
        self._engine = Engine(
            runner or InlineRunner(), self.events, reads_ahead=reads_ahead
        )
        self._view: ImageView | None = None
        self._asking = Asking(self)
        self._model_name = ""
        self._model_ready = False
        self.document = self._new_document(np.zeros((0, 0), np.int32))
        if model is not None:
            self._take_model(model)

    # -- model ---------------------------------------------------------------------

    @property
    def model_name(self) -> str:
        """Registered name of the model, or the one being loaded; "" for none."""
        return self._model_name

    @property
    def model_is_ready(self) -> bool:
        """Whether the model is loaded."""
        return self._model_ready

    @property
    def device(self) -> str:
        """Where the loaded model runs; "" before it is loaded."""
        return (
            str(self._engine.worker.predictor.model.device) if self._model_ready else ""
        )

    def load_model(self, choice: str | ModelChoice) -> None:
        """Load a model; prompts stay and are answered by it.

        If it cannot be loaded, or that is cancelled, the last one stays in use.

        Parameters
        ----------
        choice : str or ModelChoice
        """
        wanted = ModelChoice(choice) if isinstance(choice, str) else choice
        self._model_name, self._model_ready = wanted.name, False
        self.events.model.emit()
        self._asking.forget()
        self._engine.load(wanted, self._model_loaded, self._load_ended)

    def use_predictor(self, predictor: SamPredictor) -> None:
        """Take a predictor whose model is loaded already."""
        self._engine.use(predictor)
        self._model_name = getattr(predictor.model, "name", "")
        self._model_loaded()

    # -- image ---------------------------------------------------------------------

    @property
    def view(self) -> ImageView | None:
        """What the model is shown."""
        return self._view

    @property
    def plane(self) -> Plane:
        """The shown plane.

        Raises
        ------
        ImageError
            If there is no image.
        """
        if self._view is None:
            raise ImageError("There is no image yet: open one first.")
        return self._view.plane

    @property
    def shown_plane(self) -> Plane | None:
        """The shown plane; None if there is no image."""
        return None if self._view is None else self._view.plane

    def set_image(self, image: ArrayLike, **display: Any) -> None:
        """Work on a single image from now on, with no objects yet.

        Parameters
        ----------
        image : array_like
            (H, W), (H, W, 3), (H, W, 4), or with channels along ``channel_axis``.
        **display
            Attributes of `napari_sam.session.view.Display`.

        Raises
        ------
        ImageError
            If the model cannot read it (with a runner that runs at once, through
            ``events.failed``).
        """
        view = array_view(image, key=("image", id(image)), **display)
        self.start(np.zeros(view.plane.size, np.int32))
        self.set_view(view)

    def start(self, labels: Any) -> None:
        """Begin a new document on a label array; nothing of the old one is kept.

        Parameters
        ----------
        labels : array_like of int
            Written in place. Ids that are in it already stay: see `adopt`.
        """
        self.resume(self._new_document(labels))

    def resume(self, document: Document) -> None:
        """Go on with a document of this session, as when an image is shown again."""
        self.document = document
        self._asking.forget()
        self._asking.set(None)
        self.events.objects.emit()
        self.events.history.emit()
        self.events.prompts.emit(self.draft)

    def set_view(self, view: ImageView | None) -> None:
        """Show the model something else: a slice, a region, other colours.

        What is being computed for the old view is dropped. The prompts of each plane
        are kept and shown again when it is.
        """
        if view is not None and self._view is not None and view.key == self._view.key:
            return
        self._view = view
        self._asking.forget()
        self._asking.set(None)
        self.events.view.emit(view)
        if view is None:
            return
        if self._model_ready:
            self._engine.encode(view)
        self.events.prompts.emit(self.draft)
        self._asking.ask()

    # -- prompts -------------------------------------------------------------------

    @property
    def draft(self) -> Draft:
        """The prompts of the shown plane."""
        if self._view is None:
            return Draft()
        return self.document.draft(self._view.plane)

    @property
    def candidates(self) -> Candidates | None:
        """The masks for the draft; None if there are none (yet)."""
        found = self._asking.candidates
        return None if found is None or found.hovering else found

    def add_point(self, position: tuple[float, float], positive: bool = True) -> None:
        """Click at a pixel.

        Raises
        ------
        PromptError
            If it lies outside the image.
        """
        self._check_inside(position)
        point = PointPrompt(position, positive)
        sign = "positive" if positive else "negative"
        self.set_draft(self.draft.with_point(point), f"{sign} point")

    def set_points(self, points: tuple[PointPrompt, ...], title: str) -> None:
        """Replace all points, as after moving or removing some."""
        self.set_draft(self.draft.with_points(points), title)

    def set_box(self, box: BoxPrompt | None) -> None:
        """Set or remove the box of the draft."""
        self.set_draft(self.draft.with_box(box), "box" if box else "remove box")

    def set_mask(self, mask: MaskPrompt | None) -> None:
        """Set or remove the mask that the draft starts from."""
        self.set_draft(self.draft.with_mask(mask), "mask prompt")

    def clear_prompts(self) -> None:
        """Remove all prompts of the shown plane."""
        if not self.draft.is_empty:
            self.set_draft(Draft(), "clear prompts")

    def set_draft(self, draft: Draft, title: str) -> None:
        """Change the draft of the shown plane in any way, as one edit.

        Raises
        ------
        ImageError
            If there is no image.
        """
        self.document.edit_draft(self.plane, draft, title)

    def refine(self, object_id: int) -> None:
        """Take a committed object up again: its mask becomes the draft's prompt.

        Raises
        ------
        DataError
            If there is no such object, or it lies in another plane.
        """
        placed = self.document.object_mask(object_id, self.plane)
        prompt = prompt_of_mask(placed.mask, placed.origin)
        draft = Draft(PromptSet(mask=prompt), object_id=object_id)
        self.set_draft(draft, f"refine object {object_id}")

    def hover(self, position: tuple[float, float] | None) -> None:
        """Show what a click would give; None to stop.

        Nothing happens while there are prompts, or no model.
        """
        self._asking.hover(position)

    # -- candidates ----------------------------------------------------------------

    def choose(self, index: int) -> None:
        """Choose a candidate mask; it is the one that `commit` takes."""
        self._asking.choose(index)

    def next_candidate(self, step: int = 1) -> None:
        """Go round the candidates."""
        found = self.candidates
        if found is not None:
            self.choose(found.chosen + step)

    def commit(
        self, class_name: str | None = None, object_id: int | None = None
    ) -> SegmentedObject:
        """Make the chosen mask an object.

        Parameters
        ----------
        class_name : str, optional
            The session's by default; a refined object keeps its own.
        object_id : int, optional
            Id to give; by default that of the refined object, or a fresh one.

        Raises
        ------
        PromptError
            If there is no mask yet, or it is empty.
        DataError
            If other objects cover it and the overlap rule protects them.
        """
        found = self.candidates
        if found is None:
            raise PromptError("There is no mask to commit: click on an object first.")
        draft = self.draft
        finding = self._finding(found, draft, class_name or self.class_name)
        details = {
            "frame": write_frame(found.view.frame),
            "candidate": found.chosen,
            "multimask_output": draft.is_ambiguous,
        }
        if object_id is None:
            object_id = draft.object_id
        return self.document.commit(
            finding, self.overlap, object_id=object_id, details=details
        )

    def commit_when_ready(self) -> None:
        """Commit the mask of the present prompts, once it is there.

        What cannot be committed is told through ``events.failed``.
        """
        self._asking.commit_when_ready()

    # -- objects -------------------------------------------------------------------

    def delete(self, ids: Iterable[int]) -> None:
        """Erase objects; see `Document.delete`."""
        self.document.delete(ids)

    def merge(self, ids: Iterable[int]) -> None:
        """Make objects one; see `Document.merge`."""
        self.document.merge(ids)

    def split(self, object_id: int) -> None:
        """Make the parts of an object objects; see `Document.split`."""
        self.document.split(object_id)

    def set_class(self, ids: Iterable[int], class_name: str) -> None:
        """Give objects a class; see `Document.set_class`."""
        self.document.set_class(ids, class_name)

    # -- history -------------------------------------------------------------------

    def undo(self) -> str | None:
        """Take the last edit back; return what it was, None if there is none.

        What is on its way to become an edit is stopped first, and is all of it.
        """
        if self.interrupt is not None:
            return self.interrupt()
        edit = self.document.history.undo()
        return None if edit is None else edit.title

    def redo(self) -> str | None:
        """Make the last undone edit again; return what it was."""
        edit = self.document.history.redo()
        return None if edit is None else edit.title

    # -- work ----------------------------------------------------------------------

    @property
    def engine(self) -> Engine:
        """Runs what is slow."""
        return self._engine

    @property
    def is_busy(self) -> bool:
        """Whether something is being computed."""
        return self._engine.is_busy

    def cancel(self) -> None:
        """Stop what is being computed, as soon as it can be."""
        self._engine.cancel()
        self._asking.forget()
        self.events.status.emit("Cancelled.")

    def close(self) -> None:
        """Stop everything and wait for it; the session cannot be used afterwards."""
        self._engine.close()

    # -- inside --------------------------------------------------------------------

    def _take_model(self, model: Any) -> None:
        from napari_sam.inference.predictor import SamPredictor

        if isinstance(model, str | ModelChoice):
            self.load_model(model)
        elif isinstance(model, SamPredictor) or hasattr(model, "predict_batch"):
            self.use_predictor(model)
        else:
            self.use_predictor(SamPredictor(model))

    def _model_loaded(self) -> None:
        self._model_ready = True
        self.events.model.emit()
        if self._view is not None:
            self._engine.encode(self._view)
            self._asking.ask()

    def _load_ended(self) -> None:
        """Go back to the last model if the one that was wanted did not come."""
        if self._model_ready or self._engine.is_loading:
            return
        self._model_name = self._engine.worker.model_name
        if self._model_name:
            self._model_loaded()
        else:
            self.events.model.emit()

    def _new_document(self, labels: Any) -> Document:
        store = LabelStore(labels, changed=self.events.labels.emit)
        return Document(store, self._edited)

    def _edited(self, edit: Edit) -> None:
        shown = None if self._view is None else self._view.plane
        if any(change.plane == shown for change in edit.drafts):
            # Asked first: the model thinks while the window draws the prompts.
            self._asking.ask()
            self.events.prompts.emit(self.draft)
        if edit.objects or edit.patches:
            self.events.objects.emit()
        self.events.history.emit()

    def _finding(self, found: Candidates, draft: Draft, class_name: str) -> Finding:
        model = self._engine.worker.predictor.model
        prediction = found.prediction
        return Finding(
            found.place(),
            class_name,
            float(prediction.predicted_iou[found.chosen]),
            float(prediction.stability_score[found.chosen]),
            provenance=Provenance(
                self._model_name,
                getattr(model, "checkpoint_sha256", None) or "",
                draft.prompts,
            ),
        )

    def _check_inside(self, position: tuple[float, float]) -> None:
        height, width = self.plane.size
        row, col = position
        if not (-0.5 <= row < height - 0.5 and -0.5 <= col < width - 0.5):
            raise PromptError(
                f"The point (row {row:g}, col {col:g}) is outside the image of "
                f"{height} x {width} pixels."
            )
