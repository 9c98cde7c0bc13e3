"""Windows: the same for a seed, well formed, and true to their labels."""

from __future__ import annotations

import numpy as np
import pytest

from napari_sam.training import augment
from napari_sam.training.augment import AugmentConfig, draw_window, repaint
from napari_sam.training.reading import TrainingImage

CONFIG = AugmentConfig(window=64, object_size=(12.0, 30.0))
SEEDS = range(8)


def rng(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_a_seed_gives_the_same_window(disc_image: TrainingImage) -> None:
    first, again, other = (
        draw_window(disc_image, rng(seed), CONFIG) for seed in (1, 1, 2)
    )
    assert np.array_equal(first.image, again.image)
    assert np.array_equal(first.labels, again.labels)
    assert first.anchor == again.anchor
    assert not np.array_equal(first.image, other.image)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_window_is_well_formed(disc_image: TrainingImage, seed: int) -> None:
    window = draw_window(disc_image, rng(seed), CONFIG)
    assert window.image.shape == (3, 64, 64) and window.image.dtype == np.float32
    assert window.labels.shape == (64, 64) and window.labels.dtype == np.int32
    assert 0 <= window.image.min() < window.image.max() <= 1
    assert window.anchor > 0
    assert (window.labels == window.anchor).sum() > 24


@pytest.mark.parametrize("seed", SEEDS)
def test_labels_follow_the_image(
    disc_image: TrainingImage, seed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(augment, "repaint", lambda image, _: image)
    bright = np.where(disc_image.labels == 2, 255, 0).astype(np.uint8)
    source = TrainingImage(np.stack([bright] * 3), disc_image.labels)
    window = draw_window(source, rng(seed), CONFIG)
    differs = (window.image[0] > 0.5) != (window.labels == 2)
    assert differs.mean() < 0.02


def test_the_object_gets_the_size_asked_for(disc_image: TrainingImage) -> None:
    config = AugmentConfig(window=128, object_size=(40.0, 40.0), usual=0.0)
    sizes = []
    for seed in SEEDS:
        window = draw_window(disc_image, rng(seed), config)
        sizes.append(np.sqrt((window.labels == window.anchor).sum()))
    assert np.median(sizes) == pytest.approx(40, rel=0.1)


def test_usual_windows_show_the_object_at_the_usual_size(
    disc_image: TrainingImage,
) -> None:
    config = AugmentConfig(window=128, usual_size=30.0, usual=1.0)
    sizes = []
    for seed in SEEDS:
        window = draw_window(disc_image, rng(seed), config)
        sizes.append(np.sqrt((window.labels == window.anchor).sum()))
    assert np.median(sizes) == pytest.approx(30, rel=0.25)


def test_a_large_image_is_shrunk_till_it_nearly_fits() -> None:
    labels = np.zeros((900, 900), np.int32)
    labels[100:800, 100:800] = 1
    source = TrainingImage(np.full((3, 900, 900), 80, np.uint8), labels)
    config = AugmentConfig(window=64, object_size=(10.0, 10.0), usual=0.0)
    window = draw_window(source, rng(0), config)
    # 900 pixels in 64 / 0.7 of a window, not the 0.25 that `zoom` allows.
    size = np.sqrt((window.labels == 1).sum())
    assert size == pytest.approx(700 * 0.7 * 64 / 900, abs=2)


@pytest.mark.parametrize("seed", SEEDS)
def test_a_window_larger_than_the_image_repeats_its_edge(seed: int) -> None:
    labels = np.zeros((30, 20), np.int32)
    labels[5:25, 5:15] = 1
    source = TrainingImage(np.full((3, 30, 20), 80, np.uint8), labels)
    config = AugmentConfig(window=64, object_size=(6.0, 6.0), usual=0.0)
    window = draw_window(source, rng(seed), config)
    area = (window.labels == 1).sum()
    assert window.anchor == 1
    assert 25 <= area <= 49
    assert np.isfinite(window.image).all()


def test_repainting_keeps_the_range_and_changes_the_look() -> None:
    image = rng(0).random((3, 32, 32), dtype=np.float32)
    painted = [repaint(image, rng(seed)) for seed in range(30)]
    assert all(each.shape == image.shape for each in painted)
    assert all(each.dtype == np.float32 for each in painted)
    assert all(each.min() >= 0 and each.max() <= 1 for each in painted)
    assert sum(not np.allclose(each, image) for each in painted) > 20
    assert np.array_equal(repaint(image, rng(4)), painted[4])


def test_repainting_leaves_its_input_alone() -> None:
    image = rng(0).random((3, 16, 16), dtype=np.float32)
    before = image.copy()
    for seed in range(20):
        repaint(image, rng(seed))
    assert np.array_equal(image, before)
