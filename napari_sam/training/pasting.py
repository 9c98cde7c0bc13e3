"""Objects of one image pasted into another: many scenes from a few photographs."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from scipy import ndimage

from napari_sam.geometry import mask_to_box
from napari_sam.training.datasets import ListSource
from napari_sam.training.reading import TrainingImage

# Least and largest scaling of a pasted object.
SCALES = (0.5, 1.6)
# Blur of a pasted object's edge, in pixels, so that no sharp cut gives it away.
EDGE = 0.7
# Share of a pasted object that may lie outside the image.
LOST = 0.4


class PastingSource:
    """Images of a set, some of them with an object of another image of it.

    After Ghiasi et al., "Simple Copy-Paste is a Strong Data Augmentation Method for
    Instance Segmentation" (2021). An object is seen on as many backgrounds as there
    are images, so that it is not its background that is learnt.

    Parameters
    ----------
    images : ListSource
    chance : float
        Share of the images that get an object.
    """

    def __init__(self, images: ListSource, chance: float) -> None:
        self._images = images
        self._chance = chance

    def draw(self, rng: np.random.Generator) -> TrainingImage:
        """Return one image, all with equal chance."""
        image = self._images.draw(rng)
        if rng.random() >= self._chance:
            return image
        return paste_object(image, self._images.draw(rng), rng)


def paste_object(
    image: TrainingImage, giver: TrainingImage, rng: np.random.Generator
) -> TrainingImage:
    """Paste a random object of one image into another.

    Parameters
    ----------
    image, giver : TrainingImage
        Neither is changed.
    rng : Generator

    Returns
    -------
    TrainingImage
        The pasted object has a new id and covers what is under it.
    """
    pixels, mask = _turned(*_cut_out(giver, rng), rng)
    row, col = _place(mask.shape, image.labels.shape, rng)
    target = _overlap((row, col), mask.shape, image.labels.shape)
    source = tuple(
        slice(part.start - start, part.stop - start)
        for part, start in zip(target, (row, col), strict=True)
    )
    pixels, mask = pixels[:, *source], mask[source]
    if not mask.any():
        return image
    painted, labels = image.image.copy(), image.labels.copy()
    alpha = ndimage.gaussian_filter(mask.astype(np.float32), EDGE)
    under = painted[:, *target]
    painted[:, *target] = np.rint(alpha * pixels + (1 - alpha) * under)
    labels[target][mask] = labels.max() + 1
    return TrainingImage(painted, labels, image.complete)


def _cut_out(
    giver: TrainingImage, rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """A random object: pixels (3, h, w) in 0..255 and mask (h, w)."""
    ids = np.unique(giver.labels)
    mask = giver.labels == rng.choice(ids[ids > 0])
    box = mask_to_box(mask)
    assert box is not None
    # A margin, as the blurred edge reaches beyond the mask.
    rows = slice(max(box[0] - 3, 0), box[2] + 3)
    cols = slice(max(box[1] - 3, 0), box[3] + 3)
    return giver.image[:, rows, cols].astype(np.float32), mask[rows, cols]


def _turned(
    pixels: NDArray[np.float32], mask: NDArray[np.bool_], rng: np.random.Generator
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """Scale an object, and mirror every second one."""
    scale = np.exp(rng.uniform(*np.log(SCALES)))
    size = [max(2, round(side * scale)) for side in mask.shape]
    both = torch.from_numpy(np.concatenate([pixels, mask[None]]).astype(np.float32))
    scaled = functional.interpolate(both[None], size, mode="bilinear", antialias=True)
    result = scaled[0].numpy()
    if rng.random() < 0.5:
        result = result[:, :, ::-1]
    return result[:3], result[3] > 0.5


def _place(
    shape: tuple[int, ...], room: tuple[int, ...], rng: np.random.Generator
) -> tuple[int, int]:
    """Upper left corner, so that at most `LOST` of each side is outside."""
    corner = []
    for side, length in zip(shape, room, strict=True):
        low, high = sorted((-LOST * side, length - (1 - LOST) * side))
        corner.append(round(rng.uniform(low, high)))
    return corner[0], corner[1]


def _overlap(
    corner: tuple[int, int], shape: tuple[int, ...], room: tuple[int, ...]
) -> tuple[slice, slice]:
    """The part of the image that a pasted piece covers."""
    rows, cols = (
        slice(max(start, 0), max(min(start + side, length), max(start, 0)))
        for start, side, length in zip(corner, shape, room, strict=True)
    )
    return rows, cols
