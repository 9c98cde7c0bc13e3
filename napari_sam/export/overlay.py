"""Pictures of an image with its objects, for people to look at."""

from __future__ import annotations

from pathlib import Path

import imageio.v3 as imageio
import numpy as np
from numpy.typing import NDArray

from napari_sam.errors import ExportError
from napari_sam.export.files import replacing

Picture = NDArray[np.uint8]
# Turning the hue by the golden ratio keeps successive ids far apart in colour.
GOLDEN_RATIO = 0.618034


def draw_overlay(
    picture: Picture, labels: NDArray[np.integer], opacity: float = 0.35
) -> Picture:
    """Tint each object in a colour of its own and outline it.

    Parameters
    ----------
    picture : ndarray of uint8, shape (H, W) or (H, W, 3)
        Grey or RGB.
    labels : ndarray of int, shape (H, W)
        Instance ids; 0 is left as it is.
    opacity : float
        Of the tint, 0 to 1; outlines are opaque.

    Returns
    -------
    ndarray of uint8, shape (H, W, 3)

    Raises
    ------
    ExportError
        The shapes differ.
    """
    if picture.shape[:2] != labels.shape:
        raise ExportError(
            f"A picture of {picture.shape[:2]} pixels has labels of {labels.shape}."
        )
    grey = picture[..., None] if picture.ndim == 2 else picture
    result = np.repeat(grey, 3, axis=2) if grey.shape[2] == 1 else grey.copy()
    inside, outline = labels > 0, inner_outlines(labels)
    colours = id_colours(labels[inside])
    result[inside] = (1 - opacity) * result[inside] + opacity * colours
    result[outline] = id_colours(labels[outline])
    return result


def write_overlay(
    path: Path, picture: Picture, labels: NDArray[np.integer], opacity: float = 0.35
) -> None:
    """Write `draw_overlay` to an image file.

    Parameters
    ----------
    path : Path
        Its extension decides the format: .png keeps every pixel. Missing folders are
        created; an existing file is replaced.
    picture, labels, opacity
        As for `draw_overlay`.

    Raises
    ------
    ExportError
        The shapes differ, or the file cannot be written.
    """
    write_picture(path, draw_overlay(picture, labels, opacity))


def write_picture(path: Path, picture: NDArray[np.generic]) -> None:
    """Write pixels, (H, W) or (H, W, 3), to an image file.

    Parameters
    ----------
    path : Path
        Its extension decides the format. Missing folders are created; an existing file
        is replaced.
    picture : ndarray
        uint8 or uint16.

    Raises
    ------
    ExportError
        The file cannot be written.
    """
    with replacing(path) as partial:
        imageio.imwrite(partial, picture)


def inner_outlines(labels: NDArray[np.integer]) -> NDArray[np.bool_]:
    """Mark the pixels of objects that have a 4-neighbour with another id.

    Parameters
    ----------
    labels : ndarray of int, shape (H, W)

    Returns
    -------
    ndarray of bool, shape (H, W)
        The image's own border is no outline.
    """
    edges = np.zeros(labels.shape, bool)
    down = labels[1:] != labels[:-1]
    right = labels[:, 1:] != labels[:, :-1]
    edges[1:] |= down
    edges[:-1] |= down
    edges[:, 1:] |= right
    edges[:, :-1] |= right
    return edges & (labels > 0)


def id_colours(ids: NDArray[np.integer]) -> NDArray[np.float32]:
    """Give each id a bright colour, always the same.

    Parameters
    ----------
    ids : ndarray of int, shape (N,)

    Returns
    -------
    ndarray of float32, shape (N, 3)
        Red, green, blue in 0 to 255.
    """
    hue = (ids.astype(np.float64)[:, None] * GOLDEN_RATIO) % 1
    thirds = np.abs((hue + np.array([0, 2 / 3, 1 / 3])) % 1 * 6 - 3) - 1
    colours: NDArray[np.float64] = 255 * np.clip(thirds, 0, 1) * 0.8 + 51
    return colours.astype(np.float32)
