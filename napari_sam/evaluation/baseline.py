"""A classical method that takes the same prompts, to compare a model with."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.feature import peak_local_max
from skimage.filters import threshold_otsu
from skimage.segmentation import flood, watershed

from napari_sam.structures import (
    BoxPrompt,
    Frame,
    MaskPrediction,
    PointPrompt,
    PromptSet,
)

_SMOOTHING = 1.0
_PEAK_DISTANCE = 5
_FLOOD_TOLERANCE = 0.15


class ClassicalPredictor:
    """Otsu's threshold and a watershed, driven by clicks and boxes.

    The image is cut once into bright and dark pieces at Otsu's threshold, and each
    piece at the necks of its distance transform. The first click takes the piece it
    falls on; a later one changes the connected pixels of similar intensity that are
    near it, and nearer than to any click of the other kind. A box is thresholded anew
    inside, and whichever side touches the box's edge less is the object. Of the three
    candidates the first is that piece, the others the whole component and a flood
    fill of similar intensities.
    """

    def __init__(self) -> None:
        self._grey = np.zeros((1, 1), dtype=np.float32)
        self._components = np.zeros((1, 1), dtype=np.int32)
        self._pieces = self._components

    def set_image(self, image: NDArray[Any], *, channel_axis: int | None) -> None:
        """Cut an image into pieces.

        Parameters
        ----------
        image : ndarray, shape (H, W), or with one axis more for channels
        channel_axis : int or None
        """
        grey = image.astype(np.float32)
        if channel_axis is not None:
            grey = grey.mean(axis=channel_axis)
        low, high = np.percentile(grey, (0.5, 99.5))
        grey = np.clip((grey - low) / max(high - low, 1e-6), 0, 1)
        self._grey = ndimage.gaussian_filter(grey, _SMOOTHING)
        bright = self._grey > _threshold(self._grey)
        self._components, self._pieces = _cut_both(bright)

    def predict_batch(
        self, prompts: Sequence[PromptSet], multimask_output: bool = True
    ) -> list[MaskPrediction]:
        """Return the candidate masks of each object; mask prompts are not used."""
        return [self._predict(each, multimask_output) for each in prompts]

    def _predict(self, prompts: PromptSet, multimask_output: bool) -> MaskPrediction:
        masks = [self._object(prompts)]
        if multimask_output:
            first = _pixel(prompts.points[0])
            component = self._components == self._components[first]
            similar = _similar(self._grey, first)
            masks += [component, similar]
        stacked = np.stack(masks)
        # It has no confidence of its own: all candidates rate the same.
        rating = np.full(len(masks), 0.5, dtype=np.float32)
        frame = Frame((0.0, 0.0), (1.0, 1.0), self._grey.shape)
        logits = np.zeros((len(masks), 1, 1), dtype=np.float32)
        return MaskPrediction(stacked, rating, rating, logits, frame)

    def _object(self, prompts: PromptSet) -> NDArray[np.bool_]:
        later = prompts.points
        if prompts.box is not None:
            mask = self._in_box(prompts.box)
        else:
            mask = self._pieces == self._pieces[_pixel(prompts.points[0])]
            later = prompts.points[1:]
        for point in later:
            self._correct(mask, point, prompts.points)
        return mask

    def _correct(
        self,
        mask: NDArray[np.bool_],
        point: PointPrompt,
        points: Sequence[PointPrompt],
    ) -> None:
        """Change what is like the clicked pixel, near it and nearer than contraries.

        Near is half the side of a square as large as the mask: without that bound a
        click on a missed rim takes the whole background.
        """
        place = _pixel(point)
        wrong = mask != point.positive
        similar = _similar(self._grey, place) & wrong
        similar[place] = True
        where = np.argwhere(similar)
        reach = _squared_distance(where, place)
        near = reach <= max(np.count_nonzero(mask) / 4, 1)
        where, reach = where[near], reach[near]
        for other in points:
            if other.positive != point.positive:
                near = reach < _squared_distance(where, _pixel(other))
                where, reach = where[near], reach[near]
        mask[tuple(where.T)] = point.positive

    def _in_box(self, box: BoxPrompt) -> NDArray[np.bool_]:
        top, left = (round(side) for side in box.start)
        bottom, right = (round(side) for side in box.stop)
        window = slice(top, max(bottom, top + 1)), slice(left, max(right, left + 1))
        crop = self._grey[window]
        bright = crop > _threshold(crop)
        edge = np.concatenate([bright[0], bright[-1], bright[:, 0], bright[:, -1]])
        inside = ~bright if edge.mean() > 0.5 else bright
        mask = np.zeros(self._grey.shape, dtype=bool)
        mask[window] = ndimage.binary_fill_holes(_largest(inside))
        return mask


def _threshold(grey: NDArray[np.float32]) -> float:
    if grey.min() == grey.max():
        return float(grey.min())
    return float(threshold_otsu(grey))  # type: ignore[no-untyped-call]


def _pixel(point: PointPrompt) -> tuple[int, int]:
    return int(point.position[0]), int(point.position[1])


def _similar(grey: NDArray[np.float32], pixel: tuple[int, int]) -> NDArray[np.bool_]:
    """Return the connected pixels whose intensity is close to one pixel's."""
    mask: NDArray[np.bool_] = flood(  # type: ignore[no-untyped-call]
        grey, pixel, tolerance=_FLOOD_TOLERANCE
    )
    return mask


def _squared_distance(
    places: NDArray[np.int_], pixel: tuple[int, int]
) -> NDArray[np.int_]:
    squared: NDArray[np.int_] = ((places - pixel) ** 2).sum(axis=1)
    return squared


def _largest(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    components, count = ndimage.label(mask)
    if count == 0:
        return np.ones_like(mask)
    sizes = np.bincount(components.ravel())
    sizes[0] = 0
    largest: NDArray[np.bool_] = components == sizes.argmax()
    return largest


def _cut_both(
    bright: NDArray[np.bool_],
) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Return connected components and pieces of the bright and of the dark part."""
    components, pieces = _cut(bright)
    dark_components, dark_pieces = _cut(~bright)
    dark = ~bright
    components[dark] = dark_components[dark] + components.max()
    pieces[dark] = dark_pieces[dark] + pieces.max()
    return components, pieces


def _cut(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    components, _ = ndimage.label(mask)
    depth = ndimage.gaussian_filter(
        ndimage.distance_transform_edt(mask).astype(np.float32), _SMOOTHING
    )
    peaks = peak_local_max(  # type: ignore[no-untyped-call]
        depth, min_distance=_PEAK_DISTANCE, labels=components
    )
    markers = np.zeros(mask.shape, dtype=np.int32)
    markers[tuple(peaks.T)] = np.arange(1, len(peaks) + 1)
    pieces = watershed(-depth, markers, mask=mask)  # type: ignore[no-untyped-call]
    # A component too small for a peak is a piece of its own.
    alone = mask & (pieces == 0)
    pieces[alone] = components[alone] + len(peaks)
    return components.astype(np.int32), pieces.astype(np.int32)
