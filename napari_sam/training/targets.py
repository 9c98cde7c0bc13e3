"""What the dense head should say: foreground, distances and size of each pixel."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage.segmentation import find_boundaries


def dense_targets(labels: NDArray[np.int32]) -> NDArray[np.float32]:
    """Foreground, centre distance, boundary distance and log size.

    Parameters
    ----------
    labels : ndarray of int32, shape (H, W)
        Instance ids; 0 is background.

    Returns
    -------
    ndarray of float32, shape (4, H, W)
        In the order of `napari_sam.nn.pocket_encoder.DENSE_CHANNELS`: 1 inside objects;
        1 at an object's innermost pixel falling to 0 at the pixel farthest from it; 1
        where an object is thickest falling to 0 at its boundary; log2 of the square
        root of the object's area in pixels, divided by 8. All are 0 in the background.
    """
    targets = np.zeros((4, *labels.shape), dtype=np.float32)
    ids = np.unique(labels)
    ids = ids[ids > 0]
    if len(ids) == 0:
        return targets
    inside = labels > 0
    edges = find_boundaries(labels, mode="inner")  # type: ignore[no-untyped-call]
    interior = inside & ~edges
    depth = ndimage.distance_transform_edt(interior)
    centres = np.array(ndimage.maximum_position(depth, labels, ids))
    areas = np.bincount(labels.ravel())[ids]
    lookup = np.zeros(ids[-1] + 1, dtype=np.intp)
    lookup[ids] = np.arange(len(ids))
    which = lookup[labels]
    rows, cols = np.indices(labels.shape)
    reach = np.hypot(rows - centres[which, 0], cols - centres[which, 1])
    farthest = np.maximum(ndimage.maximum(reach, labels, ids), 1.0)
    thickest = np.maximum(ndimage.maximum(depth, labels, ids), 1.0)
    targets[0] = inside
    targets[1] = (1 - reach / farthest[which]) * inside
    targets[2] = depth / thickest[which] * inside
    targets[3] = (np.log2(np.sqrt(areas)) / 8)[which] * inside
    return targets
