"""Losses against values worked out by hand."""

from __future__ import annotations

from math import log

import pytest
import torch
from torch import Tensor

from napari_sam.training.losses import (
    dense_loss,
    dice_loss,
    mask_iou,
    mask_loss,
    normalised_focal_loss,
)


def square(*rows: str) -> Tensor:
    """Read a mask drawn with # and dots."""
    return torch.tensor([[float(cell == "#") for cell in row] for row in rows])


def test_focal_loss_of_an_undecided_mask_is_log_two() -> None:
    # All pixels have the same focus, .25, so the weights are 1 / pixels.
    loss = normalised_focal_loss(torch.zeros(2, 8, 8), torch.ones(2, 8, 8))
    assert loss.tolist() == pytest.approx([log(2), log(2)])


def test_focal_loss_fades_once_little_is_wrong() -> None:
    # 16 pixels of focus .25 stay below the least total of 8.
    loss = normalised_focal_loss(torch.zeros(4, 4), torch.zeros(4, 4))
    assert float(loss) == pytest.approx(log(2) * 16 * 0.25 / 8)


def test_focal_loss_looks_at_wrong_pixels() -> None:
    logits = torch.full((16, 16), 5.0)
    truth = torch.ones(16, 16)
    logits[0] = -5.0
    # Sixteen pixels are wrong by a cross-entropy of 5.007, the rest hardly count.
    assert float(normalised_focal_loss(logits, truth)) == pytest.approx(5.0, abs=0.05)


def test_dice_loss_counts_the_overlap() -> None:
    logits = 100 * (square("##..", "##..") - 0.5)
    truth = square(".##.", ".##.")
    assert float(dice_loss(logits, truth)) == pytest.approx(1 - 5 / 9)


def test_mask_loss_is_dice_and_half_the_focal_loss() -> None:
    logits, truth = torch.zeros(8, 8), torch.zeros(8, 8)
    truth[:4] = 1
    # Every share is one half: overlap 16, sizes 32 and 32.
    expected = 1 - 33 / 65 + 0.5 * log(2)
    assert float(mask_loss(logits, truth)) == pytest.approx(expected)


def test_mask_iou() -> None:
    logits = torch.stack([square("##..", "##.."), square("....", "....")]) - 0.5
    truth = torch.stack([square(".##.", ".##."), square("....", "....")])
    assert mask_iou(logits, truth).tolist() == pytest.approx([2 / 6, 0])


def test_dense_loss_by_hand() -> None:
    target = torch.zeros(1, 4, 2, 2)
    target[0, :, 0] = torch.tensor([1.0, 1.0, 0.0, 0.5])[:, None]
    predicted = torch.zeros(1, 4, 2, 2)
    # Foreground log 2; distances .95 on two of four pixels, twice; size .5 inside,
    # eight times.
    loss = dense_loss(predicted, target, torch.tensor([True]))
    assert float(loss) == pytest.approx(log(2) + 2 * 0.95 / 2 + 8 * 0.5)


def test_the_size_of_a_small_object_counts_as_much_as_a_large_one_s() -> None:
    target = torch.zeros(1, 4, 8, 10)
    # 64 pixels of an object of size 8, and 4 of one of size 2: weights 1 : 4.
    target[0, 0, :, :8], target[0, 3, :, :8] = 1, 3 / 8
    target[0, 0, :2, 8:], target[0, 3, :2, 8:] = 1, 1 / 8
    complete = torch.tensor([True])
    exact = dense_loss(target, target, complete)
    losses = []
    for columns in (slice(0, 8), slice(8, 10)):
        wrong = target.clone()
        wrong[0, 3, :, columns] += 0.1
        losses.append(float(dense_loss(wrong, target, complete) - exact))
    large, small = losses
    assert large / small == pytest.approx(64 / (4 * 4), rel=1e-4)


def test_unlabelled_background_does_not_count() -> None:
    target = torch.zeros(1, 4, 2, 2)
    target[0, 0, 0] = 1
    predicted = torch.zeros(1, 4, 2, 2)
    predicted[0, 0, 1] = 50.0
    wrong = dense_loss(predicted, target, torch.tensor([True]))
    unknown = dense_loss(predicted, target, torch.tensor([False]))
    assert float(unknown) == pytest.approx(log(2))
    assert float(wrong) > 10
