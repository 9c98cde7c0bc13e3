from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_sam.errors import ImageError, PromptError
from napari_sam.inference.volume import VolumeSegmenter, clicks_in_volume
from napari_sam.inference.volume_result import SliceMask
from napari_sam.inference.volume_steps import PropagationSettings
from napari_sam.structures import BoxPrompt, PointPrompt, PromptSet

from .volume_fakes import BrightPredictor, balls

CENTRES = [(8, 10, 12), (14, 30, 30)]


@pytest.fixture
def labels() -> NDArray[np.int32]:
    return balls((24, 44, 48), CENTRES, 6.5)


@pytest.fixture
def volume(labels: NDArray[np.int32]) -> NDArray[np.uint16]:
    return np.where(labels > 0, 3000, 200).astype(np.uint16)


def click(row: float, col: float) -> PromptSet:
    return PromptSet(points=(PointPrompt((row, col)),))


@pytest.fixture
def segmenter() -> VolumeSegmenter:
    # Balls end abruptly: their caps change more than objects under a microscope do.
    settings = PropagationSettings(max_area_ratio=6, min_overlap=0.1)
    return VolumeSegmenter(BrightPredictor(), settings)  # type: ignore[arg-type]


def encoded(segmenter: VolumeSegmenter) -> int:
    return segmenter.predictor.framing.encoded  # type: ignore[attr-defined, no-any-return]


def test_clicks_fill_objects_and_every_slice_is_embedded_once(
    segmenter: VolumeSegmenter, volume: NDArray, labels: NDArray
) -> None:
    found = segmenter.propagate(volume, clicks_in_volume(CENTRES))
    np.testing.assert_array_equal(found.labels(), labels)
    assert encoded(segmenter) <= 24
    assert found.complete
    assert found.objects[1].ended["forward"][0] == 15
    assert found.objects[1].ended["backward"][0] == 1


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_any_axis_can_be_walked(
    segmenter: VolumeSegmenter, volume: NDArray, labels: NDArray, axis: int
) -> None:
    found = segmenter.propagate(volume, clicks_in_volume(CENTRES, axis), axis=axis)
    np.testing.assert_array_equal(found.labels(), labels)


@pytest.mark.parametrize("channel_axis", [0, 1, 3])
def test_channels_may_be_anywhere(
    segmenter: VolumeSegmenter, volume: NDArray, labels: NDArray, channel_axis: int
) -> None:
    stacked = np.stack([volume, volume], axis=channel_axis)
    walked = 1 if channel_axis == 0 else 0
    found = segmenter.propagate(
        stacked, clicks_in_volume(CENTRES), axis=walked, channel_axis=channel_axis
    )
    np.testing.assert_array_equal(found.labels(), labels)


class Lazy:
    """A volume that only gives single slices, and remembers which."""

    def __init__(self, volume: NDArray) -> None:
        self._volume = volume
        self.shape, self.dtype = volume.shape, volume.dtype
        self.read: list[int] = []

    def __getitem__(self, key: Any) -> NDArray:
        assert isinstance(key[0], int)
        self.read.append(key[0])
        return self._volume[key]


def test_only_needed_slices_are_read(
    segmenter: VolumeSegmenter, volume: NDArray, labels: NDArray
) -> None:
    deep = np.concatenate([volume, np.full((200, 44, 48), 200, np.uint16)])
    lazy = Lazy(deep)
    found = segmenter.propagate(lazy, clicks_in_volume(CENTRES[:1]))
    assert found.objects[1].voxels == (labels == 1).sum()
    assert len(set(lazy.read)) < 40


def test_kept_features_are_bounded(
    segmenter: VolumeSegmenter, volume: NDArray, labels: NDArray
) -> None:
    planes = segmenter.open(volume, cache_bytes=5 * 44 * 48 * 4 * 4)
    found = segmenter.propagate(planes, clicks_in_volume(CENTRES))
    np.testing.assert_array_equal(found.labels(), labels)
    assert len(planes._kept) <= 5


def test_limits_and_direction_bound_the_walk(
    segmenter: VolumeSegmenter, volume: NDArray
) -> None:
    prompts = clicks_in_volume(CENTRES[:1])
    found = segmenter.propagate(volume, prompts, limits=(6, 10))
    assert found.indices == [6, 7, 8, 9]
    found = segmenter.propagate(volume, prompts, direction="forward")
    assert found.indices == list(range(8, 15))
    found = segmenter.propagate(volume, prompts, direction="backward")
    assert found.indices == list(range(2, 9))


def test_cancelling_keeps_what_was_found(
    segmenter: VolumeSegmenter, volume: NDArray
) -> None:
    done: list[int] = []
    found = segmenter.propagate(
        volume,
        clicks_in_volume(CENTRES[:1]),
        progress=lambda n, _: done.append(n),
        should_cancel=lambda: len(done) >= 3,
    )
    assert not found.complete
    assert found.indices == [8, 9, 10]
    assert done == [1, 2, 3]


def test_slices_are_told_as_they_come(
    segmenter: VolumeSegmenter, volume: NDArray
) -> None:
    told: list[tuple[int, dict[int, SliceMask]]] = []
    segmenter.propagate(
        volume,
        clicks_in_volume(CENTRES[:1]),
        on_slice=lambda index, masks: told.append((index, masks)),
    )
    assert [index for index, _ in told[:3]] == [8, 9, 10]
    assert all(set(masks) == {1} for _, masks in told)


def test_an_object_missing_in_one_slice_is_bridged(
    segmenter: VolumeSegmenter, volume: NDArray, labels: NDArray
) -> None:
    volume[10] = 200
    found = segmenter.propagate(volume, clicks_in_volume(CENTRES[:1]))
    shared = found.labels()[10].astype(bool) & (labels[10] == 1)
    assert shared.sum() > 0.8 * (labels[10] == 1).sum()
    assert found.objects[1].worst_slice() == 10


def test_touching_objects_keep_to_themselves(segmenter: VolumeSegmenter) -> None:
    labels = balls((16, 40, 40), [(8, 20, 12), (8, 20, 25)], 6.6)
    volume = np.where(labels > 0, 255, 0).astype(np.uint8)
    split = labels.copy()
    split[:, :, 18:20] = 0
    # In one slice the two are one bright piece, and both claim it.
    volume[split == 0] = 0
    volume[10] = np.where(labels[10] > 0, 255, 0)
    found = segmenter.propagate(volume, clicks_in_volume([(8, 20, 12), (8, 20, 25)]))
    own, other = found.objects[1], found.objects[2]
    shared = set(own.slices) & set(other.slices)
    for index in shared:
        assert not (
            own.slices[index].full((40, 40)) & other.slices[index].full((40, 40))
        ).any()


def test_a_confirmed_slice_is_taken_over_and_never_altered(
    segmenter: VolumeSegmenter, volume: NDArray
) -> None:
    mine = np.zeros((44, 48), dtype=bool)
    mine[8:12, 9:15] = True
    found = segmenter.propagate(
        volume, clicks_in_volume(CENTRES[:1]), confirmed={1: {11: mine}}
    )
    np.testing.assert_array_equal(found.objects[1].slices[11].full((44, 48)), mine)
    assert found.objects[1].confidence[11] == 1
    again = segmenter.correct(volume, found, {1: {5: click(10, 12)}})
    np.testing.assert_array_equal(again.objects[1].slices[11].full((44, 48)), mine)


def test_an_empty_confirmed_slice_ends_an_object(
    segmenter: VolumeSegmenter, volume: NDArray
) -> None:
    found = segmenter.propagate(volume, clicks_in_volume(CENTRES[:1]))
    nothing = np.zeros((44, 48), dtype=bool)
    ended = segmenter.correct(volume, found, confirmed={1: {11: nothing}})
    assert ended.indices == list(range(2, 11))
    assert found.indices == list(range(2, 15))


def test_a_correction_redoes_only_its_own_stretch(
    segmenter: VolumeSegmenter, volume: NDArray
) -> None:
    prompts = clicks_in_volume(CENTRES)
    prompts[1][4] = click(10, 12)
    planes = segmenter.open(volume)
    found = segmenter.propagate(planes, prompts)
    # Masks of the one stretch were worse than what is found there now.
    for index in (10, 11, 12, 13, 14):
        found.objects[1].slices[index] = shrunk(found.objects[1].slices[index])
    fixed = segmenter.correct(planes, found, {1: {12: click(10, 12)}})
    before, after = found.objects[1].slices, fixed.objects[1].slices
    assert all(before[n] is after[n] for n in range(2, 10))
    assert all(before[n] is not after[n] for n in range(12, 15))
    assert fixed.objects[2].slices == found.objects[2].slices
    assert fixed.objects[1].anchors == {4, 8, 12}


def shrunk(found: SliceMask) -> SliceMask:
    """The upper half of a mask, of which the model would be less sure."""
    mask = found.record.mask.copy()
    mask[mask.shape[0] // 2 :] = False
    return replace(found, record=replace(found.record, mask=mask), confidence=0.5)


def test_a_correction_that_changes_nothing_leaves_all_as_it_was(
    segmenter: VolumeSegmenter, volume: NDArray
) -> None:
    planes = segmenter.open(volume)
    found = segmenter.propagate(planes, clicks_in_volume(CENTRES[:1]))
    asked = segmenter.predictor.framing.asked  # type: ignore[attr-defined]
    steps = len(asked)
    fixed = segmenter.correct(planes, found, {1: {12: click(10, 12)}})
    before, after = found.objects[1].slices, fixed.objects[1].slices
    assert all(before[n] is after[n] for n in before if n != 12)
    assert fixed.objects[1].ended == found.objects[1].ended
    # The slices next to the click were looked at, and found to be right.
    assert len(asked) - steps <= 2


def test_what_followed_from_a_wrong_slice_is_not_kept(
    segmenter: VolumeSegmenter, volume: NDArray
) -> None:
    planes = segmenter.open(volume)
    found = segmenter.propagate(planes, clicks_in_volume(CENTRES[:1]))
    # The clicked slice was wrong, and all others followed from it, with confidence.
    for index, each in found.objects[1].slices.items():
        found.objects[1].slices[index] = replace(shrunk(each), confidence=1.0)
    fixed = segmenter.correct(planes, found, {1: {8: click(10, 12)}})
    whole = segmenter.propagate(planes, clicks_in_volume(CENTRES[:1]))
    np.testing.assert_array_equal(fixed.labels(), whole.labels())


def test_masks_between_two_prompts_come_from_both(segmenter: VolumeSegmenter) -> None:
    labels = balls((24, 44, 48), CENTRES[:1], 6.5)
    volume = np.where(labels > 0, 255, 0).astype(np.uint8)
    # Nothing is left of the object in three slices: each side gives what it has.
    volume[7:10] = 0
    found = segmenter.propagate(volume, {1: {4: click(10, 12), 12: click(10, 12)}})
    assert found.indices == list(range(2, 15))


def test_a_box_in_the_first_frame_follows_a_moving_object(
    segmenter: VolumeSegmenter,
) -> None:
    movie = np.zeros((10, 40, 60), np.uint8)
    for frame in range(10):
        movie[frame, 10:22, 4 + 4 * frame : 16 + 4 * frame] = 200
    box = PromptSet(box=BoxPrompt((10, 4), (22, 16)))
    found = segmenter.propagate(movie, {7: {0: box}})
    np.testing.assert_array_equal(found.labels() == 7, movie > 0)


@pytest.mark.parametrize(
    ("prompts", "words"),
    [
        ({}, "no prompt"),
        ({1: {24: click(1, 1)}}, "0 to 23"),
        ({0: {2: click(1, 1)}}, "start at 1"),
    ],
)
def test_unusable_prompts_are_refused(
    segmenter: VolumeSegmenter, volume: NDArray, prompts: Any, words: str
) -> None:
    with pytest.raises(PromptError, match=words):
        segmenter.propagate(volume, prompts)


def test_axes_that_do_not_fit_are_refused(
    segmenter: VolumeSegmenter, volume: NDArray
) -> None:
    with pytest.raises(ImageError, match="channel_axis"):
        segmenter.propagate(volume[None], clicks_in_volume(CENTRES))
    with pytest.raises(ImageError, match="does not exist"):
        segmenter.propagate(volume, clicks_in_volume(CENTRES), axis=3)
    with pytest.raises(PromptError, match="limits"):
        segmenter.propagate(volume, clicks_in_volume(CENTRES), limits=(5, 30))


def test_results_can_be_painted_slice_by_slice(
    segmenter: VolumeSegmenter, volume: NDArray, labels: NDArray
) -> None:
    out = np.full(volume.shape, 9, np.uint8)
    segmenter.propagate(volume, clicks_in_volume(CENTRES)).paint(out)
    assert (out[0] == 9).all()
    np.testing.assert_array_equal(out[8], labels[8])
