from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from napari_sam.errors import PromptError
from napari_sam.geometry import mask_to_box
from napari_sam.inference.linking import LinkSettings, link_slices
from napari_sam.inference.volume import VolumeSegmenter
from napari_sam.inference.volume_automatic import segment_volume
from napari_sam.inference.volume_planes import VolumePlanes
from napari_sam.inference.volume_steps import PropagationSettings
from napari_sam.structures import MaskRecord

from .volume_fakes import BrightPredictor, balls

SHAPE = (20, 40, 44)
TWO = [(7, 12, 12), (12, 27, 30)]


def records(plane: np.ndarray) -> list[MaskRecord]:
    found = []
    for identifier in np.unique(plane[plane > 0]):
        mask = plane == identifier
        row0, col0, row1, col1 = mask_to_box(mask) or (0, 0, 0, 0)
        part = mask[row0:row1, col0:col1]
        found.append(MaskRecord(part, (row0, col0), 0.8, 0.9))
    return found


def shuffled(labels: np.ndarray) -> list[Sequence[MaskRecord]]:
    """The objects of each slice, in another order in each."""
    generator = np.random.default_rng(0)
    planes = [records(plane) for plane in labels]
    for each in planes:
        generator.shuffle(each)  # type: ignore[arg-type]
    return planes


def test_slices_are_linked_whatever_their_order() -> None:
    labels = balls(SHAPE, TWO, 6.5)
    found = link_slices(shuffled(labels), SHAPE)
    np.testing.assert_array_equal(found.labels(), labels)


def test_a_missing_slice_is_bridged_and_two_are_not() -> None:
    labels = balls(SHAPE, TWO[:1], 6.5)
    planes = shuffled(labels)
    planes[7] = []
    found = link_slices(planes, SHAPE)
    assert len(found.objects) == 1
    assert (found.labels()[7] > 0).sum() > 0.8 * (labels[7] > 0).sum()
    planes[8] = []
    assert len(link_slices(planes, SHAPE).objects) == 2
    assert len(link_slices(planes, SHAPE, settings=LinkSettings(gap=2)).objects) == 1


def test_small_and_flat_objects_are_dropped() -> None:
    labels = balls(SHAPE, TWO[:1], 6.5)
    labels[3, 30:36, 30:36] = 2
    labels[10:14, 35:37, 5:7] = 3
    assert set(link_slices(shuffled(labels), SHAPE).objects) == {1}
    all_kept = LinkSettings(min_slices=1, min_voxels=1)
    assert len(link_slices(shuffled(labels), SHAPE, settings=all_kept).objects) == 3


def test_objects_that_lie_on_each_other_are_cut_at_the_neck() -> None:
    labels = balls((28, 40, 44), [(7, 20, 20), (20, 20, 20)], 6.5)
    one = (labels > 0).astype(np.int32)
    whole = link_slices(shuffled(one), labels.shape, settings=LinkSettings(neck=0))
    assert len(whole.objects) == 1
    cut = link_slices(shuffled(one), labels.shape)
    assert len(cut.objects) == 2
    np.testing.assert_array_equal(cut.labels()[:13], labels[:13])
    np.testing.assert_array_equal(cut.labels()[14:], labels[14:])
    single = link_slices(shuffled(balls(SHAPE, TWO, 6.5)), SHAPE)
    assert len(single.objects) == 2


def test_objects_that_lie_on_each_other_are_cut_where_it_is_darker() -> None:
    labels = np.zeros((11, 40, 44), np.int32)
    labels[:, 10:30, 12:32] = 1
    volume = np.where(labels > 0, 0.8, 0.1).astype(np.float32)
    volume[5][labels[5] > 0] = 0.5
    alike = link_slices(shuffled(labels), labels.shape)
    assert len(alike.objects) == 1
    told = link_slices(shuffled(labels), labels.shape, brightness=lambda n: volume[n])
    assert [sorted(each.slices) for each in told.objects.values()] == [
        [0, 1, 2, 3, 4],
        [5, 6, 7, 8, 9, 10],
    ]
    # So it is with dark objects on bright ground.
    told = link_slices(
        shuffled(labels), labels.shape, brightness=lambda n: 1 - volume[n]
    )
    assert len(told.objects) == 2


def test_the_best_overlaps_together_decide() -> None:
    # Greedily, the long bar would go on in the middle and the short one end.
    labels = np.zeros((2, 10, 30), np.int32)
    labels[0, 2:8, 0:10], labels[0, 2:8, 10:20] = 1, 2
    labels[1, 2:8, 3:13], labels[1, 2:8, 13:23] = 1, 2
    found = link_slices(shuffled(labels), labels.shape)
    np.testing.assert_array_equal(found.labels() > 0, labels > 0)
    for each in found.objects.values():
        assert len(each.slices) == 2


def test_thick_slices_may_overlap_less() -> None:
    labels = np.zeros((2, 10, 30), np.int32)
    labels[0, 2:8, 0:10] = labels[1, 2:8, 6:16] = 1
    assert not link_slices(shuffled(labels), labels.shape).objects
    thick = LinkSettings(anisotropy=4)
    assert len(link_slices(shuffled(labels), labels.shape, settings=thick).objects) == 1
    with pytest.raises(PromptError, match="min_iou"):
        LinkSettings(min_iou=2)


@pytest.mark.parametrize("refine", [False, True])
def test_a_volume_is_segmented_without_prompts(refine: bool) -> None:
    labels = balls(SHAPE, TWO, 6.5)
    volume = np.where(labels > 0, 255, 0).astype(np.uint8)
    settings = PropagationSettings(max_area_ratio=6, min_overlap=0.1)
    segmenter = VolumeSegmenter(BrightPredictor(), settings)  # type: ignore[arg-type]

    def find(_: object, __: VolumePlanes, index: int) -> list[MaskRecord]:
        # The last slices of each object are not found: refinement adds them.
        return records(labels[index]) if 3 <= index <= 16 else []

    found = segment_volume(segmenter, volume, find=find, refine=refine)
    wanted = labels.copy()
    if not refine:
        wanted[:3] = wanted[17:] = 0
    np.testing.assert_array_equal(found.labels(), wanted)


def test_cancelling_keeps_the_slices_done() -> None:
    labels = balls(SHAPE, TWO, 6.5)
    segmenter = VolumeSegmenter(BrightPredictor())  # type: ignore[arg-type]
    done: list[int] = []
    found = segment_volume(
        segmenter,
        np.where(labels > 0, 255, 0).astype(np.uint8),
        find=lambda _, __, index: records(labels[index]),
        progress=lambda n, _: done.append(n),
        should_cancel=lambda: len(done) == 6,
    )
    assert not found.complete
    assert found.indices == [1, 2, 3, 4, 5]


def test_cancelling_while_objects_are_followed_keeps_what_was_linked() -> None:
    labels = balls(SHAPE, TWO, 6.5)
    segmenter = VolumeSegmenter(BrightPredictor())  # type: ignore[arg-type]
    volume = np.where(labels > 0, 255, 0).astype(np.uint8)
    done: list[int] = []
    found = segment_volume(
        segmenter,
        volume,
        find=lambda _, __, index: records(labels[index]),
        progress=lambda n, _: done.append(n),
        should_cancel=lambda: len(done) == 23,
    )
    assert not found.complete
    np.testing.assert_array_equal(found.labels(), labels)
    told: list[tuple[int, int | None]] = []
    segment_volume(
        segmenter,
        volume,
        find=lambda _, __, index: records(labels[index]),
        progress=lambda n, total: told.append((n, total)),
    )
    assert told == sorted(told)
    assert {total for _, total in told} == {60}
    assert told[-1][0] == 60
