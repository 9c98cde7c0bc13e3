"""A threshold is only a filter."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam.inference.text_selection import TextCandidates, shared_areas
from napari_sam.structures import MaskRecord


def square(row: int, col: int, side: int, iou: float = 0.9) -> MaskRecord:
    return MaskRecord(np.ones((side, side), bool), (row, col), iou, 1.0)


def candidates(
    records: list[MaskRecord], scores: list[list[float]], names: tuple[str, ...]
) -> TextCandidates:
    kept = tuple(records)
    return TextCandidates(
        kept,
        np.zeros((len(kept), 3), np.float32),
        np.array(scores, np.float32).reshape(len(kept), len(names)),
        shared_areas(kept),
        names,
        tuple("" for _ in names),
        tuple(False for _ in names),
        (30, 30),
    )


def test_each_candidate_goes_to_its_best_class_above_the_threshold() -> None:
    found = candidates(
        [square(2, 2, 4), square(10, 10, 6), square(20, 20, 5)],
        [[0.9, 0.2], [0.6, 0.7], [0.3, 0.4]],
        ("nuclei", "cells"),
    )
    selection = found.select(0.5)
    assert [(e.phrase, e.class_id) for e in selection.instances] == [
        ("nuclei", 1),
        ("cells", 2),
    ]
    assert selection.not_found == ()
    assert (selection.labels() == 1).sum() == 16
    assert set(np.unique(selection.class_labels())) == {0, 1, 2}
    assert len(found.select(0.35).instances) == 3


def test_nothing_found_is_said() -> None:
    selection = candidates([square(2, 2, 4)], [[0.1]], ("worms",)).select(0.5)
    assert selection.not_found == ("worms",)
    assert selection.message == "Found no worms."
    assert not selection.labels().any()


def test_an_empty_image_has_no_candidates() -> None:
    found = candidates([], [], ("worms",))
    assert found.presence.tolist() == [0]
    assert found.select(0.0).instances == ()


def test_of_overlapping_ones_the_better_stays() -> None:
    inner, outer = square(4, 4, 6, 0.5), square(3, 3, 8, 0.9)
    found = candidates([inner, outer], [[0.9], [0.9]], ("cells",))
    assert [e.record for e in found.select(0.5).instances] == [outer]
    beside = candidates([square(0, 0, 6), square(0, 4, 6)], [[0.9], [0.8]], ("x",))
    assert len(beside.select(0.5).instances) == 2


@pytest.mark.parametrize(
    ("settings", "count"),
    [
        ({"min_area": 17}, 1),
        ({"max_area": 20}, 1),
        ({"min_iou": 0.8}, 1),
        ({"keep_border": False}, 1),
        ({}, 2),
    ],
)
def test_size_quality_and_border_filter(settings: dict, count: int) -> None:
    found = candidates(
        [square(0, 0, 4, 0.7), square(10, 10, 6, 0.9)], [[0.9], [0.9]], ("x",)
    )
    assert len(found.select(0.5, **settings).instances) == count


def test_the_map_shows_the_highest_score() -> None:
    found = candidates([square(0, 0, 4), square(2, 2, 4)], [[0.3], [0.8]], ("x",))
    heat = found.similarity_map("x")
    assert heat[0, 0] == pytest.approx(0.3) and heat[3, 3] == pytest.approx(0.8)
    assert heat[20, 20] == 0


def test_shared_areas_are_exact() -> None:
    shared = shared_areas((square(0, 0, 4), square(2, 2, 4), square(20, 20, 3)))
    assert shared.tolist() == [[16, 4, 0], [4, 16, 0], [0, 0, 9]]
