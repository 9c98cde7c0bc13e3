"""Separate objects out of overlapping candidates."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_sam.geometry import Box
from napari_sam.inference.instances import (
    Candidate,
    InstanceSettings,
    drop_similar,
    record_iou,
    resolve,
)
from napari_sam.structures import MaskRecord

SHAPE = (40, 50)
ANY = InstanceSettings(min_size=0)


def candidate(box: Box, score: float, hole: Box | None = None) -> Candidate:
    """A filled box, maybe with a hole given in the image."""
    row0, col0, row1, col1 = box
    mask = np.ones((row1 - row0, col1 - col0), bool)
    if hole is not None:
        mask[hole[0] - row0 : hole[2] - row0, hole[1] - col0 : hole[3] - col0] = False
    return Candidate(MaskRecord(mask, (row0, col0), score, 1.0), score)


def painted(
    candidates: list[Candidate], settings: InstanceSettings = ANY
) -> tuple[NDArray[np.int32], list[MaskRecord]]:
    labels = np.zeros(SHAPE, np.int32)
    return labels, resolve(candidates, labels, settings)


def test_the_better_candidate_keeps_the_shared_pixels() -> None:
    worse, better = candidate((5, 5, 15, 15), 0.5), candidate((5, 13, 15, 30), 0.8)
    labels, records = painted([worse, better])
    assert (labels[5:15, 13:30] == 1).all()
    assert (labels[5:15, 5:13] == 2).all()
    assert [each.predicted_iou for each in records] == [0.8, 0.5]
    for number, record in enumerate(records, start=1):
        drawn = np.zeros(SHAPE, bool)
        (row, col), (height, width) = record.origin, record.mask.shape
        drawn[row : row + height, col : col + width] = record.mask
        np.testing.assert_array_equal(drawn, labels == number)


def test_a_candidate_that_lost_most_of_its_pixels_is_the_same_object() -> None:
    labels, records = painted(
        [candidate((5, 5, 15, 15), 0.9), candidate((5, 10, 15, 20), 0.5)]
    )
    assert len(records) == 1
    assert labels.max() == 1


def test_ids_go_on_from_those_that_are_there() -> None:
    labels = np.zeros(SHAPE, np.int32)
    labels[:4, :4] = 7
    (record,) = resolve([candidate((0, 0, 10, 10), 0.9)], labels, ANY)
    assert (labels[:4, :4] == 7).all()
    assert np.count_nonzero(labels == 8) == record.mask.sum() == 84


@pytest.mark.parametrize(
    ("settings", "kept"),
    [
        (InstanceSettings(min_size=100), [100, 400]),
        (InstanceSettings(min_size=101), [400]),
        (InstanceSettings(min_size=0, max_size=100), [100, 36]),
        (InstanceSettings(min_size=0, keep_border=False), [100, 36]),
    ],
)
def test_objects_of_the_wrong_kind_are_left_out(
    settings: InstanceSettings, kept: list[int]
) -> None:
    candidates = [
        candidate((0, 0, 20, 20), 0.6),
        candidate((22, 22, 32, 32), 0.9),
        candidate((33, 2, 39, 8), 0.5),
    ]
    _, records = painted(candidates, settings)
    assert sorted(int(each.mask.sum()) for each in records) == sorted(kept)


@pytest.mark.parametrize("edge", [(0, 9), (9, 0), (30, 9), (9, 40)])
def test_each_side_is_a_border(edge: tuple[int, int]) -> None:
    row, col = edge
    _, records = painted(
        [candidate((row, col, row + 10, col + 10), 0.9)],
        InstanceSettings(keep_border=False),
    )
    assert records == []


def test_holes_are_filled_but_not_over_another_object() -> None:
    ring = candidate((5, 5, 25, 25), 0.6, hole=(10, 10, 20, 20))
    core = candidate((12, 12, 18, 18), 0.9)
    labels, _ = painted([ring, core])
    assert np.count_nonzero(labels == 1) == 36
    assert np.count_nonzero(labels == 2) == 400 - 36
    labels, _ = painted([ring], InstanceSettings(fill_holes=False))
    assert np.count_nonzero(labels) == 300


def test_of_equal_scores_the_earlier_wins() -> None:
    pair = [candidate((5, 5, 15, 15), 0.7), candidate((5, 8, 15, 18), 0.7)]
    for order in (pair, pair[::-1]):
        _, records = painted(order)
        assert len(records) == 1
        assert records[0].origin == order[0].record.origin


def test_similar_candidates_are_dropped_by_their_masks() -> None:
    one, near = candidate((5, 5, 15, 15), 0.5), candidate((5, 6, 15, 16), 0.9)
    far = candidate((20, 20, 30, 30), 0.1)
    ring = candidate((4, 4, 17, 17), 0.2, hole=(5, 5, 15, 15))
    assert record_iou(one, near) == pytest.approx(90 / 110)
    assert record_iou(one, far) == record_iou(one, ring) == 0
    kept = drop_similar([one, near, far, ring], 0.7)
    assert kept == [near, ring, far]
