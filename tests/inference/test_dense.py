"""Levels of the pyramid mixed to one map, with a head that sees one size well."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_sam.inference.blocks import BlockEncoder, DenseBlock, PyramidEmbedding
from napari_sam.inference.dense import MOST_SAMPLES, DenseFinder, look, mix_levels
from napari_sam.inference.pyramid import PyramidFraming
from napari_sam.inference.tiling import BlockKey, Tiling
from napari_sam.nn.pocket import Pocket
from napari_sam.structures import Frame
from napari_sam.training.targets import dense_targets

from .test_regions import discs

# An object is seen if its side in a level's pixels lies between these; a larger one
# falls apart, a smaller one is part of a haze.
LEAST, MOST = 8, 100


@dataclass
class KnowingBlocks:
    """Cuts blocks of 256 level pixels out of labels, without a margin."""

    labels: NDArray[np.int32]
    core: int = 256

    def wanted_blocks(self, _embedding: Any, level: int, wanted: Any) -> list[BlockKey]:
        side = self.core * 2.0**-level
        grid = (max(1, -(-length // int(side))) for length in self.labels.shape)
        corners = {index: np.array(index) * side for index in np.ndindex(*grid)}
        return [
            BlockKey(level, *index)
            for index, corner in corners.items()
            if wanted(np.stack([corner, np.minimum(corner + side, self.labels.shape)]))
        ]

    def dense_block(self, embedding: Any, key: BlockKey) -> DenseBlock:
        level, *block, _ = key
        step = 2.0 * 2.0**-level
        rows, cols = (
            ((np.arange(int(side / step)) + 0.5) * step).astype(int)
            for side in self.labels.shape
        )
        maps = self._maps(self.labels[rows[:, None], cols], level)
        samples = self.core // 2
        (row, col), origin = block, []
        origin = (row * samples * step, col * samples * step)
        part = maps[
            :,
            row * samples : (row + 1) * samples,
            col * samples : (col + 1) * samples,
        ]
        shape = part.shape[1:]
        return DenseBlock(part, Frame(origin, (step, step), shape), (0, 0, *shape))

    def _maps(self, labels: NDArray[np.int32], level: int) -> NDArray[np.float32]:
        maps = dense_targets(labels)
        # Sizes are told in the level's pixels, two of which are a sample.
        maps[3] += (labels > 0) / 8
        seen = 2.0 ** (8 * maps[3])
        foreground = np.where(labels > 0, 6.0, -6.0)
        foreground[(labels > 0) & (seen < LEAST)] = -1
        broken = seen > MOST
        stripes = np.indices(labels.shape).sum(0) % 16 < 8
        maps[1:3, broken & stripes] = 0
        maps[3, broken] = np.log2(MOST) / 8
        return np.stack([foreground, *maps[1:]]).astype(np.float32)


@dataclass
class KnowingFraming:
    blocks: KnowingBlocks

    @property
    def views(self) -> KnowingFraming:
        return self

    def coarsest_level(self, embedding: PyramidEmbedding) -> int:
        return min(0, int(np.floor(np.log2(256 / max(embedding.image_shape)))))


def blank(shape: tuple[int, int]) -> PyramidEmbedding:
    return PyramidEmbedding(shape, "pocket", np.zeros((3, *shape), np.float32))


def ignore(_done: int, _total: int) -> None:
    pass


def test_small_and_large_objects_are_found_in_one_image() -> None:
    small = [(row, col, 6) for row in range(20, 480, 40) for col in range(20, 180, 40)]
    labels = discs((500, 600), [*small, (150, 350, 90), (400, 480, 90)])
    framing = KnowingFraming(KnowingBlocks(labels))
    regions = DenseFinder(framing)(blank(labels.shape), ignore)  # type: ignore[arg-type]
    found = {}
    for region in regions:
        row, col = (round(each) for each in region.centre)
        if region.size_mismatch < 0.3:
            found[labels[row, col]] = region.area
    true = {i: np.count_nonzero(labels == i) for i in range(1, labels.max() + 1)}
    assert found.keys() == true.keys()
    for index, area in found.items():
        assert area == pytest.approx(true[index], rel=0.2)


def test_finer_levels_are_looked_at_only_where_something_is_small() -> None:
    labels = discs((512, 512), [(128, 128, 60), (384, 384, 60)])
    seen: list[tuple[int, int]] = []
    framing = KnowingFraming(KnowingBlocks(labels))
    blocks = look(
        framing,  # type: ignore[arg-type]
        blank(labels.shape),
        lambda done, total: seen.append((done, total)),
    )
    maps = mix_levels(list(blocks), labels.shape, 48.0)
    assert seen == [(0, 1), (1, 5), (2, 5), (3, 5), (4, 5)]
    assert maps.frame.step == (2.0, 2.0)
    assert maps.frame.shape == (256, 256)


def test_what_the_border_cuts_is_not_small() -> None:
    def looked_at(*places: tuple[int, int, int]) -> int:
        framing = KnowingFraming(KnowingBlocks(discs((512, 512), list(places))))
        image = blank((512, 512))
        blocks = list(look(framing, image, ignore))  # type: ignore[arg-type]
        return sum(each.level > 0 for each in blocks)

    large = (128, 128, 60), (384, 384, 60)
    assert looked_at(*large, (256, -55, 60), (560, 200, 60)) == 0
    assert looked_at(*large, (256, 40, 10), (470, 200, 10)) > 0


def test_progress_may_stop_the_work() -> None:
    def stop(_done: int, _total: int) -> None:
        raise InterruptedError

    framing = KnowingFraming(KnowingBlocks(discs((300, 300), [(100, 100, 20)])))
    with pytest.raises(InterruptedError):
        list(look(framing, blank((300, 300)), stop))  # type: ignore[arg-type]


def test_blocks_of_the_model_fit_together(monkeypatch: pytest.MonkeyPatch) -> None:
    """What blocks say lands where they lie, whatever their margins."""
    framing = PyramidFraming(Pocket().eval())
    shape = (700, 1100)

    def dense(self: BlockEncoder, embedding: Any, key: BlockKey) -> DenseBlock:
        found = inner(self, embedding, key)
        rows, cols = (
            origin + (np.arange(length) + 0.5) * step
            for origin, length, step in zip(
                found.frame.origin, found.frame.shape, found.frame.step, strict=True
            )
        )
        maps = np.zeros((4, *found.frame.shape), np.float32)
        maps[1], maps[2] = rows[:, None] / 2000, cols / 2000
        maps[3] = np.log2(48) / 8
        return DenseBlock(maps, found.frame, found.core)

    def unseen(self: BlockEncoder, embedding: Any, key: Any) -> Any:
        spans = framing_spans(embedding, key)
        dense = np.zeros((1, 4, *(length // 2 for length in spans)), np.float32)
        import torch

        return type("Features", (), {"dense": torch.from_numpy(dense)})

    def framing_spans(embedding: Any, key: BlockKey) -> list[int]:
        tiling = Tiling.of(key.level, embedding.image_shape, key.is_wide)
        return [stop - start for start, stop in tiling.spans(key, 256)]

    inner = BlockEncoder.dense_block
    monkeypatch.setattr(BlockEncoder, "dense_block", dense)
    monkeypatch.setattr(BlockEncoder, "_block", unseen)
    maps = mix_levels(list(look(framing, blank(shape), ignore)), shape, 48.0)
    rows = (np.arange(maps.frame.shape[0]) + 0.5) * maps.frame.step[0]
    cols = (np.arange(maps.frame.shape[1]) + 0.5) * maps.frame.step[1]
    np.testing.assert_allclose(2000 * maps.centre, rows[:, None] + 0 * cols, atol=4.1)
    np.testing.assert_allclose(2000 * maps.boundary, cols + 0 * rows[:, None], atol=4.1)
    assert np.prod(maps.frame.shape) <= MOST_SAMPLES
