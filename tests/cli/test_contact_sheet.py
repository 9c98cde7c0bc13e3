"""The overview picture of a demo."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam.cli.contact_sheet import GAP, PANEL, contact_sheet, half_and_half


@pytest.mark.parametrize("shape", [(512, 512), (300, 700), (128, 128)])
def test_left_half_before_and_right_half_after(shape: tuple[int, int]) -> None:
    before, after = (np.full((*shape, 3), value, np.uint8) for value in (10, 90))
    panel = half_and_half(before, after)
    assert panel.shape == (PANEL, PANEL, 3)
    assert (panel[:, : PANEL // 2 - 1] == 10).all()
    assert (panel[:, PANEL // 2 + 1 :] == 90).all()


def test_the_middle_is_shown() -> None:
    before = np.zeros((PANEL + 100, PANEL + 40, 3), np.uint8)
    before[50, 20] = 200
    assert (half_and_half(before, before)[0, 0] == 200).all()


@pytest.mark.parametrize(
    ("count", "grid"), [(1, (1, 1)), (3, (1, 3)), (4, (2, 3)), (9, (3, 3))]
)
def test_panels_are_laid_out_in_rows(count: int, grid: tuple[int, int]) -> None:
    panels = [np.full((PANEL, PANEL, 3), 5 + n, np.uint8) for n in range(count)]
    sheet = contact_sheet(panels)
    assert sheet.shape == (*(n * (PANEL + GAP) - GAP for n in grid), 3)
    shown = {int(value) for value in np.unique(sheet)} - {255}
    assert shown == {5 + n for n in range(count)}
