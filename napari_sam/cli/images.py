"""Reading image files of any common kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam.errors import ImageError

TIFF_SUFFIXES = (".tif", ".tiff", ".lsm", ".stk", ".qptiff", ".svs")


def read_image(path: Path) -> NDArray[Any]:
    """Read an image file.

    Parameters
    ----------
    path : Path
        TIFF in its many dialects, else whatever imageio reads.

    Returns
    -------
    ndarray
        As stored: no rescaling, no axis moved.

    Raises
    ------
    ImageError
        The file is missing or no readable image.
    """
    if not path.is_file():
        kind = "a folder" if path.is_dir() else "not there"
        raise ImageError(f"Cannot read {path}: it is {kind}.")
    try:
        return _read(path)
    except Exception as error:  # decoders raise what they like
        reason = str(error).strip().split("\n")[0] or type(error).__name__
        if "Could not find a backend" in reason:
            reason = "no reader knows what it holds."
        raise ImageError(f"{path} is no readable image: {reason}") from error


def _read(path: Path) -> NDArray[Any]:
    if path.suffix.lower() in TIFF_SUFFIXES:
        import tifffile

        return np.asarray(tifffile.imread(path))
    import imageio.v3 as imageio

    return np.asarray(imageio.imread(path))


def read_mask_labels(path: Path, shape: tuple[int, int]) -> NDArray[np.integer]:
    """Read a mask or a label image.

    Parameters
    ----------
    path : Path
    shape : tuple of int
        (H, W) of the image that it is for.

    Returns
    -------
    ndarray of int, shape (H, W)
        Ids, 0 is background. A mask, whose only value beside 0 is 1 or the largest of
        its dtype or not a whole number, becomes 0 and 1.

    Raises
    ------
    ImageError
        It is unreadable, of another shape, or empty.
    """
    values = np.squeeze(read_image(path))
    if values.shape != shape:
        raise ImageError(
            f"The mask {path} has the shape {values.shape}, and the image {shape}: "
            "give a mask of one grey plane of the image's size."
        )
    found = np.unique(values[values != 0])
    if not found.size:
        raise ImageError(f"The mask {path} is empty.")
    if found.size == 1 and _is_binary(found[0], values.dtype):
        values = (values != 0).astype(np.int32)
    elif values.dtype.kind not in "ui" or found[0] < 0:
        raise ImageError(f"The mask {path} holds neither a mask nor whole-number ids.")
    ids: NDArray[np.integer] = values
    return ids


def _is_binary(value: Any, dtype: np.dtype) -> bool:
    if dtype.kind in "ui":
        return int(value) in (1, np.iinfo(dtype).max)
    return dtype.kind in "bf"
