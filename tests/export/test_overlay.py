"""Overlays tint and outline objects, and leave the rest as it is."""

from __future__ import annotations

from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest

from napari_sam.errors import ExportError
from napari_sam.export.overlay import (
    draw_overlay,
    id_colours,
    inner_outlines,
    write_overlay,
)


@pytest.fixture
def labels() -> np.ndarray:
    result = np.zeros((12, 14), np.uint16)
    result[2:8, 2:8], result[2:8, 8:12] = 1, 2
    return result


@pytest.mark.parametrize("shape", [(12, 14), (12, 14, 3)])
def test_background_is_untouched(shape: tuple[int, ...], labels: np.ndarray) -> None:
    drawn = draw_overlay(np.full(shape, 90, np.uint8), labels)
    assert drawn.shape == (12, 14, 3)
    assert (drawn[labels == 0] == 90).all()
    assert (drawn[labels > 0] != 90).any(axis=1).all()


def test_outlines_are_inside_and_part_touching_objects(labels: np.ndarray) -> None:
    outlines = inner_outlines(labels)
    assert not outlines[labels == 0].any()
    assert outlines[4, 7] and outlines[4, 8]
    assert not outlines[4, 5]


def test_an_object_of_the_whole_image_has_no_outline() -> None:
    assert not inner_outlines(np.ones((5, 5), int)).any()


def test_neighbouring_ids_differ_clearly() -> None:
    colours = id_colours(np.arange(1, 60))
    steps = np.abs(np.diff(colours, axis=0)).max(axis=1)
    assert steps.min() > 80
    assert colours.min() >= 50 and colours.max() <= 255


def test_png_holds_what_was_drawn(labels: np.ndarray, tmp_path: Path) -> None:
    picture = np.full((12, 14), 40, np.uint8)
    path = tmp_path / "new" / "overlay.png"
    write_overlay(path, picture, labels)
    np.testing.assert_array_equal(imageio.imread(path), draw_overlay(picture, labels))


def test_shapes_must_agree(labels: np.ndarray) -> None:
    with pytest.raises(ExportError, match="pixels"):
        draw_overlay(np.zeros((5, 5), np.uint8), labels)
