"""Sparse labels index as an ndarray does, and take memory only where written."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_sam.session import sparse
from napari_sam.session.sparse import SparseLabels

SHAPE = (3, 13, 17)


@pytest.fixture(autouse=True)
def _small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sparse, "CHUNK", 5)


def filled() -> tuple[SparseLabels, np.ndarray]:
    labels, dense = SparseLabels(SHAPE), np.zeros(SHAPE, np.int32)
    for number, index in enumerate(
        [np.s_[0, 2:9, 3:14], np.s_[2, 12:13, 0:17], np.s_[1, 4, 4]], start=1
    ):
        labels[index] = number
        dense[index] = number
    return labels, dense


def an_index() -> st.SearchStrategy[Any]:
    def along(side: int) -> st.SearchStrategy[Any]:
        edge = st.integers(0, side)
        slices = st.builds(slice, edge, edge, st.integers(1, 4))
        return slices | st.integers(-side, side - 1)

    return st.tuples(*(along(side) for side in SHAPE))


@settings(deadline=None)
@given(an_index())
def test_reads_as_an_ndarray(index: Any) -> None:
    labels, dense = filled()
    np.testing.assert_array_equal(labels[index], dense[index])


@settings(deadline=None)
@given(an_index(), st.integers(1, 13), st.integers(1, 17))
def test_level_shows_what_is_in_the_middle(index: Any, rows: int, cols: int) -> None:
    labels, dense = filled()
    shape = (3, rows, cols)
    places = [
        ((np.arange(side) + 0.5) * whole / side + 1e-9).astype(int)
        for side, whole in zip(shape, SHAPE, strict=True)
    ]
    coarse = dense[np.ix_(*places)]
    level = labels.level(shape)
    assert level.shape == coarse.shape
    inside = tuple(
        each if isinstance(each, slice) else each % side
        for each, side in zip(index, coarse.shape, strict=True)
    )
    np.testing.assert_array_equal(level[inside], coarse[inside])


def test_whole_array_and_ellipsis() -> None:
    labels, dense = filled()
    np.testing.assert_array_equal(np.asarray(labels), dense)
    np.testing.assert_array_equal(labels[..., 4], dense[..., 4])
    np.testing.assert_array_equal(labels[1], dense[1])
    with pytest.raises(IndexError):
        labels[3]


def test_a_huge_array_holds_only_what_was_written() -> None:
    labels = SparseLabels((100_000, 100_000))
    labels[5000:5010, 7000:7010] = np.ones((10, 10))
    assert labels.size == 10**10
    assert labels.nbytes < 10**6
    assert labels[4999:5011, 7005].sum() == 10
