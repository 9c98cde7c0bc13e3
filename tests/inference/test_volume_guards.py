"""What goes wrong when objects are followed, each with the guard against it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from napari_sam.geometry import resample
from napari_sam.inference.framing import LowResMasks
from napari_sam.inference.volume import VolumeSegmenter, clicks_in_volume
from napari_sam.inference.volume_steps import PropagationSettings
from napari_sam.structures import Frame, PromptSet

from .volume_fakes import BrightFraming, BrightPredictor

SHAPE = (12, 40, 44)


class GhostFraming(BrightFraming):
    """Sees, as models do, an object wherever the mask prompt says that there is one."""

    def __init__(self, rating: float) -> None:
        super().__init__()
        self._rating = rating

    def decode_low_res(
        self, embedding: Any, prompts: Sequence[PromptSet], multimask_output: bool
    ) -> list[LowResMasks]:
        found = super().decode_low_res(embedding, prompts, multimask_output)
        return [
            each if (each.logits > 0).any() else self._ghost(prompt, embedding)
            for each, prompt in zip(found, prompts, strict=True)
        ]

    def _ghost(self, prompts: PromptSet, embedding: Any) -> LowResMasks:
        assert prompts.mask is not None
        assert prompts.mask.frame is not None
        values = np.asarray(prompts.mask.values)
        frame = Frame((0.0, 0.0), (1.0, 1.0), embedding.image_shape)
        logits = torch.from_numpy(resample(values, prompts.mask.frame, frame, -6.0))
        return LowResMasks(logits[None], torch.tensor([self._rating]), frame)


def ghostly(rating: float, settings: PropagationSettings) -> VolumeSegmenter:
    predictor = BrightPredictor()
    predictor.framing = GhostFraming(rating)
    return VolumeSegmenter(predictor, settings)  # type: ignore[arg-type]


def bar() -> NDArray[np.uint8]:
    """A bright bar in slices 3 to 7."""
    volume = np.full(SHAPE, 20, np.uint8)
    volume[3:8, 10:22, 12:26] = 220
    return volume


@pytest.mark.parametrize(
    ("rating", "settings", "why"),
    [
        (0.9, PropagationSettings(), "fades"),
        (
            0.2,
            PropagationSettings(revival=0, min_contrast=0),
            "predicted IoU",
        ),
    ],
)
def test_an_object_does_not_run_on_after_its_end(
    rating: float, settings: PropagationSettings, why: str
) -> None:
    segmenter = ghostly(rating, settings)
    found = segmenter.propagate(bar(), clicks_in_volume([(5, 15, 18)]))
    assert found.indices == [3, 4, 5, 6, 7]
    assert found.objects[1].ended["forward"][0] == 8
    assert why in found.objects[1].ended["forward"][1]
    # Without the guard it does.
    careless = ghostly(0.9, PropagationSettings(revival=0, min_contrast=0))
    assert len(careless.propagate(bar(), clicks_in_volume([(5, 15, 18)])).indices) == 12


def test_an_object_corrected_where_it_fades_does_not_run_on_from_there() -> None:
    volume = bar()
    volume[8, 10:22, 12:26] = 30
    segmenter = ghostly(0.9, PropagationSettings())
    found = segmenter.propagate(volume, clicks_in_volume([(5, 15, 18)]))
    assert found.indices == [3, 4, 5, 6, 7]
    faint = volume[8] > 20
    corrected = segmenter.correct(volume, found, confirmed={1: {8: faint}})
    assert corrected.indices == [3, 4, 5, 6, 7, 8]
    assert "fades" in corrected.objects[1].ended["forward"][1]


def test_an_object_said_to_go_on_may_stay_as_faint_as_it_is_there() -> None:
    volume = bar()
    volume[8:10, 10:22, 12:26] = 60
    segmenter = ghostly(0.9, PropagationSettings(revival=0))
    found = segmenter.propagate(volume, clicks_in_volume([(5, 15, 18)]))
    assert found.indices == [3, 4, 5, 6, 7]
    faint = volume[8] > 20
    corrected = segmenter.correct(volume, found, confirmed={1: {8: faint}})
    assert corrected.indices == [3, 4, 5, 6, 7, 8, 9]
    assert corrected.objects[1].ended["forward"][0] == 10


def test_an_object_does_not_leak_into_a_touching_one() -> None:
    volume = np.full(SHAPE, 20, np.uint8)
    volume[2:10, 10:22, 4:14] = 220
    volume[2:10, 8:30, 16:40] = 220
    # In one slice a bridge makes both one piece.
    volume[6, 14:16, 14:16] = 220
    segmenter = VolumeSegmenter(BrightPredictor())  # type: ignore[arg-type]
    found = segmenter.propagate(volume, clicks_in_volume([(4, 15, 8)]))
    assert found.indices == list(range(2, 10))
    for index in range(2, 10):
        mask = found.objects[1].slices[index].full(SHAPE[1:])
        assert not mask[:, 16:].any()
    careless = PropagationSettings(max_area_ratio=99, min_overlap=0, revival=0)
    leaked = segmenter.propagate(
        volume, clicks_in_volume([(4, 15, 8)]), settings=careless
    )
    assert leaked.objects[1].slices[6].full(SHAPE[1:])[:, 16:].any()


def test_an_object_ends_where_another_begins_behind_it() -> None:
    volume = np.full(SHAPE, 20, np.uint8)
    # It gets fainter, and smaller; then one as bright as it was lies in its place.
    for index, (grey, side) in enumerate(
        [(220, 14), (220, 14), (170, 13), (140, 12), (130, 11)], start=1
    ):
        volume[index, 10 : 10 + side, 12 : 12 + side] = grey
    volume[6:11, 10:22, 12:24] = 220
    segmenter = VolumeSegmenter(BrightPredictor())  # type: ignore[arg-type]
    found = segmenter.propagate(volume, clicks_in_volume([(2, 15, 18)]))
    assert found.indices == [1, 2, 3, 4, 5]
    assert found.objects[1].ended["forward"] == (6, "another object begins")


def test_objects_do_not_swap_their_ids() -> None:
    volume = np.full(SHAPE, 20, np.uint8)
    places = []
    for index in range(12):
        # Two bars move past each other, and are one for some slices on their way.
        left, right = 2 + 2 * index, 30 - 2 * index
        volume[index, 8:18, left : left + 10] = 220
        volume[index, 19:29, right : right + 10] = 220
        places.append((left, right))
    volume[5:8, 18, 10:30] = 220
    clicks = clicks_in_volume([(1, 12, 8), (1, 24, 32)])
    segmenter = VolumeSegmenter(BrightPredictor())  # type: ignore[arg-type]
    found = segmenter.propagate(volume, clicks)
    for index, (left, right) in enumerate(places):
        plane = found.plane(index)
        assert mostly(plane[8:18, left : left + 10], 1)
        assert mostly(plane[19:29, right : right + 10], 2)


def mostly(plane: NDArray[np.int32], identifier: int) -> bool:
    """Whether an id fills a part of a slice, and hardly any other one is there."""
    others = (plane != identifier) & (plane != 0)
    return bool((plane == identifier).mean() > 0.7 and others.mean() < 0.1)
