from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray

from napari_sam.errors import DataError
from napari_sam.evaluation.datasets import open_datasets
from napari_sam.evaluation.volume import (
    LabelledVolume,
    measure_volumes,
    read_volumes,
)
from napari_sam.evaluation.volume_baseline import random_walk
from napari_sam.geometry import mask_to_box
from napari_sam.inference.volume_result import (
    SliceMask,
    VolumeObject,
    VolumeSegmentation,
)
from napari_sam.structures import MaskRecord, PromptSet

Prompts = Mapping[int, Mapping[int, PromptSet]]


def two_boxes() -> NDArray[np.uint16]:
    """Two touching boxes in 6 slices, and a third in one slice alone."""
    labels = np.zeros((10, 30, 40), np.uint16)
    labels[2:8, 5:15, 5:15] = 1
    labels[2:8, 5:15, 15:25] = 2
    labels[4, 20:25, 30:35] = 3
    return labels


class ErringSegmenter:
    """Knows the truth, but errs as it is told until it is corrected."""

    def __init__(self, labels: NDArray, errors: Mapping[int, NDArray]) -> None:
        self.labels, self.errors = labels, errors
        self.predictor = SimpleNamespace()
        self.prompts: Prompts = {}
        self.fixes: Prompts = {}
        self.absent: Mapping[int, Mapping[int, NDArray]] = {}

    def open(self, image: NDArray, **_: Any) -> NDArray:
        return image

    def propagate(self, planes: Any, prompts: Prompts, **_: Any) -> VolumeSegmentation:
        self.prompts = prompts
        return self._result({n: self.errors[n] for n in prompts})

    def correct(
        self,
        planes: Any,
        found: VolumeSegmentation,
        prompts: Prompts,
        *,
        confirmed: Mapping[int, Mapping[int, NDArray]],
        **_: Any,
    ) -> VolumeSegmentation:
        self.fixes, self.absent = prompts, confirmed
        changed = set(prompts) | set(confirmed)
        masks = {
            n: self.labels == n if n in changed else self.errors[n]
            for n in found.objects
        }
        return self._result(masks)

    def _result(self, masks: Mapping[int, NDArray]) -> VolumeSegmentation:
        result = VolumeSegmentation(self.labels.shape)
        for identifier, mask in masks.items():
            each = result.objects[identifier] = VolumeObject()
            for index, plane in enumerate(mask):
                box = mask_to_box(plane)
                if box:
                    row0, col0, row1, col1 = box
                    part = plane[row0:row1, col0:col1]
                    record = MaskRecord(part, (row0, col0), 0.8, 0.8)
                    each.slices[index] = SliceMask(record, 0.8)
        return result


def test_overlap_leaks_and_the_worst_slice_are_measured() -> None:
    labels = two_boxes()
    leaking = labels == 1
    leaking[5] = labels[5] > 0
    running_on = labels == 2
    running_on[8] = running_on[7]
    segmenter = ErringSegmenter(labels, {1: leaking, 2: running_on})
    volume = LabelledVolume("boxes", labels, labels)
    result = measure_volumes(segmenter, "set", [volume])  # type: ignore[arg-type]
    first, second = result.records
    # Slice 5 also holds nothing of the third object, which is in one slice only.
    assert first.propagated.iou == pytest.approx(600 / 700)
    assert first.propagated.leak == pytest.approx(100 / 700)
    assert second.propagated.iou == pytest.approx(600 / 700)
    assert second.propagated.leak == 0
    assert second.propagated.spill == pytest.approx(100 / 700)
    assert first.corrected.iou == second.corrected.iou == 1
    (point,) = segmenter.fixes[1][5].points
    assert not point.positive
    assert labels[5][int(point.position[0]), int(point.position[1])] == 2
    assert not segmenter.absent[2][8].any()
    summary = result.summary()
    assert summary["objects"] == 2
    assert summary["propagated"]["keep_to_themselves"] == 0.5
    assert summary["corrected"]["keep_to_themselves"] == 1
    assert summary["walker"] is None


def test_a_stack_is_clicked_in_its_largest_slice_and_a_movie_boxed_first() -> None:
    labels = two_boxes()
    labels[6, 4:16, 4:15] = 1
    right = {1: labels == 1, 2: labels == 2}
    segmenter = ErringSegmenter(labels, right)
    stack = LabelledVolume("boxes", labels, labels)
    measure_volumes(segmenter, "set", [stack])  # type: ignore[arg-type]
    assert list(segmenter.prompts[1]) == [6]
    assert len(segmenter.prompts[1][6].points) == 1
    movie = LabelledVolume("boxes", labels, labels, is_movie=True)
    measure_volumes(segmenter, "set", [movie])  # type: ignore[arg-type]
    (box,) = [each.box for each in segmenter.prompts[2].values()]
    assert list(segmenter.prompts[2]) == [2]
    assert box is not None and (box.start, box.stop) == ((5, 15), (15, 25))


def test_objects_can_be_fewer_and_must_be_deep() -> None:
    labels = two_boxes()
    segmenter = ErringSegmenter(labels, {n: labels == n for n in (1, 2)})
    volume = LabelledVolume("boxes", labels, labels)
    result = measure_volumes(segmenter, "set", [volume], 1)  # type: ignore[arg-type]
    assert len(result.records) == 1
    flat = LabelledVolume("flat", labels[4:5], labels[4:5])
    with pytest.raises(DataError, match="slices"):
        measure_volumes(segmenter, "set", [flat])  # type: ignore[arg-type]


def test_only_stacks_are_read(tmp_path: Path) -> None:
    for kind in ("images", "labels"):
        (tmp_path / kind).mkdir()
        tifffile.imwrite(tmp_path / kind / "stack.tif", two_boxes())
        tifffile.imwrite(tmp_path / kind / "flat.tif", two_boxes()[4])
    (images,) = open_datasets(tmp_path)
    (volume,) = read_volumes(images)
    assert volume.name == "stack"
    assert volume.image.shape == (10, 30, 40)
    (tmp_path / "images" / "stack.tif").unlink()
    (images,) = open_datasets(tmp_path)
    with pytest.raises(DataError, match="flat"):
        list(read_volumes(images))


def test_the_random_walker_finds_a_bright_box() -> None:
    labels = two_boxes()
    volume = np.where(labels == 1, 200, 20).astype(np.uint8)
    box = (slice(2, 8), slice(5, 15), slice(5, 15))
    assert random_walk(volume, labels == 1, (5, 9, 9), box) > 0.9
    assert random_walk(np.zeros_like(volume), labels == 1, (5, 9, 9), box) == 0


def test_time_series_are_known_from_sets_json(tmp_path: Path) -> None:
    from napari_sam.cli.volume_evaluating import _is_movie

    (tmp_path / "val" / "film").mkdir(parents=True)
    facts = {"film": {"modality": "video, TIME SERIES (TYX)"}, "stack": {}}
    (tmp_path / "sets.json").write_text(json.dumps(facts))
    assert _is_movie(tmp_path / "val" / "film")
    assert not _is_movie(tmp_path / "val" / "stack")
