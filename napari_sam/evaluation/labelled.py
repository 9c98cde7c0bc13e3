"""Labelled images as the benchmark and training see them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")


@dataclass(frozen=True, eq=False)
class Target:
    """One labelled object.

    Attributes
    ----------
    identifier : int
        Its id in the labels.
    mask : ndarray of bool, shape (h, w)
        The object inside its box.
    origin : tuple of int
        (row, col) of the box's upper left corner in the image.
    """

    identifier: int
    mask: NDArray[np.bool_]
    origin: tuple[int, int]

    @cached_property
    def area(self) -> int:
        """Its pixels."""
        return int(np.count_nonzero(self.mask))

    @property
    def region(self) -> tuple[slice, slice]:
        """Its box as slices of the image."""
        (top, left), (height, width) = self.origin, self.mask.shape
        return slice(top, top + height), slice(left, left + width)

    def full(self, shape: tuple[int, int]) -> NDArray[np.bool_]:
        """Return the mask in an image of ``shape``, bool (H, W)."""
        canvas = np.zeros(shape, dtype=bool)
        canvas[self.region] = self.mask
        return canvas

    def iou(self, mask: NDArray[np.bool_]) -> float:
        """IoU with a mask of the whole image, bool (H, W)."""
        shared = int(np.count_nonzero(mask[self.region] & self.mask))
        return shared / (self.area + int(np.count_nonzero(mask)) - shared)


@dataclass(frozen=True, eq=False)
class LabelledImage:
    """A 2D image and the objects labelled in it.

    Attributes
    ----------
    name : str
        File stem, with the slice's number for a slice of a stack.
    image : ndarray, shape (H, W), or with one axis more for channels
    channel_axis : int or None
        Which axis holds channels.
    targets : tuple of Target
        They may overlap (SA-1B does).
    """

    name: str
    image: NDArray
    channel_axis: int | None
    targets: tuple[Target, ...]

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width in pixels."""
        height, width = np.delete(self.image.shape, self._extra)
        return int(height), int(width)

    @property
    def _extra(self) -> list[int]:
        return [] if self.channel_axis is None else [self.channel_axis]

    def labels(self) -> NDArray[np.int32]:
        """Instance ids, int32 (H, W); of overlapping objects the smaller is on top."""
        canvas = np.zeros(self.shape, dtype=np.int32)
        for target in sorted(self.targets, key=lambda target: -target.area):
            canvas[target.region][target.mask] = target.identifier
        return canvas


class ImageSource(Protocol):
    """Something that yields labelled images when asked, and holds none before."""

    def read(self) -> Iterator[LabelledImage]:
        """Yield the labelled 2D images, at least one."""


@dataclass(frozen=True)
class ImageSet:
    """A named collection of labelled images, read one at a time.

    Attributes
    ----------
    name : str
    sources : tuple of ImageSource
    unlabelled : int
        Images in the folder that have no labels and are left out.
    """

    name: str
    sources: tuple[ImageSource, ...]
    unlabelled: int = 0

    def limited(self, count: int | None) -> ImageSet:
        """Keep ``count`` files evenly spread over the set; all of them for None."""
        return ImageSet(self.name, tuple(spread(self.sources, count)), self.unlabelled)

    def __len__(self) -> int:
        """Files (a stack is one)."""
        return len(self.sources)

    def __iter__(self) -> Iterator[LabelledImage]:
        """Yield the images; only one file is in memory at a time."""
        for source in self.sources:
            yield from source.read()


def spread(items: Sequence[T], count: int | None) -> list[T]:
    """Pick ``count`` items evenly spread over a sequence; all of them for None."""
    if count is None or count >= len(items):
        return list(items)
    places = (np.arange(count) + 0.5) * len(items) / count
    return [items[int(place)] for place in places]
