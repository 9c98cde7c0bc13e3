"""Everything, or what words name, in all slices of a stack or all frames of a movie."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray
from psygnal import Signal

from napari_sam.errors import PromptError
from napari_sam.session.axes import voxel_size
from napari_sam.session.document import Document
from napari_sam.session.engine import Steps
from napari_sam.session.filling import ObjectFill, SliceFill, fill
from napari_sam.session.findings import ready_view
from napari_sam.session.plane import Stack
from napari_sam.session.propagation import Propagation
from napari_sam.session.propagation_task import StackArray, to_pixels
from napari_sam.session.session import Session
from napari_sam.session.standing import are_covered, say_standing
from napari_sam.session.view import ImageView
from napari_sam.structures import Provenance

if TYPE_CHECKING:
    from napari_sam.inference.predictor import SamPredictor
    from napari_sam.inference.tracking import TrackResult
    from napari_sam.inference.volume_automatic import PlaneFinder
    from napari_sam.inference.volume_result import VolumeObject, VolumeSegmentation


@dataclass(frozen=True, eq=False)
class Lineage:
    """Where the objects of a movie went, and which divided.

    Attributes
    ----------
    points : ndarray of float64, shape (N, 1 + D)
        Object id, and its centre in the D axes of the image, of each frame.
    graph : dict of int to list of int
        The parent of each object that has one.
    axis : int
        The axis that is time.
    """

    points: NDArray[np.float64]
    graph: dict[int, list[int]]
    axis: int


class StackSearch:
    """Makes objects of all that is found along the axis of a `Propagation`.

    Parameters
    ----------
    session : Session
    propagation : Propagation
        Says along which axis, and in which slices.

    Attributes
    ----------
    tracked : Signal(Lineage)
        A movie's objects were found.
    """

    tracked = Signal(object)

    def __init__(self, session: Session, propagation: Propagation) -> None:
        self._session, self._propagation = session, propagation

    def find(self, phrases: str = "") -> None:
        """Find everything, or what words name; it becomes one edit.

        Parameters
        ----------
        phrases : str
            One a line, or divided by ";"; "" for everything.

        Raises
        ------
        PromptError
            If there is no image, no model or no stack, or words cannot be used.
        """
        from napari_sam.text.phrases import parse_phrases

        session, propagation = self._session, self._propagation
        view, stack = ready_view(session), propagation.stack
        if stack is None:
            raise PromptError("This image has no z or t: there is nothing to search.")
        words = [each.strip() for each in phrases.replace(";", "\n").splitlines()]
        words = [each for each in words if each]
        if words:
            parse_phrases(words)
        search = _Search(session, view, stack, propagation, words)
        named = " and ".join(words) or "everything"
        title = f"find {named} in the {'movie' if search.is_movie else 'stack'}"

        def done(found: tuple[VolumeSegmentation, TrackResult | None]) -> None:
            made = search.write(*found, title)
            # Another image may be shown by now, which the tracks are not of.
            if made is not None and session.document is search.document:
                self.tracked.emit(made)

        session.engine.run(title.capitalize(), search.work, done)


class _Search:
    """One search, frozen when it was asked for."""

    def __init__(
        self,
        session: Session,
        view: ImageView,
        stack: Stack,
        propagation: Propagation,
        words: list[str],
    ) -> None:
        self._session, self._view, self._stack = session, view, stack
        self.document: Document = session.document
        self._rule, self._class = session.overlap, session.class_name
        self._model = session.model_name
        self._low, self._high = propagation.limits or (0, stack.length)
        spacing = voxel_size(view, stack)
        self._settings = replace(propagation.settings, spacing=spacing)
        self._words = words
        self.is_movie = propagation.is_movie

    def work(self, steps: Steps) -> tuple[VolumeSegmentation, TrackResult | None]:
        worker = self._session.engine.worker

        def search() -> tuple[VolumeSegmentation, TrackResult | None]:
            from napari_sam.inference.linking import LinkSettings
            from napari_sam.inference.volume import VolumeSegmenter
            from napari_sam.inference.volume_automatic import segment_volume
            from napari_sam.inference.volume_movie import segment_movie

            segmenter = VolumeSegmenter(worker.predictor, self._settings)
            part = StackArray(self._view, self._stack, (self._low, self._high))
            planes = worker.open_stack(self._view, part, segmenter)
            find = self._finder(worker.predictor)
            if self.is_movie:
                return segment_movie(
                    worker.predictor,
                    planes,
                    find,
                    progress=steps.tell,
                    should_cancel=lambda: steps.token.cancelled,
                )
            found = segment_volume(
                segmenter,
                planes,
                find=find,
                links=LinkSettings(anisotropy=self._settings.anisotropy),
                progress=steps.tell,
                should_cancel=lambda: steps.token.cancelled,
            )
            return found, None

        return worker.guarded(search, batched=True)

    def _finder(self, predictor: SamPredictor) -> PlaneFinder:
        from napari_sam.inference.volume_automatic import find_everything
        from napari_sam.inference.volume_words import NamedFinder

        return NamedFinder(predictor, self._words) if self._words else find_everything

    def write(
        self, found: VolumeSegmentation, tracks: TrackResult | None, title: str
    ) -> Lineage | None:
        """Make what was found objects, as one edit, and say so."""
        first = self.document.objects.next_id()
        fills: list[ObjectFill] = []
        numbers: dict[int, int] = {}
        standing = 0
        for identifier, each in sorted(found.objects.items()):
            made = self._fill(first + len(fills), each)
            if are_covered([one.placed for one in made.slices], self.document):
                standing += 1
            elif made.slices:
                numbers[identifier] = made.id
                fills.append(made)
        if fills:
            fill(self.document, fills, self._rule, title)
        kept = "" if found.complete else "Cancelled; what was found is kept. "
        said = found.message or f"Found {len(found.objects)} objects."
        rest = say_standing(standing, len(fills))
        self._session.events.status.emit(f"{kept}{said}{rest}")
        return self._lineage(tracks, numbers) if tracks and numbers else None

    def _fill(self, number: int, each: VolumeObject) -> ObjectFill:
        slices = []
        for index, mask in sorted(each.slices.items()):
            plane = self._stack.at(self._low + index)
            placed = to_pixels(mask.record, self._view.frame, plane)
            if placed is not None:
                slices.append(SliceFill(placed, round(float(mask.confidence), 4)))
        rated = [one.confidence for one in slices if one.confidence is not None]
        return ObjectFill(
            number,
            tuple(slices),
            class_name=each.class_name or self._class,
            predicted_iou=float(np.mean(rated)) if rated else float("nan"),
            provenance=Provenance(
                self._model, method="text" if self._words else "dense"
            ),
        )

    def _lineage(self, tracks: TrackResult, numbers: dict[int, int]) -> Lineage:
        plane, frame = self._stack.plane, self._view.frame
        rows = [row for row in tracks.points if int(row[0]) in numbers]
        points = np.tile(np.array([0, *plane.point], np.float64), (len(rows), 1))
        for point, (track, index, row, col) in zip(points, rows, strict=True):
            centre = np.array([row, col]) * frame.step + frame.origin
            point[0] = numbers[int(track)]
            point[1 + self._stack.axis] = self._low + index
            point[[1 + plane.rows, 1 + plane.cols]] = centre
        graph = {
            numbers[child]: [numbers[n] for n in parents if n in numbers]
            for child, parents in tracks.graph.items()
            if child in numbers
        }
        known = {child: parents for child, parents in graph.items() if parents}
        return Lineage(points, known, self._stack.axis)
