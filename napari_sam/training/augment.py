"""From a labelled image to one training window: where, how large, how it looks."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from scipy import ndimage

from napari_sam.training.reading import TrainingImage


@dataclass(frozen=True)
class AugmentConfig:
    """How windows are drawn.

    Attributes
    ----------
    window : int
        Side of a window, in pixels.
    object_size : tuple of float
        Least and largest size, in window pixels, to which the object a window is made
        for is scaled (log-uniform); its size is the square root of its area.
    usual_size : float
        The size, in window pixels, at which a predictor shows objects whose size it
        knows.
    usual : float
        Share of windows whose object is scaled to about the usual size instead.
    zoom : tuple of float
        Limits of the scaling, whatever the object's size; images that are much larger
        than a window may be shrunk further, till they nearly fit.
    minimum_area : int
        Objects with fewer window pixels are not prompted for.
    """

    window: int = 256
    object_size: tuple[float, float] = (9.0, 150.0)
    usual_size: float = 48.0
    usual: float = 0.5
    zoom: tuple[float, float] = (0.25, 5.0)
    minimum_area: int = 24


@dataclass(frozen=True, eq=False)
class TrainingWindow:
    """A window as the model sees it.

    Attributes
    ----------
    image : ndarray of float32, shape (3, N, N)
        In 0..1.
    labels : ndarray of int32, shape (N, N)
    anchor : int
        Id of the object that the window was made for; 0 if it was lost.
    complete : bool
        Whether every object is labelled.
    """

    image: NDArray[np.float32]
    labels: NDArray[np.int32]
    anchor: int
    complete: bool


def draw_window(
    source: TrainingImage, rng: np.random.Generator, config: AugmentConfig
) -> TrainingWindow:
    """Cut, scale, turn and repaint one window around a random object."""
    window = cut_window(source, rng, config)
    return replace(window, image=repaint(window.image, rng))


def cut_window(
    source: TrainingImage, rng: np.random.Generator, config: AugmentConfig
) -> TrainingWindow:
    """Cut, scale and turn one window around a random object, its look unchanged."""
    anchor, box, area = _choose_object(source.labels, rng)
    zoom = _choose_zoom(area, max(source.labels.shape), rng, config)
    side = config.window / zoom
    corner = _choose_corner(box, side, source.labels.shape, rng)
    image, labels = _resample(source, corner, side, config.window)
    image, labels = _turn(image, labels, rng)
    anchor = anchor if (labels == anchor).any() else 0
    return TrainingWindow(image, labels, anchor, source.complete)


def _choose_object(
    labels: NDArray[np.int32], rng: np.random.Generator
) -> tuple[int, tuple[slice, slice], int]:
    boxes = ndimage.find_objects(labels)
    ids = [index + 1 for index, box in enumerate(boxes) if box is not None]
    chosen = int(rng.choice(ids))
    box = boxes[chosen - 1]
    return chosen, box, int((labels[box] == chosen).sum())


def _choose_zoom(
    area: int, longest: int, rng: np.random.Generator, config: AugmentConfig
) -> float:
    if rng.random() < config.usual:
        # A predictor's levels are octaves, so that it is off by half of one or so.
        size = config.usual_size * 2 ** rng.normal(0, 0.5)
    else:
        size = np.exp(rng.uniform(*np.log(config.object_size)))
    low, high = config.zoom
    low = min(low, 0.7 * config.window / longest)
    return float(np.clip(size / np.sqrt(area), low, high))


def _choose_corner(
    box: tuple[slice, slice],
    side: float,
    shape: tuple[int, ...],
    rng: np.random.Generator,
) -> tuple[float, float]:
    """Place the window over the object, but inside the image where it can be."""
    corner = []
    for part, length in zip(box, shape, strict=True):
        centre = (part.start + part.stop) / 2
        start = centre - side * rng.uniform(0.15, 0.85)
        low, high = sorted((0.0, length - side))
        corner.append(float(np.clip(start, low, high)))
    return corner[0], corner[1]


def _resample(
    source: TrainingImage, corner: tuple[float, float], side: float, window: int
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    start = [int(np.floor(value)) for value in corner]
    length = max(round(side), 1)
    height, width = source.labels.shape
    # Past the image's edge its last pixels go on, as they do when predicting.
    rows = np.clip(np.arange(start[0], start[0] + length), 0, height - 1)
    cols = np.clip(np.arange(start[1], start[1] + length), 0, width - 1)
    pixels = torch.from_numpy(source.image[:, rows[:, None], cols].astype(np.float32))
    image = functional.interpolate(
        pixels[None] / 255, (window, window), mode="bilinear", antialias=True
    )
    pick = ((np.arange(window) + 0.5) * length / window).astype(int)
    labels = source.labels[rows[pick][:, None], cols[pick]]
    return image[0].clamp(0, 1).numpy(), labels


def _turn(
    image: NDArray[np.float32], labels: NDArray[np.int32], rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
    turns = int(rng.integers(4))
    image, labels = np.rot90(image, turns, (1, 2)), np.rot90(labels, turns)
    if rng.random() < 0.5:
        image, labels = image[:, :, ::-1], labels[:, ::-1]
    return np.ascontiguousarray(image), np.ascontiguousarray(labels)


def repaint(
    image: NDArray[np.float32], rng: np.random.Generator
) -> NDArray[np.float32]:
    """Change colour, contrast, sharpness and noise of an image in 0..1."""
    image = _recolour(image, rng)
    if rng.random() < 0.25:
        image = 1 - image
    if rng.random() < 0.5:
        image = image ** np.float32(np.exp(rng.normal(0, 0.4)))
    if rng.random() < 0.5:
        gain, offset = np.exp(rng.normal(0, 0.25)), rng.normal(0, 0.08)
        image = (image - 0.5) * np.float32(gain) + np.float32(0.5 + offset)
    if rng.random() < 0.2:
        sigma = rng.uniform(0.4, 1.8)
        image = ndimage.gaussian_filter(image, (0, sigma, sigma))
    if rng.random() < 0.4:
        spread = np.float32(rng.uniform(0.005, 0.08))
        shape = image.shape if rng.random() < 0.3 else image.shape[1:]
        image = image + spread * rng.standard_normal(shape, dtype=np.float32)
    return np.clip(image, 0, 1).astype(np.float32)


def _recolour(
    image: NDArray[np.float32], rng: np.random.Generator
) -> NDArray[np.float32]:
    draw = rng.random()
    if draw < 0.2:
        return image[rng.permutation(3)]
    if draw < 0.4:
        weights = rng.dirichlet(np.ones(3)).astype(np.float32)
        grey = np.tensordot(weights, image, 1)
        return np.broadcast_to(grey, image.shape)
    if draw < 0.5:
        tint = rng.uniform(0.2, 1.0, (3, 1, 1)).astype(np.float32)
        return image * tint
    return image
