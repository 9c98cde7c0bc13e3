"""Objects that the bundled model's dense head suggests, each at the scale it suits.

The head is asked at every level of the image's pyramid. At each place the levels are
mixed, and the one counts most that takes what is there for as large as the model sees
best: from afar a small object is lost in its neighbours, from near a large one looks
like many.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from napari_sam.inference.blocks import DenseBlock, PyramidEmbedding
from napari_sam.inference.framing import ImageEmbedding
from napari_sam.inference.pyramid import PyramidFraming
from napari_sam.inference.regions import (
    FOREGROUND,
    DenseMaps,
    Region,
    Splitting,
    drop_repeats,
    find_regions,
    usual_size,
)
from napari_sam.inference.tiling import BlockKey
from napari_sam.inference.view_choice import FINEST_LEVEL, WANTED_SIZE
from napari_sam.structures import Frame

# A level counts less by exp(-1/2) where objects are this many octaves larger or smaller
# than the model sees best, and this much counts a level that is far from it.
OCTAVES_SEEN = 0.6
LEAST_WEIGHT = 0.01
# Where objects are smaller than this, in a level's pixels, the next finer level is
# looked at too, if they are so much of a block's foreground.
WORTH_ENLARGING = 36.0
ENOUGH = 0.05
# Side of the samples, in image pixels, that this is decided on.
SURVEY_STEP = 2.0
# The dense head gives sizes in units of so many octaves.
OCTAVES = 8.0


@dataclass(frozen=True)
class Reading:
    """One way to read objects out of the levels.

    Attributes
    ----------
    seen_size : float
        Levels are mixed as if objects were seen best at this size, in a level's pixels.
        Seen larger, touching objects come apart; seen smaller, lobed ones stay whole.
    smoothing : float
        Before seeds are looked for, as a share of the usual object's size.
    prominence : float
        How much a seed stands out; see `napari_sam.inference.regions.Splitting`.
    """

    seen_size: float
    smoothing: float
    prominence: float


# A suggestion too many is dropped in the end; one too few is never found. Of all
# threesomes tried these suggested most objects of `train` images.
READINGS = (
    Reading(64.0, 0.03, 0.02),
    Reading(40.0, 0.05, 0.05),
    Reading(64.0, 0.15, 0.1),
)
# Samples of the mixed maps: at least an image pixel each, and so many at most that a
# slide fits into memory.
SMALLEST_STEP = 1.0
MOST_SAMPLES = 16_000_000
# Up to so many, the readings are made at the same time, each in memory of its own.
SAMPLES_SIDE_BY_SIDE = 4_000_000

Report = Callable[[int, int], object]
Values = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class LevelBlock:
    """What the dense head says of the core of one block.

    Attributes
    ----------
    level : int
    values : ndarray of float32, shape (4, h, w)
        Foreground as a probability, the distances in 0..1, and log2 of the object's
        size in image pixels.
    frame : Frame
        Where the samples lie in the image.
    """

    level: int
    values: Values
    frame: Frame


class Mixture:
    """The levels' mean on one grid of samples, each with its weight.

    Parameters
    ----------
    frame : Frame
        Where the samples lie in the image.
    seen_size : float
        In a level's pixels, of the objects that it is believed for.
    """

    def __init__(self, frame: Frame, seen_size: float) -> None:
        self.frame = frame
        self._seen_size = seen_size
        self._total = np.zeros((4, *frame.shape), np.float32)
        self._weights = np.zeros(frame.shape, np.float32)

    def add(self, block: LevelBlock) -> None:
        """Add what a block says to the samples in it."""
        (rows, row_index), (cols, col_index) = (
            self._samples_in(block.frame, axis) for axis in (0, 1)
        )
        octaves = block.values[3] + block.level - math.log2(self._seen_size)
        weight = np.exp(-((octaves / OCTAVES_SEEN) ** 2) / 2) + LEAST_WEIGHT
        # Before samples are picked: from afar there are far fewer.
        for total, seen in (
            (self._weights, weight),
            *zip(self._total, weight * block.values, strict=True),
        ):
            total[rows, cols] += seen.take(row_index, 0).take(col_index, 1)

    def _samples_in(self, frame: Frame, axis: int) -> tuple[slice, NDArray[np.intp]]:
        """Own samples whose centres lie in a frame, and the frame's for each."""
        origin, step = frame.origin[axis], frame.step[axis]
        ends = np.array([0, frame.shape[axis] * step]) + origin
        first, last = np.ceil(ends / self.frame.step[axis] - 0.5).astype(int)
        first, last = max(first, 0), min(last, self.frame.shape[axis])
        centres = (np.arange(first, last) + 0.5) * self.frame.step[axis]
        index = np.floor((centres - origin) / step).astype(np.intp)
        return slice(first, last), np.clip(index, 0, frame.shape[axis] - 1)

    def maps(self) -> DenseMaps:
        """The mean; every sample must have been in a block."""
        return self._part(slice(None), slice(None))

    def _part(self, rows: slice, cols: slice) -> DenseMaps:
        mean = self._total[:, rows, cols] / self._weights[rows, cols]
        foreground, centre, boundary, size = mean
        return DenseMaps(foreground, centre, boundary, self.frame, size)

    def share_below(self, size: float, box: NDArray[np.float64]) -> float:
        """Part of the foreground in a box that belongs to objects below a size.

        Near the image's border it is not told: what the border cuts looks small.

        Parameters
        ----------
        size : float
            In image pixels.
        box : ndarray of float, shape (2, 2)
            [[row0, col0], [row1, col1]] in image pixels.
        """
        step, side = self.frame.step, np.array(self.frame.shape)
        reach = size / 2 / step[0]
        inner = np.clip(box / step, reach, side - reach)
        (row0, col0), (row1, col1) = np.round(inner).astype(int)
        part = self._part(slice(row0, row1), slice(col0, col1))
        inside = part.foreground > FOREGROUND
        assert part.log_size is not None
        small = inside & (part.log_size < math.log2(size))
        count = int(np.count_nonzero(inside))
        return int(np.count_nonzero(small)) / max(count, 1)


class DenseFinder:
    """Suggests objects of an image that the bundled model has embedded.

    Parameters
    ----------
    framing : PyramidFraming
    """

    def __init__(self, framing: PyramidFraming) -> None:
        self._framing = framing

    def __call__(self, embedding: ImageEmbedding, progress: Report) -> list[Region]:
        """Return the regions of `suggest_regions`."""
        assert isinstance(embedding, PyramidEmbedding)
        blocks = list(look(self._framing, embedding, progress))
        return suggest_regions(blocks, embedding.image_shape)


def suggest_regions(
    blocks: Sequence[LevelBlock], image_shape: tuple[int, int]
) -> list[Region]:
    """Read objects out of the levels in several ways.

    Parameters
    ----------
    blocks : sequence of LevelBlock
        From `look`.
    image_shape : tuple of int
        (H, W).

    Returns
    -------
    list of Region
        They may overlap: an object may be suggested as a whole and in parts.
    """

    def mixed(seen_size: float) -> tuple[DenseMaps, float | None]:
        maps = mix_levels(blocks, image_shape, seen_size)
        return maps, usual_size(maps)

    sizes = dict.fromkeys(each.seen_size for each in READINGS)
    is_small = math.prod(image_shape) <= SAMPLES_SIDE_BY_SIDE
    # numpy and scipy use one core each, and let go of Python's lock.
    with ThreadPoolExecutor(len(READINGS) if is_small else 1) as pool:
        seen = dict(zip(sizes, pool.map(mixed, sizes), strict=True))
        found = pool.map(lambda each: _read_out(each, *seen[each.seen_size]), READINGS)
        return drop_repeats([region for regions in found for region in regions])


def _read_out(reading: Reading, maps: DenseMaps, size: float | None) -> list[Region]:
    """The regions that one way of reading finds in maps mixed for it."""
    if size is None:
        return []
    return find_regions(maps, Splitting(reading.smoothing * size, reading.prominence))


def mix_levels(
    blocks: Sequence[LevelBlock], image_shape: tuple[int, int], seen_size: float
) -> DenseMaps:
    """Mix what the levels say, on the grid of the finest one.

    Parameters
    ----------
    blocks : sequence of LevelBlock
        From `look`.
    image_shape : tuple of int
        (H, W).
    seen_size : float
        In a level's pixels, of the objects that it is believed for.
    """
    step = max(SMALLEST_STEP, min(block.frame.step[0] for block in blocks))
    while image_shape[0] * image_shape[1] / step**2 > MOST_SAMPLES:
        step *= 2
    mixture = Mixture(_grid(image_shape, step), seen_size)
    for block in blocks:
        mixture.add(block)
    return mixture.maps()


def _grid(shape: tuple[int, int], step: float) -> Frame:
    """Samples of a side over a whole image."""
    height, width = (math.ceil(side / step) for side in shape)
    return Frame((0.0, 0.0), (step, step), (height, width))


def look(
    framing: PyramidFraming, embedding: PyramidEmbedding, report: Report
) -> Iterator[LevelBlock]:
    """Look at an image coarse to fine, and finer where something small is.

    Parameters
    ----------
    framing : PyramidFraming
    embedding : PyramidEmbedding
    report : callable
        Called with the number of blocks done and of those known to be needed.
    """
    level = framing.views.coarsest_level(embedding)
    survey = Mixture(_grid(embedding.image_shape, SURVEY_STEP), WANTED_SIZE)
    wanted = framing.blocks.wanted_blocks(embedding, level, lambda _box: True)
    done, total = 0, len(wanted)
    while wanted:
        for key in wanted:
            report(done, total)
            seen = _read(framing.blocks.dense_block(embedding, key), level)
            survey.add(seen)
            yield seen
            done += 1
        level += 1
        wanted = _worth_a_look(framing, embedding, survey, level)
        total += len(wanted)


def _read(dense: DenseBlock, level: int) -> LevelBlock:
    maps, frame = dense.cut()
    values = maps.astype(np.float32)
    values[0] = expit(values[0])
    np.clip(values[1:3], 0, 1, out=values[1:3])
    values[3] = OCTAVES * values[3] - level
    return LevelBlock(level, values, frame)


def _worth_a_look(
    framing: PyramidFraming,
    embedding: PyramidEmbedding,
    survey: Mixture,
    level: int,
) -> list[BlockKey]:
    """Blocks of a level that the coarser ones show to be needed."""
    if level > FINEST_LEVEL:
        return []
    size = WORTH_ENLARGING * 2.0 ** (1 - level)

    def is_needed(box: NDArray[np.float64]) -> bool:
        return level <= 0 or survey.share_below(size, box) >= ENOUGH

    return framing.blocks.wanted_blocks(embedding, level, is_needed)
