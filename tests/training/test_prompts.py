"""Prompts lie where they should."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_sam.training.prompts import (
    MASK_LOGIT,
    PromptBatch,
    PromptConfig,
    correct,
    damage,
    error_click,
    first_click,
    first_prompts,
    half_resolution,
    inner_depth,
    noisy_box,
)

SEEDS = range(20)
CLICKS = PromptConfig(box=0.0, mask=0.0, repeat=0.0)


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


@pytest.fixture
def bean() -> np.ndarray:
    """A mask that does not hold its own centre of mass."""
    mask = np.zeros((64, 64), bool)
    mask[10:50, 8:16], mask[42:50, 8:56] = True, True
    return mask


@pytest.mark.parametrize("centre", [0.0, 1.0])
def test_the_first_click_is_inside(bean: np.ndarray, centre: float) -> None:
    for seed in SEEDS:
        x, y = first_click(bean, rng(seed), centre)
        assert bean[int(y), int(x)]


def test_a_centred_click_keeps_off_the_edge(bean: np.ndarray) -> None:
    depth = inner_depth(bean)
    for seed in SEEDS:
        x, y = first_click(bean, rng(seed), 1.0)
        assert depth[int(y), int(x)] >= 0.6 * depth.max()


def test_the_border_of_the_array_is_an_edge() -> None:
    assert inner_depth(np.ones((5, 5), bool)).max() == 3


def test_a_box_without_noise_is_exact(bean: np.ndarray) -> None:
    exact = PromptConfig(box_noise=0.0)
    assert noisy_box(bean, rng(0), exact).tolist() == [8, 10, 56, 50]


def test_box_noise_is_bounded(bean: np.ndarray) -> None:
    wild = PromptConfig(box_noise=5.0, box_noise_limit=8.0)
    boxes = np.array([noisy_box(bean, rng(seed), wild) for seed in SEEDS])
    shift = boxes - [8, 10, 56, 50]
    assert np.abs(shift).max() == 8
    assert (shift > 0).any() and (shift < 0).any()


def test_a_noisy_box_of_a_small_object_stays_a_box() -> None:
    dot = np.zeros((64, 64), bool)
    dot[30:32, 30:32] = True
    for seed in SEEDS:
        box = noisy_box(dot, rng(seed), PromptConfig(box_noise=5.0))
        assert (box[2:] >= box[:2] + 2).all()


def test_a_damaged_mask_is_still_about_the_object(bean: np.ndarray) -> None:
    overlaps = []
    for seed in SEEDS:
        damaged = damage(bean, rng(seed))
        assert damaged.shape == bean.shape and damaged.dtype == bool
        overlaps.append((damaged & bean).sum() / (damaged | bean).sum())
    assert 0.3 < np.mean(overlaps) < 0.95


def test_a_damaged_dot_never_vanishes() -> None:
    dot = np.zeros((16, 16), bool)
    dot[8, 8] = True
    assert all(damage(dot, rng(seed)).any() for seed in SEEDS)


@pytest.mark.parametrize("grows", [True, False])
def test_an_error_click_lies_in_the_error(bean: np.ndarray, grows: bool) -> None:
    part = bean.copy()
    part[:, 30:] = False
    mask, truth = (part, bean) if grows else (bean, part)
    for seed in SEEDS:
        click = error_click(mask, truth, rng(seed))
        assert click is not None
        x, y, positive = click
        assert mask[y, x] != truth[y, x]
        assert positive is grows


def test_a_perfect_mask_gets_no_click(bean: np.ndarray) -> None:
    assert error_click(bean, bean, rng(0)) is None


def test_half_resolution_is_the_covered_share() -> None:
    masks = np.zeros((1, 4, 4), bool)
    masks[0, 0, :3] = True
    assert half_resolution(masks)[0].tolist() == [[0.5, 0.25], [0, 0]]


def test_first_clicks_are_ambiguous_and_nothing_else(bean: np.ndarray) -> None:
    prompts = first_prompts(np.stack([bean] * 5), rng(0), CLICKS)
    assert prompts.coords.shape == (5, 1, 2)
    assert prompts.point_labels.tolist() == [[1]] * 5
    assert not prompts.boxes.any() and not prompts.logits.any()
    assert prompts.ambiguous.all()


def test_a_first_box_is_clear(bean: np.ndarray) -> None:
    prompts = first_prompts(bean[None], rng(0), PromptConfig(box=1.0))
    assert prompts.point_labels.tolist() == [[-1]]
    assert (prompts.boxes[0, 2:] > prompts.boxes[0, :2]).all()
    assert not prompts.ambiguous.any()


def test_a_first_mask_is_drawn_at_half_resolution(bean: np.ndarray) -> None:
    prompts = first_prompts(bean[None], rng(0), PromptConfig(box=0.0, mask=1.0))
    assert prompts.logits.shape == (1, 1, 32, 32)
    assert set(prompts.logits.unique().tolist()) == {-MASK_LOGIT, MASK_LOGIT}
    assert not prompts.ambiguous.any()


def correction(
    bean: np.ndarray, config: PromptConfig
) -> tuple[PromptBatch, PromptBatch, torch.Tensor]:
    before = first_prompts(np.stack([bean, bean]), rng(0), config)
    truth = half_resolution(np.stack([bean, bean]))
    chosen = 10 * (truth - 0.5)
    chosen[0, :, 15:] = -7.0
    return before, correct(before, chosen, truth, rng(1), config), chosen


def test_a_correction_adds_a_click_and_gives_the_mask_back(bean: np.ndarray) -> None:
    before, after, chosen = correction(bean, CLICKS)
    assert torch.equal(after.coords[:, :1], before.coords)
    assert after.point_labels.tolist() == [[1, 1], [1, -1]]  # the second is perfect
    x, y = (int(value) for value in after.coords[0, 1])
    assert bean[y, x] and x >= 30
    assert torch.equal(after.logits[:, 0], chosen)
    assert not after.ambiguous.any()


def test_now_and_then_a_correction_is_only_the_mask(bean: np.ndarray) -> None:
    _, after, chosen = correction(bean, PromptConfig(box=0.0, mask=0.0, repeat=1.0))
    assert (after.point_labels[:, 1] == -1).all()
    assert torch.equal(after.logits[:, 0], chosen)
