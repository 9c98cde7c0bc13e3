from __future__ import annotations

import numpy as np

from napari_sam.geometry import mask_to_box
from napari_sam.inference.volume import VolumeSegmenter
from napari_sam.inference.volume_planes import VolumePlanes
from napari_sam.inference.volume_vote import segment_by_vote, vote
from napari_sam.structures import MaskRecord

from .volume_fakes import BrightPredictor, balls

SHAPE = (24, 30, 34)
TWO = [(9, 10, 10), (13, 19, 23)]


def test_two_of_three_decide() -> None:
    labels = balls(SHAPE, TWO, 6)
    one, other, third = labels.copy(), labels[::1].copy(), labels.copy()
    # Each volume numbers its objects in its own way, and errs in its own.
    other[labels == 1], other[labels == 2] = 2, 1
    one[labels == 2] = 0
    third[12] = 0
    other[:, :2, :2] = 7
    voted, members = vote([one, other, third])
    ids = [np.unique(voted[labels == n]) for n in (1, 2)]
    assert [len(each) for each in ids] == [1, 2]  # slice 12 of the second is lost
    np.testing.assert_array_equal(voted == ids[0][0], labels == 1)
    second = (labels == 2) & (third > 0)
    np.testing.assert_array_equal(voted == ids[1].max(), second)
    assert sorted(len(each) for each in members.values()) == [2, 3]


def test_what_one_axis_misses_is_found() -> None:
    labels = balls(SHAPE, TWO, 6)
    segmenter = VolumeSegmenter(BrightPredictor())  # type: ignore[arg-type]
    told: list[tuple[int, int | None]] = []

    def find(_: object, planes: VolumePlanes, index: int) -> list[MaskRecord]:
        axis = planes.source.axis
        plane = np.take(labels, index, axis)
        found = []
        for n in np.unique(plane[plane > 0]):
            if axis == 0 and n == 2:
                continue
            row0, col0, row1, col1 = mask_to_box(plane == n) or (0, 0, 0, 0)
            part = plane[row0:row1, col0:col1] == n
            found.append(MaskRecord(part, (row0, col0), 0.6 + 0.1 * axis, 0.9))
        return found

    volume = np.where(labels > 0, 255, 0).astype(np.uint8)
    found = segment_by_vote(
        segmenter, volume, find=find, progress=lambda *done: told.append(done)
    )
    assert told[-1] == (sum(SHAPE), sum(SHAPE))
    # The caps that are one slice thick along an axis do not matter to the others.
    assert ((found.labels() > 0) == (labels > 0)).mean() > 0.995
    sure = sorted(each.slices[11].confidence for each in found.objects.values())
    np.testing.assert_allclose(sure, [0.7, 0.75])


def test_cancelling_gives_what_one_axis_found() -> None:
    labels = balls(SHAPE, TWO, 6)
    segmenter = VolumeSegmenter(BrightPredictor())  # type: ignore[arg-type]
    told: list[int] = []
    found = segment_by_vote(
        segmenter,
        np.where(labels > 0, 255, 0).astype(np.uint8),
        find=lambda *_: [],
        progress=lambda done, _: told.append(done),
        should_cancel=lambda: len(told) == 30,
    )
    assert not found.complete
    assert not found.objects
