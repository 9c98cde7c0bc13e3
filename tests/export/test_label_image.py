"""Masks become one label image by a stated overlap rule."""

from __future__ import annotations

import numpy as np

from napari_sam.export.label_image import paint_masks


def test_the_higher_score_wins_whatever_the_order() -> None:
    left, right = np.zeros((2, 1, 6), bool)
    left[:, :4], right[:, 2:] = True, True
    for order in ([0, 1], [1, 0]):
        labels = paint_masks(
            [(left, right)[i] for i in order],
            [(5, 8)[i] for i in order],
            [(0.9, 0.4)[i] for i in order],
            (1, 6),
        )
        assert labels.tolist() == [[5, 5, 5, 5, 8, 8]]


def test_of_equal_scores_the_earlier_wins() -> None:
    full = np.ones((2, 2), bool)
    assert paint_masks([full, full], [1, 2], [0.5, 0.5], (2, 2)).max() == 1


def test_no_masks_give_an_empty_image() -> None:
    labels = paint_masks([], [], [], (3, 4))
    assert labels.shape == (3, 4)
    assert not labels.any()
