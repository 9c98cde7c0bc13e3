"""From an ideal picture to what a camera records: blur, illumination, noise, bits."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from napari_sam.synthetic.fields import FloatImage, smooth_noise, white_noise
from napari_sam.synthetic.placement import log_uniform


def blur(image: FloatImage, sigma: float) -> FloatImage:
    """Gaussian blur in the plane, each colour for itself; `sigma` in pixels."""
    if sigma < 0.25:
        return image
    sigmas = (sigma, sigma, 0.0)[: image.ndim]
    blurred = gaussian_filter(image, sigmas, mode="nearest", truncate=3.0)
    return np.asarray(blurred, np.float32)


def draw_blur(rng: np.random.Generator, diameter: float) -> float:
    """Blur that leaves objects of this diameter recognisable."""
    return min(log_uniform(rng, 0.4, 2.5), diameter * 0.12)


def illumination(
    rng: np.random.Generator, shape: tuple[int, int], strength: float
) -> FloatImage:
    """Slowly varying factor around 1, a gradient or vignette."""
    return 1 + np.float32(strength) * smooth_noise(rng, shape, 0.8 * max(shape))


def specks(
    rng: np.random.Generator, shape: tuple[int, int], count: int, size: float
) -> FloatImage:
    """Dust: blurred dots of peak about 1, never part of the truth."""
    dust = np.zeros(shape, np.float32)
    if count:
        rows, cols = (
            rng.integers(shape[0], size=count),
            rng.integers(shape[1], size=count),
        )
        dust[rows, cols] = rng.uniform(0.3, 1.0, count)
        dust = blur(dust, size) * np.float32(2 * np.pi * max(size, 0.4) ** 2)
    return dust


def expose(
    rng: np.random.Generator,
    image: FloatImage,
    *,
    photons: float,
    read_noise: float = 0.0,
    deep: bool = False,
) -> NDArray[np.uint8] | NDArray[np.uint16]:
    """Record a picture of values 0..1 with shot and read noise.

    Parameters
    ----------
    photons : float
        Photons at white: few make much shot noise (drawn as normal noise of the
        Poisson variance, which is enough above ten photons and far faster).
    read_noise : float
        Deviation of the camera's own noise, as part of white.
    deep : bool
        12 bits in uint16 with a random gain and offset, instead of uint8.
    """
    variance = np.maximum(image, 0) / np.float32(photons) + np.float32(read_noise**2)
    noisy = image + np.sqrt(variance) * white_noise(rng, image.shape)
    if deep:
        offset, gain = rng.uniform(50, 400), log_uniform(rng, 400, 3600)
        return np.clip(noisy * gain + offset, 0, 4095).astype(np.uint16)
    return np.clip(noisy * 255 + 0.5, 0, 255).astype(np.uint8)
