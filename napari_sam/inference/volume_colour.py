"""What colours an object has, and what colours are around it.

An iterated colour model of object and surroundings, as in Rother et al., "GrabCut"
(2004), with histograms in place of mixtures and no graph cut: the model's own logits
say where the outline is likely to be.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter
from scipy.special import expit

from napari_sam.inference.volume_motion import SURE_LOGIT

BINS = 32
# The histograms are smoothed by so many bins, and what is never seen counts as this.
SPREAD, RARE = 1.0, 1e-5
# Most that one pixel's colour says, as a logit, and pixels over which it is averaged.
MOST_EVIDENCE, AVERAGED = 4.0, 1.5
# Rounds in which a box's colours and mask are made from each other.
ROUNDS = 3


@dataclass(frozen=True, eq=False)
class ColourModel:
    """How frequent colours are in an object and around it.

    Attributes
    ----------
    ratio : ndarray of float32, shape (BINS ** 3,)
        Logarithm of the one by the other.
    """

    ratio: NDArray[np.float32]

    @classmethod
    def learn(
        cls, colours: NDArray[np.uint8], logits: NDArray[np.float32]
    ) -> ColourModel:
        """Learn from a part of an image and the logits of the object in it.

        Parameters
        ----------
        colours : ndarray of uint8, shape (h, w, 3)
        logits : ndarray of float32, shape (h, w)
        """
        bins = _bins(colours).ravel()
        share = expit(logits).ravel()
        inside, outside = (_frequencies(bins, each) for each in (share, 1 - share))
        ratio = np.log((inside + RARE) / (outside + RARE))
        return cls(ratio.clip(-MOST_EVIDENCE, MOST_EVIDENCE).astype(np.float32))

    def evidence(self, colours: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Say where the object is, by colour alone, as logits (h, w).

        Parameters
        ----------
        colours : ndarray of uint8, shape (h, w, 3)
        """
        seen: NDArray[np.float32] = gaussian_filter(
            self.ratio[_bins(colours)], AVERAGED
        )
        return seen


def _bins(colours: NDArray[np.uint8]) -> NDArray[np.intp]:
    red, green, blue = np.moveaxis(colours.astype(np.intp) * BINS // 256, -1, 0)
    index: NDArray[np.intp] = (red * BINS + green) * BINS + blue
    return index


def _frequencies(bins: NDArray[np.intp], weights: NDArray) -> NDArray[np.float64]:
    counts = np.bincount(bins, weights, BINS**3).reshape(BINS, BINS, BINS)
    smooth: NDArray[np.float64] = gaussian_filter(counts, SPREAD).ravel()
    return smooth / max(float(smooth.sum()), 1e-9)


def refine_in_box(
    colours: NDArray[np.uint8],
    logits: NDArray[np.float32],
    inside: NDArray[np.bool_],
    weight: float,
) -> NDArray[np.float32]:
    """Sharpen a box's answer by colour; nothing outside the box is the object.

    Parameters
    ----------
    colours : ndarray of uint8, shape (h, w, 3)
        The box and what is around it.
    logits : ndarray of float32, shape (h, w)
        The model's answer.
    inside : ndarray of bool, shape (h, w)
        The box.
    weight : float
        Of the colours, against the answer.
    """
    kept = np.where(inside, logits, -SURE_LOGIT)
    refined = kept
    for _ in range(ROUNDS):
        known = ColourModel.learn(colours, refined)
        refined = np.where(inside, kept + weight * known.evidence(colours), -SURE_LOGIT)
    return refined.astype(np.float32).clip(-SURE_LOGIT, SURE_LOGIT)
