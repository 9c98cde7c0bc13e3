"""What is an object already is not proposed again, in any view and under any rule."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam.session import Session
from napari_sam.session.findings import Proposal, Proposals
from napari_sam.session.labels import LabelStore
from napari_sam.session.plane import Plane
from napari_sam.session.sparse import SparseLabels
from napari_sam.session.standing import split_standing
from napari_sam.session.view import ImageView
from napari_sam.structures import Frame, MaskRecord

SIDE = 400


def square(row: int, col: int, name: str = "cell", side: int = 8) -> Proposal:
    record = MaskRecord(np.ones((side, side), bool), (row, col), 0.8, 0.9)
    return Proposal(record, name, name, 0.7, method="text")


def coarse_view(session: Session, transposed: bool = False) -> ImageView:
    """Show every fourth pixel of a part of the image."""
    session.start(np.zeros((SIDE, SIDE + 20), np.int32))
    plane = Plane.whole((SIDE, SIDE + 20))
    if transposed:
        plane = Plane(plane.shape, 1, 0, (0, 0))
    frame = Frame((100.0, 60.0), (4.0, 4.0), (50, 60))
    view = ImageView("coarse", plane, frame, lambda: np.zeros((50, 60), np.uint8))
    session.set_view(view)
    return view


@pytest.mark.parametrize("transposed", [False, True])
@pytest.mark.parametrize("rule", ["keep", "overwrite", "background"])
def test_what_was_accepted_stands(
    session: Session, rule: str, transposed: bool
) -> None:
    view = coarse_view(session, transposed)
    session.overlap = rule
    first, second = square(10, 20), square(30, 40)
    found = Proposals(session)
    found.show(view, [first])
    found.accept("accept")
    assert split_standing(session, view, [first, second]) == ([second], 1)
    session.undo()
    assert split_standing(session, view, [first, second]) == ([first, second], 0)


def test_what_would_be_left_out_stands_and_what_overwrites_does_not(
    session: Session,
) -> None:
    view = coarse_view(session)
    found = Proposals(session)
    found.show(view, [square(10, 20, side=16)])
    found.accept("accept")
    part, other_class = square(12, 22), square(10, 20, "debris", side=16)
    assert split_standing(session, view, [part, other_class]) == ([], 2)
    session.overlap = "overwrite"
    left, count = split_standing(session, view, [part, other_class])
    assert (left, count) == ([part, other_class], 0)
    assert split_standing(session, view, [square(10, 20, side=16)])[1] == 1


def test_ids_are_sampled_from_huge_labels_too() -> None:
    plane = Plane((3, 9000, 9000), 1, 2, (1, 0, 0))
    sparse = LabelStore(SparseLabels(plane.shape))
    plane.write(sparse.data, (4000, 5000, 4010, 5010), np.full((10, 10), 7))
    rows, cols = np.arange(3990, 4020, 5), np.arange(4995, 5005, 5)
    ids = sparse.sample(plane, rows, cols)
    assert ids.shape == (6, 2)
    assert ids.tolist() == [[0, 0], [0, 0], [0, 7], [0, 7], [0, 0], [0, 0]]
    turned = Plane(plane.shape, 2, 1, (1, 0, 0))
    np.testing.assert_array_equal(sparse.sample(turned, cols, rows), ids.T)


def test_ids_of_an_array_are_sampled_evenly_or_not() -> None:
    data = np.arange(6 * 7, dtype=np.int32).reshape(6, 7)
    store = LabelStore(data)
    plane = Plane.whole((6, 7))
    for rows in (np.array([0, 2, 4]), np.array([0, 2, 3]), np.array([5])):
        for cols in (np.arange(7), np.array([1, 1, 6])):
            ids = store.sample(plane, rows, cols)
            np.testing.assert_array_equal(ids, data[np.ix_(rows, cols)])
