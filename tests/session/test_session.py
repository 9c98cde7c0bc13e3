"""A person's work, without a window: click, choose, commit, correct, undo."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_sam.errors import DataError, ModelError, PromptError
from napari_sam.session import Session
from napari_sam.session.measures import columns
from napari_sam.session.view import ImageView, array_view
from napari_sam.structures import BoxPrompt, Frame, PointPrompt

from .fakes import RADII, SHAPE, DiscPredictor, disc


def labels_of(session: Session) -> Any:
    return session.document.store.data


def click_and_commit(session: Session, *positions: tuple[float, float]) -> None:
    for position in positions:
        session.add_point(position)
        session.commit()


def test_one_click_gives_three_masks_and_shows_the_best(session: Session) -> None:
    shown: list[Any] = []
    session.events.mask.connect(shown.append)
    session.add_point((20, 30))
    found = session.candidates
    assert found is not None
    assert len(found) == len(RADII)
    np.testing.assert_array_equal(found.mask, disc(SHAPE, (20, 30), RADII[1]))
    assert shown == [found]


def test_candidates_go_round_and_the_chosen_one_is_committed(session: Session) -> None:
    session.add_point((20, 30))
    session.next_candidate()
    assert session.candidates is not None
    assert session.candidates.chosen == 2
    session.next_candidate()
    made = session.commit("cell")
    np.testing.assert_array_equal(labels_of(session) == 1, disc(SHAPE, (20, 30), 3.0))
    assert (made.id, made.class_name) == (1, "cell")
    assert made.predicted_iou == pytest.approx(0.5)
    assert made.area == np.count_nonzero(labels_of(session))
    assert made.provenance.model == "discs"
    assert session.draft.is_empty
    assert session.candidates is None


def test_negative_point_and_box(session: Session) -> None:
    session.set_box(BoxPrompt((10, 10), (20, 22)))
    session.add_point((12, 12), positive=False)
    session.commit()
    expected = np.zeros(SHAPE, bool)
    expected[10:20, 10:22] = True
    expected &= ~disc(SHAPE, (12, 12), 3.0)
    np.testing.assert_array_equal(labels_of(session) == 1, expected)


def test_nothing_to_commit_is_said(session: Session) -> None:
    with pytest.raises(PromptError, match="click on an object"):
        session.commit()


def test_a_click_outside_is_said(session: Session) -> None:
    with pytest.raises(PromptError, match="outside the image of 64 x 80"):
        session.add_point((64, 3))


def test_undo_to_the_beginning_and_redo_to_the_end(session: Session) -> None:
    click_and_commit(session, (10, 10), (30, 40), (50, 60))
    session.add_point((30, 20))
    session.add_point((33, 20), positive=False)
    session.overlap = "overwrite"
    session.commit("debris")
    session.set_class([2, 3], "cell")
    session.merge([2, 3])
    session.split(2)
    session.delete([1])
    end = labels_of(session).copy()
    table = str(columns(session.document.objects))
    count = len(session.document.history.done)
    while session.undo():
        pass
    assert not labels_of(session).any()
    assert len(session.document.objects) == 0
    assert session.draft.is_empty
    for _ in range(count):
        assert session.redo()
    assert session.redo() is None
    np.testing.assert_array_equal(labels_of(session), end)
    assert str(columns(session.document.objects)) == table


def test_undo_of_a_commit_brings_the_prompts_and_the_mask_back(
    session: Session,
) -> None:
    session.add_point((20, 30))
    session.choose(0)
    session.commit()
    assert session.undo() == "commit object 1"
    assert session.draft.prompts.points == (PointPrompt((20, 30)),)
    assert session.candidates is not None
    assert session.candidates.chosen == 0


def test_every_edit_of_a_prompt_asks_again(
    session: Session, predictor: DiscPredictor
) -> None:
    session.add_point((20, 30))
    session.set_points((PointPrompt((25, 30)),), "move point")
    session.undo()
    assert [each.points[0].position for each in predictor.asked] == [
        (20, 30), (25, 30), (20, 30),
    ]  # fmt: skip
    assert len(predictor.encoded) == 1


def test_overlap_rules_reach_the_table(session: Session) -> None:
    click_and_commit(session, (20, 20))
    whole = session.document.objects[1].area
    click_and_commit(session, (20, 26))
    assert session.document.objects[1].area == whole, "kept by default"
    session.undo()
    session.overlap = "overwrite"
    session.commit()
    assert session.document.objects[1].area < whole
    assert session.document.objects[1].area == np.count_nonzero(labels_of(session) == 1)


def test_an_object_that_loses_everything_leaves_the_table(session: Session) -> None:
    session.add_point((20, 20))
    session.choose(0)
    session.commit()
    session.overlap = "overwrite"
    click_and_commit(session, (20, 20))
    assert [each.id for each in session.document.objects] == [2]
    session.undo()
    assert [each.id for each in session.document.objects] == [1]


def test_refining_keeps_the_id_and_may_shrink(session: Session) -> None:
    click_and_commit(session, (20, 20), (20, 32))
    before = labels_of(session).copy()
    session.refine(1)
    session.add_point((20, 16), positive=False)
    made = session.commit("ignored")
    assert made.id == 1
    assert made.class_name == "object"
    expected = (before == 1) & ~disc(SHAPE, (20, 16), 3.0)
    np.testing.assert_array_equal(labels_of(session) == 1, expected)
    np.testing.assert_array_equal(labels_of(session) == 2, before == 2)
    assert made.area == np.count_nonzero(expected)


def test_the_history_holds_no_mask_of_the_whole_image() -> None:
    session = Session(DiscPredictor())
    session.set_image(np.zeros((2000, 2000), np.uint8))
    click_and_commit(session, (20, 20))
    for _ in range(3):
        session.refine(1)
        session.add_point((20, 24))
        session.commit()
    sizes = []
    for edit in session.document.history.done:
        sizes += [part.nbytes for p in edit.patches for part in (p.before, p.after)]
        drafts = [d for change in edit.drafts for d in (change.before, change.after)]
        sizes += [d.prompts.mask.values.nbytes for d in drafts if d.prompts.mask]
    assert len(sizes) > 10
    assert max(sizes) < 10_000


def test_merge_and_split_are_each_other(session: Session) -> None:
    click_and_commit(session, (12, 12), (50, 60))
    before = labels_of(session).copy()
    session.merge([1, 2])
    assert set(np.unique(labels_of(session))) == {0, 1}
    made = session.document.split(1)
    assert sorted(each.id for each in made) == [1, 3]
    np.testing.assert_array_equal(labels_of(session) > 0, before > 0)
    with pytest.raises(DataError, match="one part"):
        session.split(1)


def test_ids_are_never_given_twice(session: Session) -> None:
    click_and_commit(session, (12, 12))
    session.delete([1])
    click_and_commit(session, (12, 12))
    assert [each.id for each in session.document.objects] == [2]


def test_errors_of_the_table(session: Session) -> None:
    click_and_commit(session, (12, 12))
    with pytest.raises(DataError, match="no such object"):
        session.delete([1, 5])
    with pytest.raises(DataError, match="at least two"):
        session.merge([1])
    with pytest.raises(DataError, match="needs a name"):
        session.set_class([1], "  ")


def test_next_for_review_goes_by_confidence(session: Session) -> None:
    click_and_commit(session, (10, 10))
    session.add_point((40, 40))
    session.choose(0)
    session.commit()
    table = session.document.objects
    first = table.least_confident()
    assert first is not None
    assert first.id == 2
    second = table.least_confident(after=2)
    assert second is not None
    assert second.id == 1


def test_hover_shows_what_a_click_would_give(session: Session) -> None:
    shown: list[Any] = []
    session.events.mask.connect(shown.append)
    session.hover((20, 30))
    assert shown[-1].hovering
    assert session.candidates is None, "there is nothing to commit"
    session.hover(None)
    assert shown[-1] is None
    session.add_point((20, 30))
    count = len(shown)
    session.hover((40, 40))
    assert len(shown) == count, "prompts come first"


def test_each_plane_keeps_its_prompts(session: Session) -> None:
    volume = np.zeros((3, *SHAPE), np.uint8)
    session.start(np.zeros(volume.shape, np.int32))
    session.set_view(slice_view(volume, 0))
    session.add_point((20, 30))
    session.set_view(slice_view(volume, 1))
    assert session.draft.is_empty
    assert session.candidates is None
    click_and_commit(session, (40, 40))
    session.set_view(slice_view(volume, 0))
    assert len(session.draft.prompts.points) == 1
    assert session.candidates is not None
    session.commit()
    labels = labels_of(session)
    assert [set(np.unique(each)) for each in labels] == [{0, 2}, {0, 1}, {0}]


def slice_view(volume: Any, index: int) -> ImageView:
    from napari_sam.session.plane import Plane

    plane = Plane(volume.shape, 1, 2, (index, 0, 0))
    frame = Frame((0.0, 0.0), (1.0, 1.0), plane.size)
    return ImageView(index, plane, frame, lambda: volume[index])


def test_a_coarse_region_is_committed_in_full_pixels(session: Session) -> None:
    full = array_view(np.zeros((400, 400), np.uint8))
    session.start(np.zeros((400, 400), np.int32))
    frame = Frame((100.0, 80.0), (4.0, 4.0), (50, 50))
    samples = np.zeros((50, 50), np.uint8)
    session.set_view(ImageView("coarse", full.plane, frame, lambda: samples))
    session.add_point((201, 181))
    session.commit()
    labels = labels_of(session)
    rows, cols = np.nonzero(labels)
    assert rows.mean() == pytest.approx(201, abs=2)
    assert cols.mean() == pytest.approx(181, abs=2)
    radius = RADII[1] * 4
    assert np.count_nonzero(labels) == pytest.approx(np.pi * radius**2, rel=0.15)


def test_brush_strokes_become_objects_and_can_be_undone(session: Session) -> None:
    from napari_sam.session.labels import Patch

    click_and_commit(session, (20, 20))
    box = (18, 18, 22, 40)
    before = session.document.store.read(session.plane, box)
    after = before.copy()
    after[:, :2] = 0
    after[:, -3:] = 5
    labels_of(session)[18:22, 18:40] = after
    area = session.document.objects[1].area
    session.document.painted([Patch(session.plane, box, before, after)])
    assert session.document.objects[5].area == 12
    assert session.document.objects[1].area == area - 8
    session.undo()
    assert [each.id for each in session.document.objects] == [1]
    assert not (labels_of(session) == 5).any()


def test_many_findings_are_one_edit(session: Session) -> None:
    from napari_sam.session.document import Finding
    from napari_sam.session.labels import PlacedMask

    findings = [
        Finding(PlacedMask(session.plane, (row, 5), np.ones((4, 4), bool)), "grain")
        for row in (5, 5, 20)
    ]
    assert session.document.add(findings, "keep", "accept all") == 2
    assert [each.id for each in session.document.objects] == [1, 2]
    session.undo()
    assert not labels_of(session).any()
    session.redo()
    assert np.count_nonzero(labels_of(session)) == 32


def test_a_refused_prompt_is_told_and_shows_no_mask(session: Session) -> None:
    told: list[Exception] = []
    session.events.failed.connect(told.append)
    session.add_point((20, 20))
    session.set_points((PointPrompt((500, 20)),), "move point")
    assert [str(each) for each in told] == ["The point is outside."]
    assert session.candidates is None


def test_a_model_that_cannot_be_loaded_leaves_the_last_one_in_use(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    failed: list[Exception] = []
    session.events.failed.connect(failed.append)
    session.add_point((20, 30))

    def load(*_: object) -> None:
        raise ModelError("There is no such file.")

    monkeypatch.setattr(session.engine.worker, "load", load)
    session.load_model("sam_vit_b")
    assert [str(each) for each in failed] == ["There is no such file."]
    assert (session.model_name, session.model_is_ready) == ("discs", True)
    assert session.candidates is not None, "the prompts are answered by it"
    empty = Session()
    monkeypatch.setattr(empty.engine.worker, "load", load)
    empty.load_model("sam_vit_b")
    assert (empty.model_name, empty.model_is_ready) == ("", False)
