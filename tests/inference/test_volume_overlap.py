"""Which of several objects a pixel of a slice goes to."""

from __future__ import annotations

import numpy as np

from napari_sam.inference.volume import VolumeSegmenter, clicks_in_volume
from napari_sam.inference.volume_overlap import resolve_overlaps
from napari_sam.inference.volume_result import SliceMask
from napari_sam.structures import MaskRecord
from tests.inference.volume_fakes import BrightPredictor

SHAPE = (20, 40)


def bar(
    start: int, stop: int, confidence: float, rank: int = 0, height: int = 10
) -> SliceMask:
    """A mask from one column to another."""
    record = MaskRecord(np.ones((height, stop - start), bool), (5, start), 0.9, 1.0)
    return SliceMask(record, confidence, rank)


def test_masks_apart_stay_as_they_are() -> None:
    masks = {1: bar(0, 10, 0.5), 2: bar(12, 20, 0.9)}
    kept = resolve_overlaps(masks, SHAPE)
    assert all(kept[n] is masks[n] for n in masks)


def test_the_more_confident_mask_keeps_its_pixels() -> None:
    kept = resolve_overlaps({1: bar(0, 12, 0.5), 2: bar(8, 20, 0.9)}, SHAPE)
    assert kept[1].area == 80
    assert kept[2].area == 120


def test_a_mask_within_another_is_an_object_of_its_own() -> None:
    # The first has leaked into the second, and is surer of itself.
    kept = resolve_overlaps({1: bar(0, 30, 0.9), 2: bar(18, 30, 0.4)}, SHAPE)
    assert kept[1].area == 180
    assert kept[2].area == 120


def test_masks_within_each_other_all_stay() -> None:
    masks = {1: bar(0, 40, 0.9), 2: bar(0, 19, 0.6), 3: bar(0, 9, 0.3)}
    kept = resolve_overlaps(masks, SHAPE)
    assert {n: each.area for n, each in kept.items()} == {1: 210, 2: 100, 3: 90}


def test_what_a_person_prompted_is_not_cut() -> None:
    kept = resolve_overlaps({1: bar(0, 30, 0.5, rank=1), 2: bar(18, 30, 0.9)}, SHAPE)
    assert kept[1].area == 300
    assert 2 not in kept


def test_one_of_two_claims_to_the_same_goes_to_the_nearer_anchor() -> None:
    masks = {1: bar(0, 20, 0.8), 2: bar(1, 20, 0.7)}
    assert set(resolve_overlaps(masks, SHAPE)) == {1}
    assert set(resolve_overlaps(masks, SHAPE, ways={1: 9, 2: 1})) == {2}


def test_an_object_whose_place_is_taken_says_so() -> None:
    volume = np.full((8, *SHAPE), 20, np.uint8)
    volume[:, 5:15, 2:18] = 220
    segmenter = VolumeSegmenter(BrightPredictor())  # type: ignore[arg-type]
    # Two clicks on one bar, in the first slice and farther on.
    found = segmenter.propagate(volume, clicks_in_volume([(0, 10, 8), (6, 10, 8)]))
    first, second = found.objects[1], found.objects[2]
    assert {*first.slices} | {*second.slices} == set(range(8))
    assert not {*first.slices} & {*second.slices}
    assert 0 in first.slices
    assert 6 in second.slices
    assert first.ended["forward"] == (6, "another object is there")
    assert second.ended["backward"][1] == "another object is there"
