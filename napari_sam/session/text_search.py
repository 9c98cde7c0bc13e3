"""Objects by their names: a search in the view, then a threshold that only filters."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from napari_sam.errors import PromptError
from napari_sam.geometry import frame_to_image, image_to_frame, resample
from napari_sam.session.concepts import concept_path, split_concepts
from napari_sam.session.engine import Steps
from napari_sam.session.findings import Proposal, Proposals, ready_view
from napari_sam.session.labels import PlacedMask
from napari_sam.session.objects import SegmentedObject
from napari_sam.session.session import Session
from napari_sam.session.standing import say_standing, split_standing
from napari_sam.session.view import ImageView
from napari_sam.structures import Frame, MaskRecord

if TYPE_CHECKING:
    from napari_sam.inference.text_exemplars import ExemplarPrompt
    from napari_sam.inference.text_prompt import TextSegmenter
    from napari_sam.inference.text_selection import TextCandidates, TextInstance


class TextSearch:
    """Finds what phrases name, in the view of a session.

    Parameters
    ----------
    session : Session
    proposals : Proposals
        Where the found masks are shown.
    """

    def __init__(self, session: Session, proposals: Proposals) -> None:
        self._session = session
        self._proposals = proposals
        self._segmenter: TextSegmenter | None = None
        self._seen: Any = None
        self._view: ImageView | None = None
        self._candidates: TextCandidates | None = None
        self._words = ""
        self.threshold = 0.5

    @property
    def names(self) -> tuple[str, ...]:
        """Classes of the last search."""
        return () if self._candidates is None else self._candidates.names

    @property
    def notes(self) -> tuple[str, ...]:
        """How phrases of the last search were understood, unless as they are."""
        found = self._candidates
        return () if found is None else tuple(note for note in found.notes if note)

    def run(self, phrases: str) -> None:
        """Search for phrases, one a line.

        Raises
        ------
        PromptError
            If there is no phrase, no image or no model.
        """
        if not phrases.strip():
            raise PromptError("Type what to find, such as: nuclei")
        self._search(phrases, ())

    def find_like(self, objects: Sequence[SegmentedObject], phrases: str = "") -> None:
        """Search for more of what some objects are.

        Raises
        ------
        PromptError
            If there is no example, or it is on another slice.
        """
        if not objects:
            raise PromptError("Select one or more objects in the table as examples.")
        self._search(phrases, objects)

    def set_threshold(self, threshold: float) -> None:
        """Show what answers at least so well and is no object yet.

        Nothing is computed anew.
        """
        self.threshold = threshold
        found, view = self._candidates, self._view
        if found is None or view is None:
            return
        selection = found.select(threshold)
        proposals = [_proposal(each) for each in selection.instances]
        left, standing = split_standing(self._session, view, proposals)
        self._proposals.show(view, left)
        self._session.events.status.emit(
            selection.message + say_standing(standing, len(left))
        )

    def similarity_map(self, name: str) -> tuple[ImageView, NDArray[np.float32]] | None:
        """Return how well each place answers a class; None before a search."""
        if self._candidates is None or self._view is None:
            return None
        return self._view, self._candidates.similarity_map(name)

    def save_concept(self, name: str) -> None:
        """Keep the last search under a name, sharpened by what is taken and dropped.

        Parameters
        ----------
        name : str
            To be typed like a phrase later.

        Raises
        ------
        PromptError
            If nothing was found yet.
        """
        segmenter, shown = self._segmenter, self._proposals.shown
        if segmenter is None or not shown:
            raise PromptError("Search first: what is taken makes the concept.")
        taken = tuple(each.record for each in self._proposals.taken)
        dropped = tuple(
            each.record
            for number, each in enumerate(shown)
            if number in self._proposals.dropped
        )
        phrase, threshold = self._words.partition("\n")[0], self.threshold

        def work(_: Steps) -> None:
            from napari_sam.inference.text_exemplars import ExemplarPrompt

            example = ExemplarPrompt(name, taken, dropped)
            concept = segmenter.learn(name, phrase, example, threshold)
            path = concept_path(name)
            path.parent.mkdir(parents=True, exist_ok=True)
            concept.save(path)

        def done(_: None) -> None:
            self._session.events.status.emit(f"Saved the concept {name!r}.")

        self._session.engine.run("Saving the concept", work, done)

    def _search(self, phrases: str, objects: Sequence[SegmentedObject]) -> None:
        view = ready_view(self._session)
        document = self._session.document
        masks = [document.object_mask(each.id) for each in objects]
        name = objects[0].class_name if objects else ""

        words, concepts = split_concepts(phrases)

        def work(steps: Steps) -> TextCandidates:
            like = (_exemplar(name, masks, view),) if masks else ()

            def search() -> TextCandidates:
                segmenter = self._prepared(view, steps)
                return segmenter.candidates(None, words, like=like, concepts=concepts)

            return self._session.engine.worker.guarded(search, batched=True)

        def done(found: TextCandidates) -> None:
            self._candidates, self._view, self._words = found, view, words
            self.set_threshold(self.threshold)

        self._session.engine.run("Searching", work, done)

    def _prepared(self, view: ImageView, steps: Steps) -> TextSegmenter:
        """Return a segmenter whose candidates are the view's; found once a view."""
        from napari_sam.inference.text_prompt import TextSegmenter

        predictor = self._session.engine.worker.predictor
        if self._segmenter is None or self._segmenter.predictor is not predictor:
            self._segmenter, self._seen = TextSegmenter(predictor), None
        if self._seen != view.key:
            steps.token.check()
            shown = view.display
            self._segmenter.set_image(
                view.read(),
                channel_axis=shown.channel_axis,
                channel_map=shown.channel_map,
                contrast_limits=shown.contrast_limits,
                gamma=shown.gamma,
            )
            self._seen = view.key
        else:
            self._session.engine.worker.embed(view)
        return self._segmenter


def _proposal(instance: TextInstance) -> Proposal:
    return Proposal(
        instance.record,
        instance.phrase,
        instance.phrase,
        instance.text_score,
        method="text",
    )


def _exemplar(
    name: str, masks: Sequence[PlacedMask], view: ImageView
) -> ExemplarPrompt:
    from napari_sam.inference.text_exemplars import ExemplarPrompt

    records = tuple(_in_samples(each, view) for each in masks)
    return ExemplarPrompt(name, records)


def _in_samples(placed: PlacedMask, view: ImageView) -> MaskRecord:
    """Return an object of the plane as a mask of the view's samples."""
    if placed.plane != view.plane:
        raise PromptError("An example is on another slice: choose one of this slice.")
    inner = view.frame
    row0, col0, row1, col1 = placed.box
    corners = np.array([(row0, col0), (row1, col1)], np.float64)
    low, high = image_to_frame(corners, inner)
    start = np.floor(low).astype(int)
    height, width = (np.ceil(high).astype(int) - start).tolist()
    origin = frame_to_image(start, inner)
    own = Frame((float(row0), float(col0)), (1.0, 1.0), placed.mask.shape)
    there = Frame((float(origin[0]), float(origin[1])), inner.step, (height, width))
    mask = resample(placed.mask, own, there) > 0.5
    return MaskRecord(mask, (int(start[0]), int(start[1])), 1.0, 1.0)
