"""Slices averaged with their neighbours: only where that takes away noise alone."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_sam.inference.volume import VolumeSegmenter
from napari_sam.inference.volume_denoising import NoisySlices, noise_variance
from napari_sam.inference.volume_source import VolumeSource
from napari_sam.inference.volume_steps import PropagationSettings
from tests.inference.volume_fakes import BrightPredictor

SHAPE = (9, 64, 64)
SIGMA = 60.0


def tube(stop: int = 9) -> NDArray[np.float32]:
    """A round bar along z that ends before slice ``stop``."""
    rows, cols = np.mgrid[:64, :64]
    disc = np.hypot(rows - 32, cols - 32) < 15
    volume = np.full(SHAPE, 100, np.float32)
    volume[:stop, disc] = 200
    return volume


def with_noise(volume: NDArray[np.float32], sigma: float = SIGMA) -> NDArray:
    rng = np.random.default_rng(0)
    return volume + rng.normal(0, sigma, volume.shape).astype(np.float32)


def error(plane: NDArray, truth: NDArray) -> float:
    return float(np.sqrt(np.mean((plane - truth) ** 2)))


@pytest.mark.parametrize("sigma", [1.0, 5.0, 40.0])
def test_noise_is_told_from_what_is_shown(sigma: float) -> None:
    rows, cols = np.mgrid[:64, :64]
    shown = 100 * np.sin(rows / 15) * np.cos(cols / 20)
    plane = with_noise(shown[None].astype(np.float32), sigma)[0]
    assert noise_variance(plane) == pytest.approx(sigma**2, rel=0.25)


def test_noise_of_an_image_too_small_to_tell() -> None:
    assert noise_variance(np.ones((2, 40), np.float32)) == 0


def test_a_noisy_stack_is_averaged() -> None:
    truth = tube()
    noisy = with_noise(truth)
    slices = NoisySlices(VolumeSource(noisy))
    assert error(slices.read(4), truth[4]) < 0.55 * error(noisy[4], truth[4])
    # At the stack's end there are neighbours on one side only.
    assert error(slices.read(0), truth[0]) < 0.7 * error(noisy[0], truth[0])


def test_a_clear_stack_is_read_as_it_is_stored() -> None:
    volume = with_noise(tube(), 2.0).astype(np.uint8)
    seen = NoisySlices(VolumeSource(volume)).read(4)
    assert seen.dtype == np.uint8
    np.testing.assert_array_equal(seen, volume[4])


@pytest.mark.parametrize("dtype", [np.uint8, np.int16, np.float64])
def test_values_keep_their_type(dtype: type) -> None:
    noisy = with_noise(tube(), 30.0).clip(0, 255)
    slices = NoisySlices(VolumeSource(noisy.astype(dtype)))
    assert slices.are_noisy
    seen = slices.read(4)
    assert seen.dtype == dtype
    assert error(seen, tube()[4]) < 0.6 * error(noisy[4], tube()[4])


def test_an_object_is_not_drawn_on_beyond_its_end() -> None:
    noisy = with_noise(tube(stop=5))
    slices = NoisySlices(VolumeSource(noisy))
    first, last = (slices.read(n)[22:42, 22:42].mean() for n in (4, 5))
    assert first > 180
    assert last < 120


def test_channels_are_averaged_alike() -> None:
    truth = np.stack([tube(), 300 - tube()], axis=-1)
    noisy = with_noise(truth)
    seen = NoisySlices(VolumeSource(noisy, channel_axis=-1)).read(4)
    assert seen.shape == (64, 64, 2)
    assert error(seen, truth[4]) < 0.9 * error(noisy[4], truth[4])


def test_slices_without_values_change_no_others() -> None:
    noisy = with_noise(tube())
    noisy[4] = np.nan
    slices = NoisySlices(VolumeSource(noisy))
    assert np.isfinite(slices.read(3)).all()
    assert np.isnan(slices.read(4)).all()


def test_what_moves_is_not_averaged() -> None:
    noisy = with_noise(tube())
    segmenter = VolumeSegmenter(BrightPredictor())  # type: ignore[arg-type]
    still = segmenter.open(noisy, denoise=False).read(4)[0]
    np.testing.assert_array_equal(still, noisy[4])
    assert PropagationSettings.for_movie().is_movie
    assert not PropagationSettings().is_movie
