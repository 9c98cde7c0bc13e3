"""Which prompts belong to the same object."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam.cli.objects import PromptedObject, group_prompts
from napari_sam.cli.options import Box, Point

LEFT, RIGHT = Box(0, 0, 10, 10), Box(0, 20, 10, 30)


def positions(found: PromptedObject, positive: bool) -> list[tuple[float, float]]:
    return [p.position for p in found.prompts.points if p.positive is positive]


def test_points_are_one_object() -> None:
    (found,) = group_prompts([Point(1, 2), Point(3, 4)], [Point(5, 6)], [], None, False)
    assert positions(found, True) == [(1, 2), (3, 4)]
    assert positions(found, False) == [(5, 6)]
    assert found.id == 1


def test_each_point_is_an_object_and_negatives_count_for_all() -> None:
    found = group_prompts([Point(1, 2), Point(3, 4)], [Point(5, 6)], [], None, True)
    assert [positions(each, True) for each in found] == [[(1, 2)], [(3, 4)]]
    assert [positions(each, False) for each in found] == [[(5, 6)]] * 2


def test_points_refine_the_box_they_lie_in() -> None:
    points = [Point(5, 25), Point(50, 50), Point(60, 60)]
    left, right, loose = group_prompts(
        points, [Point(9, 9)], [LEFT, RIGHT], None, False
    )
    assert positions(left, True) == []
    assert positions(left, False) == [(9, 9)]
    assert positions(right, True) == [(5, 25)]
    assert positions(right, False) == []
    assert positions(loose, True) == [(50, 50), (60, 60)]
    assert loose.prompts.box is None
    assert [each.id for each in (left, right, loose)] == [1, 2, 3]


@pytest.mark.parametrize(("row", "inside"), [(0, True), (9.9, True), (10, False)])
def test_the_second_corner_is_exclusive(row: float, inside: bool) -> None:
    found = group_prompts([Point(row, 5)], [], [LEFT], None, False)
    assert (len(found) == 1) is inside


def test_of_nested_boxes_the_smaller_takes_the_point() -> None:
    outer = Box(0, 0, 40, 40)
    big, small = group_prompts([Point(5, 5)], [], [outer, LEFT], None, False)
    assert positions(big, True) == []
    assert positions(small, True) == [(5, 5)]


def test_each_point_overrides_boxes() -> None:
    boxed, alone = group_prompts([Point(5, 5)], [], [LEFT], None, True)
    assert positions(boxed, True) == []
    assert positions(alone, True) == [(5, 5)]


def test_a_box_takes_in_the_masks_inside_it() -> None:
    labels = np.zeros((40, 40), int)
    labels[2:6, 2:6], labels[7:9, 2:6], labels[30:34, 30:34] = 4, 5, 1
    boxed, masked = group_prompts([Point(31, 31)], [], [LEFT], labels, False)
    assert boxed.prompts.mask is not None and masked.prompts.mask is not None
    np.testing.assert_array_equal(boxed.prompts.mask.values, np.isin(labels, (4, 5)))
    np.testing.assert_array_equal(masked.prompts.mask.values, labels == 1)
    assert positions(masked, True) == [(31, 31)]
    assert (boxed.id, masked.id) == (2, 1)
