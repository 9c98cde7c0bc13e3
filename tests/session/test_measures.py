"""Areas and volumes are in the image's units, whichever plane is shown."""

from __future__ import annotations

import math

import pytest

from napari_sam.session.measures import Columns, PixelSizes, Size, columns
from napari_sam.session.objects import SegmentedObject
from napari_sam.session.plane import Plane, Region

SHAPE = (7, 6, 40, 50)
SIZES = PixelSizes(
    (60.0, 2.0, 0.5, 0.25), ("t", "z", "y", "x"), ("s", "µm", "µm", "µm")
)


def made(
    *points: tuple[int, int, int, int], rows: int = 2, cols: int = 3
) -> SegmentedObject:
    regions = tuple(
        Region(Plane(SHAPE, rows, cols, point), (0, 0, 9, 9)) for point in points
    )
    return SegmentedObject(1, "cell", regions, area=40 * len(points))


def test_an_object_in_a_plane_has_an_area() -> None:
    size = SIZES.measure(made((0, 3, 0, 0)))
    assert size.area == pytest.approx(40 * 0.5 * 0.25)
    assert math.isnan(size.volume)


def test_an_object_in_a_stack_has_a_volume_with_the_spacing_of_its_slices() -> None:
    size = SIZES.measure(made((0, 3, 0, 0), (0, 4, 0, 0), (0, 5, 0, 0)))
    assert size.volume == pytest.approx(120 * 2.0 * 0.5 * 0.25)
    assert size.area == pytest.approx(40 * 0.5 * 0.25), "the mean of its slices"


def test_an_object_made_in_side_views_has_the_same_volume_a_voxel() -> None:
    size = SIZES.measure(made((0, 0, 3, 0), (0, 0, 4, 0), rows=1, cols=3))
    assert size.volume == pytest.approx(80 * 2.0 * 0.5 * 0.25)


def test_the_frames_of_a_movie_are_no_volume() -> None:
    size = SIZES.measure(made((3, 0, 0, 0), (4, 0, 0, 0)))
    assert math.isnan(size.volume)
    assert size.area == pytest.approx(40 * 0.5 * 0.25)


def test_units_are_named_where_they_are_the_same() -> None:
    assert (SIZES.unit(2), SIZES.unit(3)) == ("µm²", "µm³")
    assert PixelSizes(units=("pixel", "pixel")).unit(2) == ""
    assert PixelSizes(units=("mm", "µm")).unit(2) == ""
    assert PixelSizes().unit(3) == ""


def test_the_columns_have_both() -> None:
    table = columns([made((0, 3, 0, 0), (0, 4, 0, 0))], SIZES)
    assert table["volume"] == [pytest.approx(80 * 0.25)]
    assert table["area"] == [pytest.approx(5.0)]
    assert set(map(len, table.values())) == {1}


class CountedSizes(PixelSizes):
    """Sizes that tell what was measured."""

    asked: list[SegmentedObject] = []  # noqa: RUF012

    def measure(self, found: SegmentedObject) -> Size:
        self.asked.append(found)
        return super().measure(found)


def test_an_object_that_stays_is_measured_once() -> None:
    first, second = made((0, 3, 0, 0)), made((0, 4, 0, 0))
    sizes, table = CountedSizes(SIZES.lengths, SIZES.names, SIZES.units), Columns()
    sizes.asked.clear()
    table.of([first], sizes)
    both = table.of([first, second], sizes)
    assert sizes.asked == [first, second]
    assert str(both) == str(columns([first, second], SIZES))
    table.of([second], SIZES)
    assert table.of([second], PixelSizes())["area"] == [40.0], "other pixels, anew"
    assert table.of([])["index"] == []
