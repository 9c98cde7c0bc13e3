"""Everything, or what words name, in a whole stack or movie, with no window."""

from __future__ import annotations

from collections.abc import Callable
from queue import SimpleQueue
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_sam import SamPredictor, create_model
from napari_sam.errors import PromptError
from napari_sam.samples import load_sample
from napari_sam.session import Session, ThreadRunner
from napari_sam.session.plane import Plane
from napari_sam.session.propagation import Propagation
from napari_sam.session.stack_search import Lineage, StackSearch
from napari_sam.session.view import stack_view


@pytest.fixture(scope="module")
def predictor() -> SamPredictor:
    return SamPredictor(create_model("pocket", dtype="float32"))


class Opened:
    """A session that shows one plane of an image, and what it said."""

    def __init__(
        self, predictor: Any, image: NDArray[Any], names: str, *runner: ThreadRunner
    ) -> None:
        self.session = Session(predictor, *runner)
        self.session.start(np.zeros(image.shape, np.int32))
        ndim = image.ndim
        plane = Plane(image.shape, ndim - 2, ndim - 1, (0,) * ndim)
        self.session.set_view(stack_view(image, plane, axis_names=tuple(names)))
        self.propagation = Propagation(self.session)
        self.search = StackSearch(self.session, self.propagation)
        self.said: list[str] = []
        self.lineages: list[Lineage] = []
        self.errors: list[Exception] = []
        self.session.events.status.connect(self.said.append)
        self.session.events.failed.connect(self.errors.append)
        self.search.tracked.connect(self.lineages.append)

    @property
    def labels(self) -> NDArray[np.int32]:
        data: NDArray[np.int32] = self.session.document.store.data
        return data


def stack() -> NDArray[Any]:
    image: NDArray[Any] = load_sample("nuclei_volume").image[7:15, :96, :96]
    return image


def movie() -> NDArray[Any]:
    image: NDArray[Any] = load_sample("dividing_cells").image[:8]
    return image


def test_words_become_objects_of_the_stack_in_one_edit(predictor: SamPredictor) -> None:
    opened = Opened(predictor, stack(), "zyx")
    opened.search.find("nuclei; worms")
    assert not opened.errors
    objects = list(opened.session.document.objects)
    assert objects
    assert {each.class_name for each in objects} == {"nuclei"}
    assert opened.said[-1] == f"Found {len(objects)} nuclei. Found no worms."
    assert set(np.unique(opened.labels)) == {0, *(each.id for each in objects)}
    truth = load_sample("nuclei_volume").labels[7:15, :96, :96]
    both = np.count_nonzero((truth > 0) & (opened.labels > 0))
    assert both / np.count_nonzero((truth > 0) | (opened.labels > 0)) > 0.6
    assert np.mean([len(each.regions) for each in objects]) > 2
    assert not opened.lineages
    assert opened.session.undo() == "find nuclei and worms in the stack"
    assert not opened.labels.any() and not len(opened.session.document.objects)


def test_what_is_there_already_is_not_found_twice(predictor: SamPredictor) -> None:
    opened = Opened(predictor, stack(), "zyx")
    opened.search.find()
    count, before = len(opened.session.document.objects), opened.labels.copy()
    assert count
    opened.search.find()
    assert opened.said[-1].endswith(" All are objects already.")
    assert len(opened.session.document.objects) == count
    np.testing.assert_array_equal(opened.labels, before)


def test_only_the_chosen_slices_are_searched(predictor: SamPredictor) -> None:
    opened = Opened(predictor, stack(), "zyx")
    opened.propagation.limits = (2, 6)
    opened.search.find("nuclei")
    there = np.flatnonzero(opened.labels.any(axis=(1, 2)))
    assert there.min() >= 2 and there.max() < 6
    whole = Opened(predictor, stack()[2:6], "zyx")
    whole.search.find("nuclei")
    np.testing.assert_array_equal(opened.labels[2:6], whole.labels)


def test_objects_of_a_movie_keep_their_ids_and_have_a_lineage(
    predictor: SamPredictor,
) -> None:
    pytest.importorskip("laptrack")
    opened = Opened(predictor, movie(), "tyx")
    opened.search.find("nuclei")
    assert not opened.errors
    (lineage,) = opened.lineages
    ids = {each.id for each in opened.session.document.objects}
    assert {int(number) for number in lineage.points[:, 0]} == ids
    assert set(lineage.graph) <= ids and lineage.axis == 0
    for number, frame, row, col in lineage.points:
        here = np.argwhere(opened.labels[int(frame)] == number)
        np.testing.assert_allclose(here.mean(axis=0), (row, col), atol=1.5)
    longest = max(opened.session.document.objects, key=lambda each: len(each.regions))
    assert len(longest.regions) == 8


def test_what_was_found_until_a_cancel_is_kept(predictor: SamPredictor) -> None:
    pytest.importorskip("laptrack")
    calls: SimpleQueue[Callable[[], object]] = SimpleQueue()
    opened = Opened(predictor, movie(), "tyx", ThreadRunner(calls.put))

    def stop(count: int, _: int) -> None:
        if count == 2:
            opened.session.cancel()

    opened.session.events.progress.connect(stop)
    opened.search.find("nuclei")
    while opened.session.is_busy:
        calls.get(timeout=60)()
    assert not opened.errors
    assert opened.said[-1].startswith("Cancelled; what was found is kept. Found ")
    assert opened.labels[:2].any() and not opened.labels[-1].any()
    opened.session.close()


def test_what_cannot_be_searched_is_said_at_once(predictor: SamPredictor) -> None:
    opened = Opened(predictor, stack(), "zyx")
    with pytest.raises(PromptError, match="left"):
        opened.search.find("nuclei on the left")
    flat = Opened(predictor, stack()[0], "yx")
    with pytest.raises(PromptError, match="no z or t"):
        flat.search.find("nuclei")


def test_another_image_shown_meanwhile_gets_neither_objects_nor_tracks(
    predictor: SamPredictor,
) -> None:
    pytest.importorskip("laptrack")
    calls: SimpleQueue[Callable[[], object]] = SimpleQueue()
    opened = Opened(predictor, movie(), "tyx", ThreadRunner(calls.put))
    searched = opened.session.document
    opened.search.find("nuclei")
    opened.session.start(np.zeros(movie().shape, np.int32))
    while opened.session.is_busy:
        calls.get(timeout=60)()
    assert not opened.errors and not opened.lineages
    assert searched.store.data.any() and not opened.labels.any()
    opened.session.close()
