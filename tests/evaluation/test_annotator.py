from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_sam.errors import DataError
from napari_sam.evaluation.annotator import SimulatedAnnotator
from napari_sam.structures import BoxPrompt, PointPrompt


def rectangle(
    top: int, left: int, bottom: int, right: int, shape: tuple[int, int] = (40, 60)
) -> NDArray[np.bool_]:
    mask = np.zeros(shape, dtype=bool)
    mask[top:bottom, left:right] = True
    return mask


def test_first_click_is_in_the_middle() -> None:
    click = SimulatedAnnotator().first_click(rectangle(5, 10, 12, 17))
    assert click == PointPrompt((8, 13), positive=True)


def test_first_click_on_a_rod_is_in_its_middle_not_at_its_end() -> None:
    click = SimulatedAnnotator().first_click(rectangle(5, 10, 10, 51))
    assert click.position == (7, 30)


def test_first_click_is_inside_a_ring() -> None:
    ring = rectangle(5, 5, 35, 35) & ~rectangle(10, 10, 30, 30)
    row, col = SimulatedAnnotator().first_click(ring).position
    assert ring[int(row), int(col)]


def test_the_image_edge_is_an_edge_of_the_object() -> None:
    click = SimulatedAnnotator().first_click(rectangle(0, 0, 9, 9))
    assert click.position == (4, 4)


@pytest.mark.parametrize(
    ("predicted", "click"),
    [
        (rectangle(10, 10, 20, 15), PointPrompt((14, 17), positive=True)),
        (rectangle(10, 10, 27, 20), PointPrompt((23, 13), positive=False)),
    ],
    ids=["missed", "spilt"],
)
def test_next_click_corrects_the_largest_error(
    predicted: NDArray[np.bool_], click: PointPrompt
) -> None:
    target = rectangle(10, 10, 20, 20)
    found = SimulatedAnnotator().next_click(target, predicted)
    assert found is not None
    assert found.positive is click.positive
    assert (target ^ predicted)[int(found.position[0]), int(found.position[1])]
    assert np.hypot(*np.subtract(found.position, click.position)) <= 3


def test_a_wide_error_goes_before_a_long_thin_one() -> None:
    target = rectangle(5, 5, 30, 30)
    predicted = (target & ~rectangle(6, 6, 11, 11)) | rectangle(30, 0, 32, 60)
    click = SimulatedAnnotator().next_click(target, predicted)
    assert click == PointPrompt((8, 8), positive=True)


def test_nothing_wrong_needs_no_click() -> None:
    target = rectangle(5, 5, 9, 9)
    assert SimulatedAnnotator().next_click(target, target) is None


def test_no_pixel_is_clicked_twice() -> None:
    target, nothing = rectangle(5, 5, 7, 7), np.zeros((40, 60), bool)
    annotator, clicks = SimulatedAnnotator(), []
    while (click := annotator.next_click(target, nothing, clicks)) is not None:
        clicks.append(click)
    assert sorted(click.position for click in clicks) == [
        (5, 5), (5, 6), (6, 5), (6, 6)
    ]  # fmt: skip


def test_jittered_clicks_stray_but_stay_inside() -> None:
    target = rectangle(5, 5, 26, 40)
    annotator = SimulatedAnnotator(3, jitter=1.0)
    places = {annotator.first_click(target).position for _ in range(200)}
    assert len(places) > 50
    assert all(target[int(row), int(col)] for row, col in places)


def test_exact_box_is_half_open() -> None:
    assert SimulatedAnnotator().box(rectangle(3, 5, 4, 6)) == BoxPrompt((3, 5), (4, 6))


def test_noisy_boxes_are_off_by_a_tenth_of_their_side() -> None:
    target = rectangle(100, 150, 200, 350, (400, 600))
    annotator = SimulatedAnnotator(0)
    boxes = [annotator.box(target, noisy=True) for _ in range(600)]
    sides = np.array([(*box.start, *box.stop) for box in boxes])
    error = sides - (100, 150, 200, 350)
    assert np.abs(error).max() == 20
    np.testing.assert_allclose(error.mean(axis=0), 0, atol=1.5)
    np.testing.assert_allclose(error[:, [0, 2]].std(axis=0), 10, atol=1.2)
    assert (error[:, [1, 3]].std(axis=0) > 12).all()


def test_noisy_boxes_keep_a_pixel_inside_the_image() -> None:
    target = rectangle(0, 59, 1, 60)
    annotator = SimulatedAnnotator(0, box_noise=9.0)
    for _ in range(100):
        box = annotator.box(target, noisy=True)
        (top, left), (bottom, right) = box.start, box.stop
        assert 0 <= top < bottom <= 40 and 0 <= left < right <= 60


def test_the_same_seed_gives_the_same_noise() -> None:
    target = rectangle(5, 5, 25, 40)
    boxes = [SimulatedAnnotator((7, 1)).box(target, noisy=True) for _ in range(2)]
    assert boxes[0] == boxes[1]
    assert boxes[0] != SimulatedAnnotator((7, 2)).box(target, noisy=True)


def test_an_empty_object_is_refused() -> None:
    nothing = np.zeros((4, 4), bool)
    with pytest.raises(DataError, match="empty"):
        SimulatedAnnotator().first_click(nothing)
    with pytest.raises(DataError, match="empty"):
        SimulatedAnnotator().box(nothing)
