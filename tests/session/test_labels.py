"""Painting touches one box, under each overlap rule."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam.errors import DataError
from napari_sam.session.labels import LabelStore, Patch, PlacedMask, paint, recolour
from napari_sam.session.plane import Plane

PLANE = Plane.whole((8, 8))
SQUARE = PlacedMask(PLANE, (2, 2), np.ones((4, 4), bool))


def store_with(columns: int) -> LabelStore:
    """Object 7 covers the first columns of the square."""
    data = np.zeros((8, 8), np.int32)
    data[2:6, 2 : 2 + columns] = 7
    return LabelStore(data)


@pytest.mark.parametrize(
    ("rule", "ours", "theirs"),
    [("keep", 12, 4), ("overwrite", 16, 0), ("background", 12, 4)],
)
def test_overlap_rules(rule: str, ours: int, theirs: int) -> None:
    store = store_with(1)
    patch = paint(store, SQUARE, 9, rule)
    assert np.count_nonzero(store.data == 9) == 0, "paint only says what to do"
    store.apply(patch)
    assert np.count_nonzero(store.data == 9) == ours
    assert np.count_nonzero(store.data == 7) == theirs
    store.apply(patch.inverse)
    np.testing.assert_array_equal(store.data, store_with(1).data)


@pytest.mark.parametrize(("rule", "columns"), [("keep", 4), ("background", 3)])
def test_no_room_is_said(rule: str, columns: int) -> None:
    with pytest.raises(DataError, match="already cover this mask"):
        paint(store_with(columns), SQUARE, 9, rule)


def test_who_is_told_learns_the_changed_box() -> None:
    told: list[Patch] = []
    store = LabelStore(np.zeros((8, 8), np.int32), changed=told.append)
    store.apply(paint(store, SQUARE, 1, "keep"))
    assert [patch.box for patch in told] == [(2, 2, 6, 6)]


def test_recolour_changes_only_what_is_named() -> None:
    store = store_with(2)
    assert recolour(store, PLANE, (0, 0, 8, 8), {3: 4}) is None
    patch = recolour(store, PLANE, (0, 0, 8, 8), {7: 0})
    assert patch is not None
    store.apply(patch)
    assert not store.data.any()


def test_tight_box() -> None:
    mask = np.zeros((4, 4), bool)
    assert PlacedMask(PLANE, (1, 1), mask).tight() is None
    mask[1:3, 2] = True
    tight = PlacedMask(PLANE, (1, 1), mask).tight()
    assert tight is not None
    assert tight.box == (2, 3, 4, 4)
