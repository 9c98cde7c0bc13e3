"""A simulated annotator: clicks and boxes as a careful person would give them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import distance_transform_edt

from napari_sam.errors import DataError
from napari_sam.geometry import mask_to_box
from napari_sam.structures import BoxPrompt, PointPrompt


class SimulatedAnnotator:
    """Clicks and boxes for one known object after another.

    The first click goes to the pixel of the object farthest from its edge, each later
    one to the pixel farthest from the edge of what is still wrong: missed parts get a
    positive click, spilt parts a negative one. This is the protocol of Segment
    Anything (Kirillov et al. 2023, appendix D.2), which took it from the literature
    on interactive segmentation (Sofiiuk et al. 2021).

    Parameters
    ----------
    seed : int or sequence of int
        Of the random numbers for noisy boxes and jittered clicks.
    jitter : float
        How far a click strays, as a share of the distance to the nearest edge: 0 is
        exact, 1 anywhere in the largest circle around the exact place.
    box_noise : float
        Standard deviation of each box side's error, as a share of that side's length.
    max_box_noise : float
        Largest error of a box side, in pixels.
    """

    def __init__(
        self,
        seed: int | Sequence[int] = 0,
        *,
        jitter: float = 0.0,
        box_noise: float = 0.1,
        max_box_noise: float = 20.0,
    ) -> None:
        self._rng = np.random.default_rng(seed)
        self.jitter = jitter
        self.box_noise = box_noise
        self.max_box_noise = max_box_noise

    def first_click(self, target: NDArray[np.bool_]) -> PointPrompt:
        """Click the middle of an object.

        Parameters
        ----------
        target : ndarray of bool, shape (H, W)

        Raises
        ------
        DataError
            If the object has no pixel.
        """
        click = self.next_click(target, np.zeros_like(target))
        if click is None:
            raise DataError("An empty mask cannot be clicked; leave the object out.")
        return click

    def next_click(
        self,
        target: NDArray[np.bool_],
        prediction: NDArray[np.bool_],
        clicked: Sequence[PointPrompt] = (),
    ) -> PointPrompt | None:
        """Click the middle of the largest error.

        The largest error is the one that holds the largest circle. Pixels that were
        clicked before are passed over.

        Parameters
        ----------
        target, prediction : ndarray of bool, shape (H, W)
        clicked : sequence of PointPrompt
            The clicks so far.

        Returns
        -------
        PointPrompt or None
            None if nothing is wrong that was not clicked already.
        """
        missed = _middle(target & ~prediction, clicked)
        spilt = _middle(prediction & ~target, clicked)
        radius, place = max(missed, spilt)
        if radius <= 0:
            return None
        return PointPrompt(self._stray(place, radius), positive=missed >= spilt)

    def box(self, target: NDArray[np.bool_], *, noisy: bool = False) -> BoxPrompt:
        """Draw the box of an object.

        Parameters
        ----------
        target : ndarray of bool, shape (H, W)
        noisy : bool
            Whether each side is off by the annotator's box noise; the box stays inside
            the image and keeps at least one pixel.

        Raises
        ------
        DataError
            If the object has no pixel.
        """
        bounds = mask_to_box(target)
        if bounds is None:
            raise DataError("An empty mask has no box; leave the object out.")
        start, stop = np.array(bounds, dtype=np.float64).reshape(2, 2)
        if noisy:
            start, stop = self._noisy(start, stop, np.array(target.shape))
        return BoxPrompt((start[0], start[1]), (stop[0], stop[1]))

    def _noisy(
        self, start: NDArray, stop: NDArray, shape: NDArray
    ) -> tuple[NDArray, NDArray]:
        spread = self.box_noise * np.tile(stop - start, (2, 1))
        error = self._rng.normal(0.0, 1.0, (2, 2)) * spread
        error = np.clip(error, -self.max_box_noise, self.max_box_noise)
        start = np.clip(np.round(start + error[0]), 0, shape - 1)
        stop = np.clip(np.round(stop + error[1]), start + 1, shape)
        return start, stop

    def _stray(self, place: tuple[int, int], radius: float) -> tuple[float, float]:
        """Move a click inside the circle that the error holds."""
        if self.jitter == 0:
            return float(place[0]), float(place[1])
        angle = self._rng.uniform(0.0, 2.0 * np.pi)
        # The distance is to the next pixel outside, so one less is surely inside.
        reach = self.jitter * max(radius - 1.0, 0.0) * np.sqrt(self._rng.uniform())
        rows, cols = reach * np.sin(angle), reach * np.cos(angle)
        return float(place[0] + np.trunc(rows)), float(place[1] + np.trunc(cols))


def _middle(
    region: NDArray[np.bool_], clicked: Sequence[PointPrompt]
) -> tuple[float, tuple[int, int]]:
    """Return the largest distance to the region's edge and the pixel that has it."""
    bounds = mask_to_box(region)
    if bounds is None:
        return 0.0, (0, 0)
    top, left, bottom, right = bounds
    # The image's own edge is an edge too: hence the frame of zeros.
    padded = np.pad(region[top:bottom, left:right], 1)
    distance = distance_transform_edt(padded)[1:-1, 1:-1]
    for point in clicked:
        row, col = int(point.position[0]) - top, int(point.position[1]) - left
        if 0 <= row < distance.shape[0] and 0 <= col < distance.shape[1]:
            distance[row, col] = 0.0
    row, col = _central(np.argwhere(distance == distance.max()))
    return float(distance[row, col]), (row + top, col + left)


def _central(places: NDArray[np.int_]) -> tuple[int, int]:
    """Pick, of equally good pixels, the one nearest to their mean.

    A rod's distance transform has a ridge: its first pixel is an end of the rod.
    """
    offsets = places - places.mean(axis=0)
    row, col = places[int(np.argmin((offsets**2).sum(axis=1)))]
    return int(row), int(col)
