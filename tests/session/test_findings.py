"""What is found without clicks is proposed, changed and accepted as one edit."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_sam.errors import PromptError
from napari_sam.inference.text_exemplars import Concept
from napari_sam.session import Session
from napari_sam.session.concepts import concept_path, split_concepts
from napari_sam.session.findings import Proposal, Proposals, find_everything
from napari_sam.session.view import ImageView, array_view
from napari_sam.structures import Frame, MaskRecord

from .fakes import SHAPE, DiscPredictor


def square(row: int, col: int, name: str = "cell") -> Proposal:
    record = MaskRecord(np.ones((6, 8), bool), (row, col), 0.8, 0.9)
    return Proposal(record, name, name, 0.7, method="text")


@pytest.fixture
def proposals(session: Session) -> Proposals:
    found = Proposals(session)
    assert session.view is not None
    found.show(session.view, [square(5, 5), square(30, 40, "debris")])
    return found


def test_a_click_drops_and_takes(proposals: Proposals) -> None:
    assert proposals.toggle((7, 7))
    assert [each.class_name for each in proposals.taken] == ["debris"]
    assert not proposals.toggle((60, 60)), "there is none"
    painted = proposals.painted(lambda each: 3)
    assert painted.shape == SHAPE
    assert painted[7, 7] == 0
    assert painted[32, 44] == 3
    proposals.toggle((7, 7))
    assert len(proposals.taken) == 2


def test_accepting_is_one_edit(session: Session, proposals: Proposals) -> None:
    assert proposals.accept("accept all") == 2
    first, second = session.document.objects
    assert (first.class_name, second.class_name) == ("cell", "debris")
    assert first.text_score == pytest.approx(0.7)
    assert first.provenance.method == "text"
    assert np.count_nonzero(session.document.store.data) == 96
    assert proposals.shown == ()
    assert session.undo() == "accept all"
    assert not session.document.store.data.any()
    with pytest.raises(PromptError, match="nothing to accept"):
        proposals.accept("again")


def test_what_lies_on_an_object_is_left_out_and_told(
    session: Session, proposals: Proposals
) -> None:
    told: list[str] = []
    session.events.status.connect(told.append)
    proposals.accept("accept all")
    assert session.view is not None
    proposals.show(session.view, [square(6, 6), square(20, 20)])
    assert proposals.accept("again") == 1, "no sliver beside the first one"
    areas = [each.area for each in session.document.objects]
    assert areas == [48, 48, 48]
    assert told[-1] == "1 became objects; 1 left out, where objects are already."


def test_coarse_proposals_are_accepted_in_full_pixels(session: Session) -> None:
    plane = array_view(np.zeros((400, 400), np.uint8)).plane
    session.start(np.zeros((400, 400), np.int32))
    frame = Frame((100.0, 60.0), (4.0, 4.0), (50, 60))
    view = ImageView("coarse", plane, frame, lambda: np.zeros((50, 60), np.uint8))
    found = Proposals(session)
    found.show(view, [square(10, 20)])
    assert found.toggle((145, 145))
    assert found.toggle((145, 145))
    found.accept("accept")
    rows, cols = np.nonzero(session.document.store.data)
    assert (rows.min(), rows.max() + 1) == (140, 164)
    assert (cols.min(), cols.max() + 1) == (140, 172)


def test_everything_is_found_and_shown(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Any] = []

    def everything(
        view: Any, method: str, grid: Any, settings: Any, report: Any
    ) -> Any:
        report(1, 2)
        told.append((method, settings))
        return [square(5, 5).record]

    monkeypatch.setattr(session.engine.worker, "everything", everything)
    found = Proposals(session)
    find_everything(session, found, "dense", settings={"min_size": 4})
    assert told == [("dense", {"min_size": 4})]
    assert [each.method for each in found.taken] == ["dense"]


def test_without_an_image_nothing_is_found() -> None:
    session = Session(DiscPredictor())
    with pytest.raises(PromptError, match="no image"):
        find_everything(session, Proposals(session))


def test_lines_that_name_a_concept_are_told_from_phrases() -> None:
    vectors = np.ones((1, 4), np.float32)
    concept = Concept("my grains", "grains", vectors, vectors[:0], 0.4, "clip")
    path = concept_path("my grains")
    path.parent.mkdir(parents=True)
    concept.save(path)
    words, found = split_concepts("nuclei\nmy grains\nnot debris")
    assert words == "nuclei\nnot debris"
    assert [each.threshold for each in found] == [0.4]
    assert split_concepts("nuclei") == ("nuclei", [])
