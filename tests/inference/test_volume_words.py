"""Words in volumes: classes by majority, and honest answers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from napari_sam import SamPredictor, create_model
from napari_sam.errors import PromptError
from napari_sam.inference.text_selection import TextCandidates, shared_areas
from napari_sam.inference.volume import VolumeSegmenter
from napari_sam.inference.volume_automatic import segment_volume
from napari_sam.inference.volume_vote import segment_by_vote
from napari_sam.inference.volume_words import NamedFinder
from napari_sam.samples import load_sample
from napari_sam.structures import MaskRecord

SHAPE = (5, 40, 44)


@pytest.fixture(scope="module")
def segmenter() -> VolumeSegmenter:
    return VolumeSegmenter(SamPredictor(create_model("pocket", dtype="float32")))


class ScriptedWords:
    """Answers for one square, slice by slice, with the scores it is told."""

    def __init__(self, scores: list[tuple[float, float]]) -> None:
        self._scores = iter(scores)

    def candidates(self, image: Any, phrases: Any, **settings: Any) -> TextCandidates:
        records = (MaskRecord(np.ones((12, 14), bool), (10, 12), 0.9, 0.9),)
        return TextCandidates(
            records,
            np.zeros((1, 4), np.float32),
            np.array([next(self._scores)], np.float32),
            shared_areas(records),
            ("nuclei", "cells"),
            ("", "'blobs' is read as cells."),
            (False, False),
            SHAPE[1:],
        )


def scripted(
    segmenter: VolumeSegmenter, scores: list[tuple[float, float]]
) -> NamedFinder:
    finder = NamedFinder(segmenter.predictor, ["nuclei", "cells: blobs"])
    finder._text = ScriptedWords(scores)  # type: ignore[assignment]
    return finder


def test_an_object_is_what_most_of_it_is_called(segmenter: VolumeSegmenter) -> None:
    scores = [(0.9, 0.1), (0.2, 0.8), (0.7, 0.3), (0.8, 0.1), (0.1, 0.6)]
    finder = scripted(segmenter, scores)
    found = segment_volume(
        segmenter, np.zeros(SHAPE, np.uint8), find=finder, refine=False
    )
    assert {n: each.class_name for n, each in found.objects.items()} == {1: "nuclei"}
    assert found.objects[1].text_score == pytest.approx((0.9 + 0.7 + 0.8) / 3)
    assert found.message == "'blobs' is read as cells. Found 1 nuclei. Found no cells."


def test_without_words_an_object_has_no_class(segmenter: VolumeSegmenter) -> None:
    volume = load_sample("nuclei_volume").image[8:11]
    found = segment_volume(segmenter, volume, refine=False)
    assert found.objects and found.message == ""
    for each in found.objects.values():
        assert each.class_name == "" and np.isnan(each.text_score)


@pytest.mark.parametrize("along", ["z", "all axes"])
def test_words_name_real_nuclei(segmenter: VolumeSegmenter, along: str) -> None:
    volume = load_sample("nuclei_volume").image[6:16, :80, :80]
    finder = NamedFinder(segmenter.predictor, ["nuclei", "worms"])
    segment = segment_volume if along == "z" else segment_by_vote
    found = segment(segmenter, volume, find=finder)
    assert found.objects
    for each in found.objects.values():
        assert each.class_name == "nuclei"
        assert 0.5 < each.text_score <= 1
    count = len(found.objects)
    assert found.message == f"Found {count} nuclei. Found no worms."


def test_what_is_there_instead_is_said(segmenter: VolumeSegmenter) -> None:
    volume = load_sample("nuclei_volume").image[8:12]
    finder = NamedFinder(segmenter.predictor, ["mitochondria"])
    found = segment_volume(segmenter, volume, find=finder)
    assert not found.objects
    assert found.message == ("Found no mitochondria. What is here looks like nuclei.")


def test_what_cannot_be_asked_is_refused_at_once(segmenter: VolumeSegmenter) -> None:
    with pytest.raises(PromptError, match="left"):
        NamedFinder(segmenter.predictor, ["nuclei on the left"])
