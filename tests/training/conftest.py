"""Bright discs on dark ground, as arrays and as files, and a model of 64 pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from napari_sam.nn.pocket import Pocket
from napari_sam.training.augment import AugmentConfig
from napari_sam.training.reading import TrainingImage, normalise
from napari_sam.training.recipe import Recipe

WriteSet = Callable[..., Path]


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """Keep results independent of the cores there are."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def draw_discs(seed: int, side: int = 96) -> tuple[NDArray, NDArray]:
    """Return a noisy uint8 image and its labels, four discs apart from each other."""
    rng = np.random.default_rng(seed)
    labels = np.zeros((side, side), np.int32)
    rows, cols = np.indices(labels.shape)
    quarter = side // 4
    for index, (row, col) in enumerate([(1, 1), (1, 3), (3, 1), (3, 3)], start=1):
        centre = np.array([row, col]) * quarter + rng.integers(-4, 5, 2)
        radius = rng.uniform(0.5, 0.8) * quarter
        labels[np.hypot(rows - centre[0], cols - centre[1]) < radius] = index
    image = 50 + 120 * (labels > 0) + rng.normal(0, 8, labels.shape)
    return image.clip(0, 255).astype(np.uint8), labels


class DiscSource:
    """A fresh image of discs at each draw."""

    def draw(self, rng: np.random.Generator) -> TrainingImage:
        image, labels = draw_discs(int(rng.integers(1 << 30)))
        return TrainingImage(normalise(image), labels)


@pytest.fixture
def discs() -> DiscSource:
    return DiscSource()


@pytest.fixture
def disc_image(discs: DiscSource) -> TrainingImage:
    return discs.draw(np.random.default_rng(5))


@pytest.fixture
def recipe() -> Recipe:
    """For windows of 64 pixels; exact, so in float32."""
    return Recipe(
        steps=40,
        images=4,
        objects=2,
        warmup=5,
        learning_rate=2e-3,
        ema=0.9,
        bfloat16=False,
        augment=AugmentConfig(window=64, object_size=(12.0, 30.0)),
    )


@pytest.fixture
def small_model() -> Callable[[], Pocket]:
    """Build the same small random model at each call."""

    def build() -> Pocket:
        torch.manual_seed(3)
        return Pocket(width=32, window=64)

    return build


@pytest.fixture
def write_set(tmp_path: Path) -> WriteSet:
    """Write a folder of disc images and labels."""

    def write(name: str = "discs", count: int = 3) -> Path:
        folder = tmp_path / name
        for kind in ("images", "labels"):
            (folder / kind).mkdir(parents=True)
        for index in range(count):
            image, labels = draw_discs(index)
            imageio.imwrite(folder / "images" / f"{index}.png", image)
            imageio.imwrite(folder / "labels" / f"{index}.png", labels.astype(np.uint8))
        return folder

    return write
