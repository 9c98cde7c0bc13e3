"""Objects that the bundled model's dense head suggests, each at the scale it suits."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator

import numpy as np
from scipy.special import expit, logit

from napari_sam.geometry import frame_to_image
from napari_sam.inference.blocks import DenseBlock, PyramidEmbedding
from napari_sam.inference.framing import ImageEmbedding
from napari_sam.inference.pyramid import PyramidFraming
from napari_sam.inference.regions import FOREGROUND, DenseMaps, Region, find_regions

FINEST_LEVEL = 2
# Objects are taken from a level where they are so wide, in the level's pixels.
SMALLEST, LARGEST = 36.0, 72.0
# Where something is smaller than this, the next finer level is looked at too ...
WORTH_ENLARGING = 40.0
# ... if it is seen in so many samples of a block.
ENOUGH_SAMPLES = 12
# Seeds are looked for after smoothing by each of these, in samples.
SMOOTHINGS = (2.0, 4.0)
# Side of a sample in the level's pixels.
SAMPLE = 2.0
# The dense head gives sizes in units of so many octaves.
OCTAVES = 8.0

Report = Callable[[int, int], object]
Blocks = set[tuple[int, int]]


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
        return suggest_regions(self._framing, embedding, progress)


def suggest_regions(
    framing: PyramidFraming, embedding: PyramidEmbedding, report: Report
) -> list[Region]:
    """Look at an image coarse to fine and collect the objects that it suggests.

    Parameters
    ----------
    framing : PyramidFraming
    embedding : PyramidEmbedding
    report : callable
        Called with the number of blocks done and of those known to be needed.

    Returns
    -------
    list of Region
        They overlap: an object may be suggested at two levels, as a whole and in parts.
    """
    found: list[Region] = []
    level = coarsest = framing.coarsest_level(embedding)
    wanted: Blocks = set(np.ndindex(*framing.blocks.block_grid(embedding, level)))
    done, total = 0, len(wanted)
    while wanted:
        finer: Blocks = set()
        for block in sorted(wanted):
            report(done, total)
            dense = framing.blocks.dense_block(embedding, level, block)
            found += _regions_of(dense, level, coarsest)
            finer |= _worth_enlarging(framing, embedding, dense, level)
            done += 1
        wanted, level = finer, level + 1
        total += len(wanted)
    return found


def as_maps(dense: DenseBlock) -> DenseMaps:
    """The maps of a block, the foreground as a probability."""
    foreground, centre, boundary, size = dense.maps
    return DenseMaps(
        expit(foreground),
        np.clip(centre, 0, 1),
        np.clip(boundary, 0, 1),
        dense.frame,
        size * OCTAVES + math.log2(dense.frame.step[0] / SAMPLE),
    )


def _regions_of(dense: DenseBlock, level: int, coarsest: int) -> Iterator[Region]:
    """Regions seeded in a block's core, of a size that suits the level."""
    smallest = 0.0 if level == FINEST_LEVEL else SMALLEST
    largest = math.inf if level == coarsest else LARGEST
    maps, (row0, col0, row1, col1) = as_maps(dense), dense.core
    for smoothing in SMOOTHINGS:
        for region in find_regions(maps, smoothing):
            row, col = region.seed
            size = SAMPLE * math.sqrt(np.count_nonzero(region.mask))
            is_core = row0 <= row < row1 and col0 <= col < col1
            if is_core and smallest <= size <= largest:
                yield region


def _worth_enlarging(
    framing: PyramidFraming, embedding: PyramidEmbedding, dense: DenseBlock, level: int
) -> Blocks:
    """Blocks of the next finer level that a block's core shows to be needed."""
    if level == FINEST_LEVEL:
        return set()
    row0, col0, row1, col1 = dense.core
    rows, cols = framing.blocks.block_grid(embedding, level + 1)
    core = dense.maps[:, row0:row1, col0:col1]
    origin = frame_to_image(np.array([row0, col0]), dense.frame)
    side = framing.blocks.core_side(embedding, level + 1)
    is_small = (core[0] > logit(FOREGROUND)) & (
        core[3] * OCTAVES < math.log2(WORTH_ENLARGING)
    )
    needed: Blocks = set()
    for row, col in np.ndindex(rows, cols):
        start = (np.array([row, col]) * side - origin) / dense.frame.step
        stop = start + side / dense.frame.step[0]
        r0, c0, r1, c1 = np.clip(np.round([*start, *stop]), 0, None).astype(int)
        part = is_small[r0:r1, c0:c1]
        if part.size and (level < 0 or np.count_nonzero(part) >= ENOUGH_SAMPLES):
            needed.add((row, col))
    return needed
