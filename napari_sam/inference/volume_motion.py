"""Where the pixels of a frame were in the frame before, and masks carried along.

The flow is the TV-L1 method (Zach, Pock and Bischof, "A duality based approach for
realtime TV-L1 optical flow", 2007) as scikit-image has it, on a coarse copy.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import map_coordinates

from napari_sam.geometry import mask_to_box, resample, resized_frame
from napari_sam.inference.volume_result import SliceMask
from napari_sam.structures import Frame, MaskRecord

# Logits that stand for a mask which a person drew, and the most that one counts.
SURE_LOGIT = 6.0
# What is looked at goes so far beyond a mask's box, in shares of its sides, and pixels.
MARGIN, LEAST_MARGIN = 0.5, 8
# Longest side, in pixels, of the copy that the flow is computed on.
FLOW_SIDE = 320
# Few steps are enough between frames that differ little.
FLOW_WARPS, FLOW_STEPS = 2, 5

Region = tuple[slice, slice]


@dataclass(frozen=True, eq=False)
class Flow:
    """Motion from one frame to the next in a part of the image.

    Attributes
    ----------
    values : ndarray of float32, shape (2, h, w)
        What to add to a pixel's (row, col) to come to its place in the frame before.
    region : tuple of slice
        The part of the image; outside it nothing moves.
    """

    values: NDArray[np.float32]
    region: Region

    def at(self, region: Region) -> NDArray[np.float32]:
        """Return the motion in a region, float32 (2, rows, columns)."""
        rows, cols = (
            np.arange(part.start, part.stop).clip(own.start, own.stop - 1) - own.start
            for part, own in zip(region, self.region, strict=True)
        )
        return self.values[:, rows[:, None], cols]


def flow_between(
    before: NDArray[np.float32], after: NDArray[np.float32], region: Region
) -> Flow:
    """Estimate the motion between two frames.

    Parameters
    ----------
    before, after : ndarray of float32, shape (rows, columns)
        Brightness, 0..1.
    region : tuple of slice
        The part of the image that is looked at.

    Returns
    -------
    Flow
    """
    from skimage.registration import optical_flow_tvl1

    parts = before[region], after[region]
    shape = parts[0].shape
    scale = min(1.0, FLOW_SIDE / max(shape))
    small = max(round(shape[0] * scale), 1), max(round(shape[1] * scale), 1)
    if min(small) < 2:
        return Flow(np.zeros((2, *shape), np.float32), region)
    coarse, fine = resized_frame(shape, small), resized_frame(shape, shape)
    old, new = (resample(part, fine, coarse) for part in parts)
    # It has no annotations.
    flow: Any = optical_flow_tvl1
    moved = flow(new, old, num_warp=FLOW_WARPS, num_iter=FLOW_STEPS)
    values = np.stack(
        [
            resample(each * np.float32(side / less), coarse, fine)
            for each, side, less in zip(moved, shape, small, strict=True)
        ]
    )
    return Flow(values, region)


def region_around(regions: Iterable[Region], shape: tuple[int, ...]) -> Region:
    """Return the part of a slice that holds regions and what is around each.

    Parameters
    ----------
    regions : iterable of tuple of slice
        One or more.
    shape : tuple of int
        (rows, columns) of the slice.
    """
    found = []
    for parts, side in zip(zip(*regions, strict=True), shape, strict=True):
        margins = [
            LEAST_MARGIN + round(MARGIN * (part.stop - part.start)) for part in parts
        ]
        low = min(part.start - m for part, m in zip(parts, margins, strict=True))
        high = max(part.stop + m for part, m in zip(parts, margins, strict=True))
        found.append(slice(max(low, 0), min(high, side)))
    return found[0], found[1]


def region_frame(region: Region) -> Frame:
    """Return the frame of a region's own pixels."""
    rows, cols = region
    origin = float(rows.start), float(cols.start)
    return Frame(origin, (1.0, 1.0), (rows.stop - rows.start, cols.stop - cols.start))


def logits_in(
    seen: SliceMask,
    logits: NDArray[np.float32] | None,
    frame: Frame | None,
    region: Region,
) -> NDArray[np.float32]:
    """Return a mask's logits in the pixels of a region, within `SURE_LOGIT` of 0.

    Parameters
    ----------
    seen : SliceMask
        Stands for the logits where there are none.
    logits : ndarray of float32 or None
    frame : Frame or None
        Where the logits lie.
    region : tuple of slice
    """
    wanted = region_frame(region)
    if logits is not None and frame is not None:
        drawn = resample(logits, frame, wanted, fill=-SURE_LOGIT)
        return drawn.clip(-SURE_LOGIT, SURE_LOGIT)
    own = region_frame(seen.region)
    values = np.where(seen.record.mask, SURE_LOGIT, -SURE_LOGIT)
    return resample(values, own, wanted, fill=-SURE_LOGIT)


def carried_logits(values: NDArray[np.float32], motion: NDArray) -> NDArray[np.float32]:
    """Move logits along a flow.

    Parameters
    ----------
    values : ndarray of float32, shape (rows, columns)
    motion : ndarray, shape (2, rows, columns)
        See `Flow.at`.
    """
    places = np.indices(values.shape, dtype=np.float32) + motion
    moved: NDArray[np.float32] = map_coordinates(
        values, places, order=1, mode="constant", cval=-SURE_LOGIT
    )
    return moved


def cut_out(
    record: MaskRecord, values: NDArray[np.float32], region: Region
) -> MaskRecord | None:
    """Return a record with the mask that logits in a region give; None if empty.

    Parameters
    ----------
    record : MaskRecord
        For everything but the mask.
    values : ndarray of float32, shape of ``region``
    region : tuple of slice
    """
    mask = values > 0
    box = mask_to_box(mask)
    if box is None:
        return None
    row0, col0, row1, col1 = box
    origin = region[0].start + row0, region[1].start + col0
    return MaskRecord(
        mask[row0:row1, col0:col1].copy(),
        origin,
        record.predicted_iou,
        record.stability_score,
        record.provenance,
    )
