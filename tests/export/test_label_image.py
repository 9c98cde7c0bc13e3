"""Masks become one label image by a stated overlap rule."""

from __future__ import annotations

import numpy as np

from napari_sam.export.label_image import paint_records
from napari_sam.structures import MaskRecord


def record(col: int, width: int, predicted_iou: float) -> MaskRecord:
    return MaskRecord(np.ones((1, width), bool), (1, col), predicted_iou, 1.0)


def test_the_higher_score_wins_whatever_the_order() -> None:
    left, right = record(0, 4, 0.9), record(2, 4, 0.4)
    for records, ids in (([left, right], [5, 8]), ([right, left], [8, 5])):
        labels = paint_records(records, ids, (2, 6))
        assert labels.tolist() == [[0] * 6, [5, 5, 5, 5, 8, 8]]


def test_of_equal_scores_the_earlier_wins() -> None:
    labels = paint_records([record(0, 3, 0.5)] * 2, [1, 2], (2, 3))
    assert labels.tolist() == [[0, 0, 0], [1, 1, 1]]


def test_holes_let_the_lower_object_through() -> None:
    ring = MaskRecord(np.array([[True, False, True]]), (0, 0), 0.9, 1.0)
    full = MaskRecord(np.ones((1, 3), bool), (0, 0), 0.2, 1.0)
    assert paint_records([ring, full], [1, 2], (1, 3)).tolist() == [[1, 2, 1]]


def test_no_masks_give_an_empty_image() -> None:
    labels = paint_records([], [], (3, 4))
    assert labels.shape == (3, 4)
    assert not labels.any()
