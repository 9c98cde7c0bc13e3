"""The result of every generator, and the canvas on which objects are placed."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from skimage.measure import label as connected_components

from napari_sam.synthetic.shapes import Outline

FloatImage = NDArray[np.float32]
Labels = NDArray[np.int32]

MIN_AREA = 12
"""Objects of fewer visible pixels are dropped: nobody would outline them."""


@dataclass(frozen=True)
class SyntheticScene:
    """One made-up image with its exact truth.

    Attributes
    ----------
    image : ndarray, uint8 or uint16, (H, W) or (H, W, 3)
        The picture; three channels are red, green, blue. A volume is (Z, Y, X), a
        series (T, Y, X).
    labels : ndarray, int32, (H, W), (Z, Y, X) or (T, Y, X)
        Instance ids, 0 is background. Each object is one region, in a series one
        in each frame, where an id stays with its object.
    classes : dict of int to str
        The word of each id of `labels`.
    modality : str
        How the picture would have been taken, such as "fluorescence".
    layers : dict of str to ndarray, int32, (H, W)
        Objects inside objects by their word, such as the nucleus of each cell.
        Every id is that of the object of `labels` it lies in.
    parents : dict of int to int
        In a series: the id that divided into this one.
    """

    image: NDArray[np.uint8] | NDArray[np.uint16]
    labels: Labels
    classes: dict[int, str]
    modality: str = ""
    layers: dict[str, Labels] = field(default_factory=dict)
    parents: dict[int, int] = field(default_factory=dict)


def largest_pieces(labels: Labels) -> Labels:
    """Keep only the largest connected piece of each id, in any number of dimensions.

    Pixels that share a corner are connected in the plane, an edge in a volume.
    """
    pieces = connected_components(  # type: ignore[no-untyped-call]
        labels, connectivity=2, background=0
    )
    sizes = np.bincount(pieces.ravel())
    owner = np.zeros(sizes.size, np.int32)
    owner[pieces.ravel()] = labels.ravel()
    order = np.argsort(sizes, kind="stable")
    largest = np.full(int(owner.max()) + 1, -1, np.int64)
    largest[owner[order]] = order
    is_largest = largest[owner] == np.arange(sizes.size)
    return np.asarray(np.where(is_largest, owner, 0)[pieces], np.int32)


class Canvas:
    """Objects on an (H, W) plane: who owns a pixel and how deep inside it is.

    Attributes
    ----------
    labels : ndarray, int32, (H, W)
        Instance ids, 0 is background.
    depth : ndarray, float32, (H, W)
        1 at an object's middle, 0 at its outline and outside.
    """

    def __init__(self, shape: tuple[int, int]) -> None:
        self.shape = shape
        self.labels: Labels = np.zeros(shape, np.int32)
        self.depth: FloatImage = np.zeros(shape, np.float32)
        self.centres: list[tuple[float, float]] = [(0.0, 0.0)]
        self.radii: list[float] = [1.0]
        self.angles: list[float] = [0.0]
        self.words: list[str] = [""]

    def __len__(self) -> int:
        return len(self.radii) - 1

    def put(
        self,
        outline: Outline,
        word: str,
        *,
        overlap: float = 0.15,
        on_top: bool = False,
    ) -> int:
        """Add an object and return its id, or 0 where it does not fit.

        Parameters
        ----------
        outline : Outline
            The shape, which may reach over the border of the image.
        word : str
            What it is.
        overlap : float
            Refused when more than this part of it is already taken.
        on_top : bool
            Cover what is there, instead of going below it.
        """
        window, depth = self._clip(outline)
        if depth.size == 0:
            return 0
        inside = depth > 0
        free = inside & (self.labels[window] == 0)
        area, visible = np.count_nonzero(inside), np.count_nonzero(free)
        if area < MIN_AREA or area - visible > overlap * area:
            return 0
        where = inside if on_top else free
        self._remember(outline, word)
        np.copyto(self.labels[window], len(self), where=where)
        np.copyto(self.depth[window], depth, where=where)
        return len(self)

    def table(self, values: list[float]) -> FloatImage:
        """Per-pixel value of its object, from a list by id (index 0: background)."""
        return np.asarray(values, np.float32)[self.labels]

    def offsets(self) -> tuple[FloatImage, FloatImage]:
        """Row and column distance of each pixel to its object's centre, in pixels."""
        rows = np.arange(self.shape[0], dtype=np.float32)[:, None]
        cols = np.arange(self.shape[1], dtype=np.float32)[None, :]
        centres = np.asarray(self.centres, np.float32)
        return rows - centres[:, 0][self.labels], cols - centres[:, 1][self.labels]

    def axes(self) -> tuple[FloatImage, FloatImage]:
        """Distance along and across each object's long axis, in pixels."""
        rows, cols = self.offsets()
        cos = self.table([float(np.cos(a)) for a in self.angles])
        sin = self.table([float(np.sin(a)) for a in self.angles])
        return cols * cos + rows * sin, rows * cos - cols * sin

    def depth_pixels(self) -> FloatImage:
        """Rough distance to the object's outline in pixels."""
        return self.depth * self.table(self.radii)

    def tidy(self) -> None:
        """Keep each object's largest piece, drop crumbs, number the rest 1..n."""
        self.labels = largest_pieces(self.labels)
        sizes = np.bincount(self.labels.ravel(), minlength=len(self) + 1)
        kept = [i for i in range(1, len(self) + 1) if sizes[i] >= MIN_AREA]
        lookup = np.zeros(len(self) + 1, np.int32)
        lookup[kept] = np.arange(1, len(kept) + 1)
        self.labels = lookup[self.labels]
        self.depth *= self.labels > 0
        self._select([0, *kept])

    def classes(self) -> dict[int, str]:
        """The word of each id."""
        return {i: self.words[i] for i in range(1, len(self) + 1)}

    def _select(self, ids: list[int]) -> None:
        self.centres = [self.centres[i] for i in ids]
        self.radii = [self.radii[i] for i in ids]
        self.angles = [self.angles[i] for i in ids]
        self.words = [self.words[i] for i in ids]

    def _remember(self, outline: Outline, word: str) -> None:
        self.centres.append(outline.centre)
        self.radii.append(outline.radius)
        self.angles.append(outline.angle)
        self.words.append(word)

    def _clip(self, outline: Outline) -> tuple[tuple[slice, slice], FloatImage]:
        height, width = outline.depth.shape
        top, left = max(outline.top, 0), max(outline.left, 0)
        bottom = max(min(outline.top + height, self.shape[0]), top)
        right = max(min(outline.left + width, self.shape[1]), left)
        part = outline.depth[
            top - outline.top : bottom - outline.top,
            left - outline.left : right - outline.left,
        ]
        return (slice(top, bottom), slice(left, right)), part
