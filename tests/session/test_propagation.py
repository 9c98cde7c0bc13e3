"""One click fills a stack, a movie, or one time point of a 5D image, with no window."""

from __future__ import annotations

import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_sam.errors import PromptError
from napari_sam.inference.volume_steps import PropagationSettings
from napari_sam.session import Session, ThreadRunner
from napari_sam.session.persistence import load_session, restore, save_session
from napari_sam.session.plane import Plane
from napari_sam.session.propagation import Propagation
from napari_sam.session.view import stack_view

from .stack_fakes import StackPredictor, balls

SHAPE = (20, 40, 48)
CENTRES = [(8, 10, 12), (12, 28, 32)]
# Balls end abruptly: their caps change more than objects under a microscope do.
SETTINGS = PropagationSettings(max_area_ratio=6, min_overlap=0.1)


@pytest.fixture
def labels() -> NDArray[np.int32]:
    return balls(SHAPE, CENTRES, 5.5)


def bright(labels: NDArray[np.int32]) -> NDArray[np.uint16]:
    return np.where(labels > 0, 3000, 200).astype(np.uint16)


def show(
    session: Session, image: Any, point: tuple[int, ...], rows: int = -2, cols: int = -1
) -> None:
    ndim = len(image.shape)
    plane = Plane(image.shape, rows % ndim, cols % ndim, point)
    session.set_view(stack_view(image, plane))


def begin(image: Any, point: tuple[int, ...], **axes: int) -> tuple[Session, Any]:
    session = Session(StackPredictor())
    session.start(np.zeros(image.shape, np.int32))
    show(session, image, point, **axes)
    propagation = Propagation(session)
    propagation.settings = SETTINGS
    return session, propagation


def stored(session: Session) -> NDArray[np.int32]:
    data: NDArray[np.int32] = session.document.store.data
    return data


def test_a_click_becomes_an_object_in_all_slices_and_one_undo_takes_it_back(
    labels: NDArray[np.int32],
) -> None:
    session, propagation = begin(bright(labels), (8, 0, 0))
    session.add_point((10, 12))
    propagation.propagate()
    np.testing.assert_array_equal(stored(session) == 1, labels == 1)
    (found,) = session.document.objects
    assert found.area == np.count_nonzero(labels == 1)
    assert found.plane.point[0] == 8, "where the person made it comes first"
    assert session.draft.is_empty
    sure = propagation.confidences(1)
    assert list(sure) == list(range(3, 14))
    assert sure[8] is None
    assert all(0 < each <= 1 for n, each in sure.items() if n != 8)
    end = stored(session).copy()
    assert session.undo() == "propagate object 1"
    assert not stored(session).any()
    assert len(session.document.objects) == 0
    assert len(session.draft.prompts.points) == 1, "the click is back"
    session.redo()
    np.testing.assert_array_equal(stored(session), end)


@pytest.mark.parametrize("rows_cols", [(0, 2), (2, 0), (1, 0)])
def test_any_displayed_axes(
    labels: NDArray[np.int32], rows_cols: tuple[int, int]
) -> None:
    rows, cols = rows_cols
    hidden = 3 - rows - cols
    point = [0, 0, 0]
    point[hidden] = CENTRES[0][hidden]
    session, propagation = begin(
        bright(labels), (point[0], point[1], point[2]), rows=rows, cols=cols
    )
    session.add_point((CENTRES[0][rows], CENTRES[0][cols]))
    propagation.propagate()
    np.testing.assert_array_equal(stored(session) == 1, labels == 1)


def test_a_movie_of_stacks_is_followed_in_z_or_in_t(labels: NDArray[np.int32]) -> None:
    # (T, Z, Y, X): the balls move by one column a frame.
    truth = np.stack([np.roll(labels, step, axis=2) for step in range(3)])
    session, propagation = begin(bright(truth), (1, 8, 0, 0))
    assert propagation.axes == (1, 0)
    session.add_point((10, 13))
    propagation.propagate()
    np.testing.assert_array_equal(stored(session)[1] == 1, truth[1] == 1)
    assert not stored(session)[[0, 2]].any(), "other times are left alone"
    session.undo()
    propagation.axis = 0
    propagation.propagate()
    # Ids are never given twice.
    np.testing.assert_array_equal(stored(session)[:, 8] == 2, truth[:, 8] == 1)
    assert not stored(session)[:, 7].any()


def test_channels_come_last(labels: NDArray[np.int32]) -> None:
    image = np.broadcast_to(bright(labels)[:, None], (20, 2, 40, 48))
    session = Session(StackPredictor())
    session.start(np.zeros(image.shape, np.int32))
    plane = Plane(image.shape, 2, 3, (8, 1, 0, 0))
    session.set_view(stack_view(image, plane, axis_names=("z", "c", "y", "x")))
    propagation = Propagation(session)
    assert propagation.axes == (0, 1)
    propagation.settings = SETTINGS
    session.add_point((10, 12))
    propagation.propagate()
    np.testing.assert_array_equal(stored(session)[:, 1] == 1, labels == 1)
    assert not stored(session)[:, 0].any()


def test_range_and_direction(labels: NDArray[np.int32]) -> None:
    session, propagation = begin(bright(labels), (8, 0, 0))
    session.add_point((10, 12))
    propagation.direction, propagation.limits = "forward", (6, 11)
    propagation.propagate()
    assert list(propagation.confidences(1)) == [8, 9, 10]
    session.undo()
    propagation.limits = (9, 12)
    with pytest.raises(PromptError, match="leave out"):
        propagation.propagate()


def test_all_objects_at_once(labels: NDArray[np.int32]) -> None:
    session, propagation = begin(bright(labels), (8, 0, 0))
    session.add_point((10, 12))
    session.commit("ball")
    show(session, bright(labels), (12, 0, 0))
    session.add_point((28, 32))
    propagation.propagate_all()
    np.testing.assert_array_equal(stored(session), labels)
    assert session.document.objects[1].class_name == "ball"
    session.undo()
    assert np.count_nonzero(stored(session)) == np.count_nonzero(labels[8] == 1)


def test_other_objects_are_kept(labels: NDArray[np.int32]) -> None:
    session, propagation = begin(bright(labels), (8, 0, 0))
    stored(session)[6, 10, 10:14] = 7
    session.document.objects.reserve(7)
    session.add_point((10, 12))
    propagation.propagate()
    assert (stored(session)[6, 10, 10:14] == 7).all()
    new = session.document.objects[8]
    assert new.area == np.count_nonzero(labels == 1) - 4


def test_correct_and_rerun_redoes_only_up_to_the_next_right_slices(
    labels: NDArray[np.int32],
) -> None:
    image = bright(labels)
    session, propagation = begin(image, (8, 0, 0))
    session.add_point((10, 12))
    propagation.propagate()
    before = stored(session).copy()
    show(session, image, (11, 0, 0))
    session.refine(1)
    session.add_point((10, 12))
    propagation.rerun_here()
    sure = propagation.confidences(1)
    assert sure[8] is None
    assert sure[11] is None
    np.testing.assert_array_equal(stored(session)[:9], before[:9])
    assert session.undo() == "propagate object 1"
    np.testing.assert_array_equal(stored(session), before)
    assert propagation.confidences(1)[11] is not None, "nor is the slice right any more"


def test_a_slice_that_is_lost_on_rerun_is_cleared(labels: NDArray[np.int32]) -> None:
    image = bright(labels)
    session, propagation = begin(image, (8, 0, 0))
    session.add_point((10, 12))
    propagation.propagate()
    image[11:] = 200
    # The open stack would remember the old samples.
    session.engine.worker.use(session.engine.worker.predictor)
    propagation.propagate()
    assert not stored(session)[11:].any()
    np.testing.assert_array_equal(stored(session)[:11] == 1, labels[:11] == 1)


def test_worst_slice_and_the_next_worst(labels: NDArray[np.int32]) -> None:
    session, propagation = begin(bright(labels), (8, 0, 0))
    session.add_point((10, 12))
    propagation.propagate()
    sure = {n: each for n, each in propagation.confidences(1).items() if each}
    first = propagation.next_worst()
    assert first is not None
    assert sure[first] == min(sure.values())
    second = propagation.next_worst()
    assert second is not None
    assert second != first
    assert sure[second] >= sure[first]


def test_a_session_file_brings_it_back(
    labels: NDArray[np.int32], tmp_path: Path
) -> None:
    image = bright(labels)
    session, propagation = begin(image, (8, 0, 0))
    session.add_point((10, 12))
    propagation.propagate()
    save_session(session, tmp_path / "session.json")
    again = Session()
    again.start(np.zeros(SHAPE, np.int32))
    restore(load_session(tmp_path / "session.json"), again)
    np.testing.assert_array_equal(stored(again), stored(session))
    one, other = session.document.objects[1], again.document.objects[1]
    assert other.predicted_iou == one.predicted_iou
    assert {(r.plane, r.box, r.confidence) for r in other.regions} == {
        (r.plane, r.box, r.confidence) for r in one.regions
    }


class Delivered:
    """A thread's calls, made when the test says so."""

    def __init__(self) -> None:
        self.calls: list[Any] = []
        self.there = threading.Semaphore(0)

    def __call__(self, call: Any) -> None:
        self.calls.append(call)
        self.there.release()

    def until(self, condition: Any) -> None:
        while not condition():
            assert self.there.acquire(timeout=30)
            self.calls.pop(0)()


@pytest.mark.parametrize("stopped_by", ["cancel", "undo"])
def test_stopping_half_way(
    labels: NDArray[np.int32], stopped_by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("napari_sam.session.propagation_run.LIVE_SECONDS", 0.0)
    image, deliver = bright(labels), Delivered()
    predictor = StackPredictor()
    session = Session(predictor, ThreadRunner(deliver))
    session.start(np.zeros(image.shape, np.int32))
    show(session, image, (8, 0, 0))
    propagation = Propagation(session)
    propagation.settings = SETTINGS
    session.add_point((10, 12))
    deliver.until(lambda: session.candidates is not None and not session.is_busy)
    gate, reached = threading.Semaphore(5), threading.Event()

    def encode() -> None:
        if not gate.acquire(blocking=False):
            reached.set()
            assert gate.acquire(timeout=30)

    predictor.on_encode = encode
    failures: list[Exception] = []
    session.events.failed.connect(failures.append)
    propagation.propagate()
    with pytest.raises(PromptError, match="already"):
        propagation.propagate()
    assert reached.wait(30)
    deliver.until(lambda: np.count_nonzero(stored(session).any(axis=(1, 2))) >= 4)
    assert len(session.document.history.done) == 1, "no edit is made on the way"
    assert len(propagation.confidences(1)) >= 4
    getattr(session, stopped_by)()
    gate.release(2)
    deliver.until(lambda: not session.is_busy)
    found = np.flatnonzero(stored(session).any(axis=(1, 2)))
    if stopped_by == "undo":
        assert not len(found)
        assert len(session.draft.prompts.points) == 1
    else:
        assert 4 <= len(found) <= 6, "within one slice of the cancel"
        assert session.document.history.undo_title == "propagate object 1"
        session.undo()
        assert not stored(session).any()
    assert not failures
    session.close()
