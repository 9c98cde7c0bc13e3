"""Read an image file whole, as an array."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_sam.errors import DataError


def read_array(path: Path) -> NDArray:
    """Read a PNG, JPEG, BMP, TIFF or NPY file.

    Parameters
    ----------
    path : Path

    Returns
    -------
    ndarray
        As stored, of any shape; a PNG's alpha channel is dropped.

    Raises
    ------
    DataError
        If the file is missing or damaged.
    """
    try:
        return _read(path)
    except FileNotFoundError:
        raise DataError(f"{path} does not exist.") from None
    except Exception as error:  # each library raises its own kinds
        raise DataError(f"{path} cannot be read as an image: {error}") from error


def _read(path: Path) -> NDArray:
    suffix = path.suffix.lower()
    if suffix == ".npy":
        return np.asarray(np.load(path, allow_pickle=False))
    if suffix in (".tif", ".tiff"):
        import tifffile

        return np.asarray(tifffile.imread(path))
    import imageio.v3 as iio

    array = np.asarray(iio.imread(path))
    return array[..., :3] if array.ndim == 3 and array.shape[-1] == 4 else array
