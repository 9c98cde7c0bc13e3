"""Label images as compressed TIFF, which napari, Fiji and QuPath open."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from napari_sam.errors import ExportError
from napari_sam.export.files import replacing
from napari_sam.export.registry import Labels, Table, register_exporter

_AXES = {2: "YX", 3: "ZYX", 4: "TZYX"}


@register_exporter("labels-tiff")
class LabelsTiff:
    """Instance ids as uint16, or uint32 where an id is above 65535; zlib inside."""

    extensions: tuple[str, ...] = (".tif", ".tiff")

    def write(self, path: Path, labels: Labels, table: Table | None = None) -> None:
        """Write instance ids.

        Parameters
        ----------
        path : Path
            Missing folders are created; an existing file is replaced.
        labels : ndarray of int, shape (H, W), (Z, H, W) or (T, Z, H, W)
            0 is background.
        table : mapping, optional
            Not written: there is no place for it.

        Raises
        ------
        ExportError
            The array holds no labels, or the file cannot be written.
        """
        import tifffile

        stored = _smallest(labels)
        metadata = {"axes": _AXES[stored.ndim]} if stored.ndim in _AXES else None
        with replacing(path) as partial:
            tifffile.imwrite(
                partial,
                stored,
                photometric="minisblack",
                compression="zlib",
                metadata=metadata,
            )

    def read(self, path: Path) -> Labels:
        """Read instance ids.

        Parameters
        ----------
        path : Path

        Returns
        -------
        ndarray of uint16 or uint32
            In the shape in which they were written.

        Raises
        ------
        ExportError
            The file is missing, or no label image.
        """
        import tifffile

        try:
            stored = tifffile.imread(path)
        except FileNotFoundError as error:
            raise ExportError(f"There is no file {path}.") from error
        except (OSError, ValueError, tifffile.TiffFileError) as error:
            raise ExportError(f"{path} is no readable TIFF file: {error}.") from error
        return _smallest(stored)


def _smallest(labels: NDArray) -> Labels:
    """Store ids in as few bytes as they need, at least two."""
    if labels.dtype.kind not in "bui":
        raise ExportError(f"Labels are whole numbers, not {labels.dtype} values.")
    if labels.ndim < 2 or labels.size == 0:
        raise ExportError(f"An array of the shape {labels.shape} is no label image.")
    lowest, highest = int(labels.min()), int(labels.max())
    if lowest < 0 or highest > np.iinfo(np.uint32).max:
        raise ExportError(
            f"Ids must lie in 0 to {np.iinfo(np.uint32).max}, and these are "
            f"{lowest} to {highest}."
        )
    dtype = np.uint16 if highest <= np.iinfo(np.uint16).max else np.uint32
    return labels.astype(dtype, copy=False)
