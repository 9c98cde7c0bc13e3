"""What propagation is compared with: clicks in every slice, and a random walker."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam.geometry import mask_to_box
from napari_sam.inference.predictor import SamPredictor
from napari_sam.inference.volume_planes import VolumePlanes
from napari_sam.inference.volume_result import SliceMask
from napari_sam.structures import MaskPrediction, MaskRecord, PromptSet

# The walker's crop reaches so far beyond the object, in shares of its size.
MARGIN = 0.3
# Larger crops are thinned out to about so many voxels.
MOST_VOXELS = 150_000
BETA = 130.0


def click_columns(
    predictor: SamPredictor,
    planes: VolumePlanes,
    clicks: Mapping[int, PromptSet],
    spans: Mapping[int, range],
) -> dict[int, dict[int, SliceMask]]:
    """Answer one prompt in every slice of an object, each slice by itself.

    Parameters
    ----------
    predictor : SamPredictor
    planes : VolumePlanes
    clicks : mapping of int to PromptSet
        By object id; the same in all slices.
    spans : mapping of int to range
        Slices of each object.

    Returns
    -------
    dict of int to dict of int to SliceMask
        The best-rated mask, by object id and slice.
    """
    found: dict[int, dict[int, SliceMask]] = {n: {} for n in clicks}
    for index in sorted({n for span in spans.values() for n in span}):
        asked = [n for n, span in spans.items() if index in span]
        predictor.set_embedding(planes.get(index).embedding)
        answers = predictor.predict_batch([clicks[n] for n in asked])
        for identifier, answer in zip(asked, answers, strict=True):
            best = _best_mask(answer)
            if best is not None:
                found[identifier][index] = best
    return found


def _best_mask(answer: MaskPrediction) -> SliceMask | None:
    mask, rating = answer.masks[answer.best], float(answer.predicted_iou[answer.best])
    box = mask_to_box(mask)
    if box is None:
        return None
    row0, col0, row1, col1 = box
    part = mask[row0:row1, col0:col1].copy()
    return SliceMask(MaskRecord(part, (row0, col0), rating, 1.0), rating)


def random_walk(
    volume: NDArray[Any],
    truth: NDArray[np.bool_],
    click: tuple[int, int, int],
    box: tuple[slice, slice, slice],
) -> float:
    """3D IoU of scikit-image's random walker from one click.

    It is told more than the model: it works in a crop around the labelled object whose
    faces are background, except where the crop ends with the volume.

    Parameters
    ----------
    volume : ndarray, shape (Z, H, W)
    truth : ndarray of bool, shape (Z, H, W)
    click : tuple of int
        A voxel of the object.
    box : tuple of slice
        Of the object.
    """
    from skimage.segmentation import random_walker

    crop = tuple(
        _grown(part, side) for part, side in zip(box, volume.shape, strict=True)
    )
    step = max(
        1, round((np.prod([c.stop - c.start for c in crop]) / MOST_VOXELS) ** (1 / 3))
    )
    thin = tuple(slice(c.start, c.stop, step) for c in crop)
    grey, wanted = volume[thin].astype(float), truth[thin]
    seeds = _seeds(grey.shape, click, thin, volume.shape)
    spread = float(grey.max() - grey.min())
    if not (seeds == 2).any() or spread == 0:
        return 0.0
    labels = random_walker(
        (grey - grey.min()) / spread,
        seeds,
        beta=BETA,
        mode="cg_j",
        tol=1e-2,
        prob_tol=0.1,
    )
    found = labels == 1
    return float(np.count_nonzero(found & wanted) / np.count_nonzero(found | wanted))


def _grown(part: slice, side: int) -> slice:
    margin = max(3, round(MARGIN * (part.stop - part.start)))
    return slice(max(part.start - margin, 0), min(part.stop + margin, side))


def _seeds(
    shape: tuple[int, ...],
    click: tuple[int, int, int],
    crop: tuple[slice, ...],
    whole: tuple[int, ...],
) -> NDArray[np.int32]:
    """1 at the click, 2 on the faces of the crop that lie inside the volume."""
    seeds = np.zeros(shape, np.int32)
    for axis, (part, side) in enumerate(zip(crop, whole, strict=True)):
        faces = np.moveaxis(seeds, axis, 0)
        if part.start > 0:
            faces[0] = 2
        if part.stop < side:
            faces[-1] = 2
    place = tuple(
        min((at - part.start) // part.step, size - 1)
        for at, part, size in zip(click, crop, shape, strict=True)
    )
    seeds[tuple(slice(max(n - 1, 0), n + 2) for n in place)] = 1
    return seeds
