"""What a training window shows: a piece around an object, or the whole image."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray

from napari_sam.geometry import longest_side_shape
from napari_sam.nn.sam import PIXEL_MEAN
from napari_sam.training.augment import (
    TrainingWindow,
    cut_window,
    draw_window,
    repaint,
)
from napari_sam.training.reading import TrainingImage
from napari_sam.training.recipe import Recipe
from napari_sam.training.sam_learner import DETAIL

# Least share of an image's longest side that a varied window shows.
LEAST_SHARE = 0.5


def draw_frame(
    source: TrainingImage, rng: np.random.Generator, recipe: Recipe
) -> TrainingWindow:
    """Draw a window for fitting, as the recipe's ``frame`` says."""
    if recipe.frame == "cut":
        return draw_window(source, rng, recipe.augment)
    turned = _turn(source, rng)
    if recipe.frame == "fixed":
        return whole_window(turned, rng, recipe.augment.window)
    varied = _crop(turned, rng)
    return whole_window(varied, rng, recipe.augment.window, varied_look=True)


def plain_frame(
    source: TrainingImage, rng: np.random.Generator, recipe: Recipe
) -> TrainingWindow:
    """Draw a window to measure on, its look unchanged."""
    if recipe.frame == "cut":
        return cut_window(source, rng, recipe.augment)
    return whole_window(source, rng, recipe.augment.window)


def whole_window(
    source: TrainingImage,
    rng: np.random.Generator,
    window: int,
    varied_look: bool = False,
) -> TrainingWindow:
    """Frame an image as SAM does: longest side to the frame's, padded below and right.

    Parameters
    ----------
    source : TrainingImage
    rng : numpy Generator
        Chooses the anchor, and the look.
    window : int
        Side of the labels; the image has twice the pixels, as SAM's input has.
    varied_look : bool
        Change colour, contrast, sharpness and noise of the image.

    Returns
    -------
    TrainingWindow
    """
    image = _resize(source.image, window * DETAIL)
    if varied_look:
        image = repaint(image, rng)
    image = _pad(image, window * DETAIL)
    labels = _frame_labels(source.labels, window)
    ids = np.unique(labels)
    ids = ids[ids > 0]
    anchor = int(rng.choice(ids)) if len(ids) else 0
    return TrainingWindow(image, labels, anchor, source.complete)


def _resize(image: NDArray[np.uint8], side: int) -> NDArray[np.float32]:
    shape = longest_side_shape((image.shape[1], image.shape[2]), side)
    pixels = torch.from_numpy(np.ascontiguousarray(image)).float()[None] / 255
    resized = functional.interpolate(pixels, shape, mode="bilinear", antialias=True)
    return np.asarray(resized[0].clamp(0, 1))


def _pad(image: NDArray[np.float32], side: int) -> NDArray[np.float32]:
    # The colour that SAM's normalisation turns into the zeros of its padding.
    mean = np.array(PIXEL_MEAN, np.float32) / np.float32(255)
    framed = np.empty((3, side, side), np.float32)
    framed[:] = mean[:, None, None]
    framed[:, : image.shape[1], : image.shape[2]] = image
    return framed


def _frame_labels(labels: NDArray[np.int32], side: int) -> NDArray[np.int32]:
    shape = longest_side_shape((labels.shape[0], labels.shape[1]), side)
    rows, cols = (
        ((np.arange(new) + 0.5) * old / new).astype(int)
        for new, old in zip(shape, labels.shape, strict=True)
    )
    framed = np.zeros((side, side), np.int32)
    framed[: shape[0], : shape[1]] = labels[np.ix_(rows, cols)]
    return framed


def _turn(source: TrainingImage, rng: np.random.Generator) -> TrainingImage:
    """Turn and mirror an image in one of eight ways."""
    turns = int(rng.integers(4))
    image = np.rot90(source.image, turns, (1, 2))
    labels = np.rot90(source.labels, turns)
    if rng.random() < 0.5:
        image, labels = image[:, :, ::-1], labels[:, ::-1]
    return TrainingImage(image, labels, source.complete)


def _crop(source: TrainingImage, rng: np.random.Generator) -> TrainingImage:
    """Cut out a part around a random object, which varies the scale."""
    rows, cols = np.nonzero(source.labels)
    pick = rng.integers(len(rows))
    share = rng.uniform(LEAST_SHARE, 1.0)
    parts = []
    for centre, length in zip(
        (rows[pick], cols[pick]), source.labels.shape, strict=True
    ):
        side = max(1, round(share * length))
        start = int(centre - side * rng.uniform(0.15, 0.85))
        start = int(np.clip(start, 0, length - side))
        parts.append(slice(start, start + side))
    image, labels = source.image[:, parts[0], parts[1]], source.labels[*parts]
    return TrainingImage(image, labels, source.complete)
