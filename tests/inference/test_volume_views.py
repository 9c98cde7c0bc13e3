"""Objects are looked for at the level that their slice is encoded at anyway."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from napari_sam.inference.volume import VolumeSegmenter
from napari_sam.inference.volume_decoding import (
    best_without,
    told_apart,
    without_strays,
)
from napari_sam.inference.volume_result import SliceMask
from napari_sam.inference.volume_steps import PropagationSettings
from napari_sam.inference.volume_views import _tolerable_level
from napari_sam.nn.pocket import Pocket
from napari_sam.structures import (
    Frame,
    MaskPrediction,
    MaskRecord,
    PointPrompt,
    PromptSet,
)

ALWAYS = PropagationSettings(
    min_predicted_iou=-1,
    min_overlap=-1,
    max_area_ratio=1e9,
    revival=0,
    min_contrast=0,
    min_area=0,
    patience=100,
)


def make_segmenter() -> VolumeSegmenter:
    torch.manual_seed(0)
    model = Pocket().eval()
    prompts = frozenset({"point", "box", "mask"})
    model.config = SimpleNamespace(normalisation="pocket", prompts=prompts)
    return VolumeSegmenter(model, ALWAYS)


def test_slices_on_the_way_are_encoded_at_one_level() -> None:
    segmenter = make_segmenter()
    volume = np.random.default_rng(0).random((4, 300, 300)).astype(np.float32)
    masks = np.zeros((2, 300, 300), bool)
    # The model would see both larger than they are: the one at level 1, the other at 2.
    masks[0, 80:124, 80:124] = masks[1, 200:218, 200:218] = True
    planes = segmenter.open(volume)
    segmenter.propagate(planes, confirmed={1: {0: masks[0]}, 2: {0: masks[1]}})
    levels = [{key[0] for key in planes.get(n).embedding.blocks} for n in range(4)]  # type: ignore[attr-defined]
    # The masks of untrained weights grow or fade, but none asks for a finer level
    # than the smaller object does.
    assert levels[0] == {0}
    assert levels[1] == {0, 1}
    assert all(max(each) <= 1 for each in levels)


@pytest.mark.parametrize(
    ("side", "level", "chosen"),
    [(44, 0, 0), (44, 2, 1), (20, 0, 1), (8, 0, 2), (190, 0, -1), (400, 0, -2)],
)
def test_the_nearest_level_that_shows_an_object_well(
    side: int, level: int, chosen: int
) -> None:
    box = ((50.0, 60.0), (50.0 + side, 60.0 + side))
    assert _tolerable_level(box, 256, level) == chosen


def test_specks_are_no_part_of_an_object() -> None:
    logits = np.full((40, 40), -4, np.float32)
    logits[5:15, 5:15] = 3
    logits[30:33, 30:33] = 2
    logits[20:24, 5:10] = 2
    cleaned = without_strays(logits)
    assert not (cleaned[28:] > 0).any()
    # A part that is not much smaller belongs to it.
    assert (cleaned[20:24, 5:10] == 2).all()
    assert (cleaned[:28] == logits[:28]).all()


def test_a_mask_that_holds_another_objects_click_is_not_chosen() -> None:
    masks = np.zeros((3, 20, 30), bool)
    masks[0, 5:15, 5:25] = True  # both objects
    masks[1, 5:15, 5:14] = True
    masks[2, 8:10, 8:10] = True
    rating = np.array([0.9, 0.7, 0.4], np.float32)
    answer = MaskPrediction(
        masks, rating, rating, masks.astype(np.float32), Frame((0, 0), (1, 1), (20, 30))
    )
    there = PromptSet(points=(PointPrompt((10.0, 20.0)),))
    assert best_without(answer, []) == 0
    assert best_without(answer, [there]) == 1
    # Where all hold it the click on it is a negative one.
    here = PromptSet(points=(PointPrompt((9.0, 9.0)),))
    assert best_without(answer, [here]) is None
    click = PromptSet(points=(PointPrompt((6.0, 6.0)),))
    apart = told_apart(click, [there, here])
    assert apart.points == (*click.points, PointPrompt((9.0, 9.0), positive=False))
    negative = PromptSet(points=(PointPrompt((10.0, 20.0), positive=False),))
    assert best_without(answer, [negative]) == 0


def test_a_click_means_what_is_like_the_slice_beside_it() -> None:
    masks = np.zeros((3, 20, 30), bool)
    masks[0, 2:18, 2:28] = True
    masks[1, 5:15, 5:14] = True
    masks[2, 0:2, 28:30] = True
    rating = np.array([0.8, 0.6, 0.7], np.float32)
    answer = MaskPrediction(
        masks, rating, rating, masks.astype(np.float32), Frame((0, 0), (1, 1), (20, 30))
    )

    def beside(part: np.ndarray, origin: tuple[int, int]) -> SliceMask:
        return SliceMask(MaskRecord(part, origin, 0.9, 0.9), 0.9)

    assert best_without(answer, [], beside(np.ones((9, 9), bool), (6, 5))) == 1
    assert best_without(answer, [], beside(np.ones((15, 25), bool), (3, 3))) == 0
    # Where none is like it the ratings decide, and clicks on others do in any case.
    assert best_without(answer, [], beside(np.ones((2, 2), bool), (18, 0))) == 0
    other = PromptSet(points=(PointPrompt((10.0, 10.0)),))
    assert best_without(answer, [other], beside(np.ones((9, 9), bool), (6, 5))) == 2
