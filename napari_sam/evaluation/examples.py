"""Keep the best and the worst objects of a set with their pixels, and no others."""

from __future__ import annotations

import heapq
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_sam.evaluation.labelled import LabelledImage
from napari_sam.evaluation.trials import Step, Trial
from napari_sam.geometry import mask_to_box

_MARGIN = 0.6
_LONGEST = 320


@dataclass(frozen=True, eq=False)
class Example:
    """One object cut out with its surroundings.

    Attributes
    ----------
    image : str
    identifier : int
    step : Step
        The last prediction.
    prompts : int
        How many clicks it took.
    pixels : ndarray of uint8, shape (h, w, 3)
    truth, predicted : ndarray of bool, shape (h, w)
    clicks : tuple of (float, float, bool)
        Row, column (centres, in pixels of the cut-out) and whether positive.
    """

    image: str
    identifier: int
    step: Step
    prompts: int
    pixels: NDArray[np.uint8]
    truth: NDArray[np.bool_]
    predicted: NDArray[np.bool_]
    clicks: tuple[tuple[float, float, bool], ...]


class ExampleKeeper:
    """The objects of highest and lowest final IoU among those offered.

    Parameters
    ----------
    count : int
        How many of each are kept.
    """

    def __init__(self, count: int = 0) -> None:
        self._count = count
        self._best: list[tuple[float, int, Example]] = []
        self._worst: list[tuple[float, int, Example]] = []
        self._seen = 0

    def offer(self, image: LabelledImage, trial: Trial) -> None:
        """Keep the object if it is among the best or the worst so far."""
        iou = trial.steps[-1].iou
        self._seen += 1
        for heap, rank in ((self._best, iou), (self._worst, -iou)):
            if len(heap) < self._count or (heap and rank > heap[0][0]):
                heapq.heappush(heap, (rank, self._seen, cut_out(image, trial)))
                if len(heap) > self._count:
                    heapq.heappop(heap)

    @property
    def best(self) -> list[Example]:
        """The best objects, best first."""
        return [example for _, _, example in sorted(self._best, reverse=True)]

    @property
    def worst(self) -> list[Example]:
        """The worst objects, worst first."""
        return [example for _, _, example in sorted(self._worst, reverse=True)]


def cut_out(image: LabelledImage, trial: Trial) -> Example:
    """Cut an object out of its image with a margin, thinned to 320 pixels a side."""
    rows, cols = _window(trial)
    stride = max(1, -(-max(rows.stop - rows.start, cols.stop - cols.start) // _LONGEST))
    clicks = tuple(
        (
            (point.position[0] + 0.5 - rows.start) / stride,
            (point.position[1] + 0.5 - cols.start) / stride,
            point.positive,
        )
        for point in trial.prompts.points
    )
    window = slice(rows.start, rows.stop, stride), slice(cols.start, cols.stop, stride)
    return Example(
        image.name,
        trial.target.identifier,
        trial.steps[-1],
        len(clicks),
        to_rgb(image, window),
        trial.truth[window].copy(),
        trial.mask[window].copy(),
        clicks,
    )


def _window(trial: Trial) -> tuple[slice, slice]:
    """Return the object's box with a margin, as slices inside the image."""
    box = mask_to_box(trial.truth)
    assert box is not None, "a target has pixels"
    start, stop = np.array(box).reshape(2, 2)
    margin = np.ceil(_MARGIN * max(stop - start)) + 8
    start = np.maximum(start - margin, 0).astype(int)
    stop = np.minimum(stop + margin, trial.truth.shape).astype(int)
    return slice(int(start[0]), int(stop[0])), slice(int(start[1]), int(stop[1]))


def to_rgb(image: LabelledImage, window: tuple[slice, slice]) -> NDArray[np.uint8]:
    """Show part of an image: up to three channels, stretched over the whole image.

    Parameters
    ----------
    image : LabelledImage
    window : tuple of slice

    Returns
    -------
    ndarray of uint8, shape (h, w, 3)
    """
    if image.channel_axis is None:
        channels = image.image[..., None]
    else:
        channels = np.moveaxis(image.image, image.channel_axis, -1)[..., :3]
    low, high = np.percentile(channels, (0.5, 99.5))
    part = (channels[window].astype(np.float32) - low) / max(high - low, 1e-6)
    part = (np.clip(part, 0, 1) * 255).astype(np.uint8)
    lacking = 3 - part.shape[-1]
    if part.shape[-1] == 1:
        return np.repeat(part, 3, axis=-1)
    return np.pad(part, ((0, 0), (0, 0), (0, lacking)))
