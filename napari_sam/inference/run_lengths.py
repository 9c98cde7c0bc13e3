"""Masks as COCO's compressed run lengths, which hold a whole image in a few bytes."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools import mask as coco

from napari_sam.geometry import Box

RunLengths = dict[str, Any]


class RunLengthEncoder:
    """Encodes masks of one image, given inside their boxes.

    Parameters
    ----------
    image_shape : tuple of int
        (H, W).
    """

    def __init__(self, image_shape: tuple[int, int]) -> None:
        self.image_shape = image_shape
        # One canvas for all masks: filling a new one costs more than encoding.
        self._canvas = np.zeros(image_shape, dtype=np.uint8, order="F")

    def encode(self, mask: NDArray[np.bool_], box: Box) -> RunLengths:
        """Encode a mask.

        Parameters
        ----------
        mask : ndarray of bool, shape (row1 - row0, col1 - col0)
        box : tuple of int
            (row0, col0, row1, col1) in the image, the stop exclusive.

        Returns
        -------
        dict
            ``size`` [H, W] and ``counts``, bytes, as `pycocotools` has them.
        """
        place = np.s_[box[0] : box[2], box[1] : box[3]]
        self._canvas[place] = mask
        encoded: RunLengths = coco.encode(self._canvas)
        self._canvas[place] = 0
        return encoded


def decode_mask(runs: RunLengths) -> NDArray[np.bool_]:
    """Return the (H, W) bool mask of compressed run lengths."""
    mask: NDArray[np.bool_] = np.ascontiguousarray(coco.decode(runs), dtype=bool)
    return mask


def mask_area(runs: RunLengths) -> int:
    """Pixels of a mask."""
    return int(coco.area(runs))


def as_json(runs: RunLengths) -> RunLengths:
    """Return run lengths with text in place of bytes, as COCO files have them."""
    return {"size": list(runs["size"]), "counts": runs["counts"].decode("ascii")}
