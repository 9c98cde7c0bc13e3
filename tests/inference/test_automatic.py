"""Everything in an image, by suggestions and by a grid."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from napari_sam.errors import ImageError, ModelError
from napari_sam.inference.automatic import segment_everything
from napari_sam.inference.framing import ImageEmbedding, LowResMasks
from napari_sam.inference.grid import AutomaticMaskGenerator
from napari_sam.inference.grid_candidates import Found
from napari_sam.inference.instances import InstanceSettings
from napari_sam.inference.postprocess import DrawnMask, draw_mask
from napari_sam.inference.predictor import SamPredictor
from napari_sam.inference.prompted_regions import region_candidates
from napari_sam.inference.regions import Region, Splitting, find_regions
from napari_sam.inference.run_lengths import RunLengthEncoder
from napari_sam.inference.unetr import UnetrFinder
from napari_sam.nn.sam import Sam
from napari_sam.nn.unetr_decoder import UnetrDecoder
from napari_sam.structures import Frame, PromptSet, Provenance

from .test_pyramid import make_model
from .test_regions import discs, maps_of

Image = Callable[..., NDArray[np.uint8]]


@dataclass
class KnowingFraming:
    """Answers a box with the labelled object that fills most of it."""

    labels: NDArray[np.int32]
    iou: dict[int, float] = field(default_factory=dict)
    asked: list[PromptSet] = field(default_factory=list)

    def decode_low_res(
        self, _embedding: Any, prompts: Sequence[PromptSet], multimask_output: bool
    ) -> list[LowResMasks]:
        assert not multimask_output
        self.asked += prompts
        return [self._answer(each) for each in prompts]

    def _answer(self, prompts: PromptSet) -> LowResMasks:
        assert prompts.box is not None
        (row0, col0), (row1, col1) = prompts.box.start, prompts.box.stop
        inside = self.labels[int(row0) : int(row1), int(col0) : int(col1)]
        index = int(np.bincount(inside.ravel()).argmax())
        logits = np.where((self.labels == index) & (index > 0), 8.0, -8.0)
        return LowResMasks(
            torch.from_numpy(logits)[None].float(),
            torch.tensor([self.iou.get(index, 0.9)]),
            Frame((0.0, 0.0), (1.0, 1.0), self.labels.shape),
        )

    def draw(
        self, embedding: Any, logits: torch.Tensor, frame: Frame, offset: float
    ) -> DrawnMask | None:
        return draw_mask(logits, frame, embedding.image_shape, offset)


def knowing_predictor(labels: NDArray[np.int32], **settings: Any) -> Any:
    return SimpleNamespace(
        framing=KnowingFraming(labels, **settings),
        embedding=ImageEmbedding(labels.shape, "knowing"),
        model=SimpleNamespace(name="knowing", checkpoint_sha256="abc"),
    )


def finder_of(labels: NDArray[np.int32]) -> Callable[..., list[Region]]:
    return lambda _embedding, _progress: find_regions(
        maps_of(labels), Splitting(1.0, 0.1)
    )


LABELS = discs((80, 120), [(30, 25, 15), (30, 55, 15), (60, 95, 18), (12, 95, 6)])


def test_suggestions_become_the_decoder_s_masks() -> None:
    # What is suggested is a little off; the decoder's answers are what counts.
    suggested = np.roll(LABELS, 1, axis=1)
    predictor = knowing_predictor(LABELS)
    seen: list[tuple[int, int | None]] = []
    result = segment_everything(
        predictor,
        finder=finder_of(suggested),
        progress=lambda done, total: seen.append((done, total)),
    )
    assert len(result.records) == 4
    for number, record in enumerate(result.records, start=1):
        (index,) = np.unique(LABELS[result.labels == number])
        np.testing.assert_array_equal(result.labels == number, index == LABELS)
        made = record.provenance
        assert (made.model, made.method) == ("knowing", "dense")
        assert made.prompts.box is not None
    assert seen[-1] == (4, 4)


def test_a_region_is_a_mask_prompt_where_it_lies() -> None:
    labels = discs((80, 120), [(30, 40, 15)])
    (region,) = find_regions(maps_of(labels, step=2.0), Splitting(1.0, 0.1))
    (drawn,) = region_candidates([region], (160, 240), Provenance("knowing", ""))
    prompts = drawn.mask_prompt
    assert prompts.mask is not None
    assert prompts.mask.frame is not None
    logits, frame = prompts.mask.values, prompts.mask.frame
    rows, cols = np.nonzero(logits > 0)
    centres = np.stack([rows, cols], 1) + 0.5
    places = (centres * frame.step + frame.origin).astype(int) // 2
    assert (labels[places[:, 0], places[:, 1]] == 1).all()
    assert len(rows) == np.count_nonzero(labels)
    # Deepest in the middle, and outside beyond the region's edge.
    assert logits.max() == logits[logits.shape[0] // 2, logits.shape[1] // 2] == 6.0
    assert logits[0].max() < 0
    (click,) = prompts.points
    assert np.hypot(*np.subtract(click.position, (60, 80))) < 6


def test_what_the_decoder_rates_badly_is_left_out() -> None:
    predictor = knowing_predictor(LABELS, iou={4: 0.05})
    # Not even sure as a suggestion: without size it does not fit.
    found = finder_of(LABELS)(None, None)
    unsure = [
        each if LABELS[each.seed] != 4 else _with_size(each, 8.0) for each in found
    ]
    result = segment_everything(predictor, finder=lambda *_: unsure)
    assert set(np.unique(LABELS[result.labels > 0])) == {1, 2, 3}


def _with_size(region: Region, log_size: float) -> Region:
    from dataclasses import replace

    return replace(region, log_size=log_size)


def test_settings_reach_the_objects() -> None:
    settings = InstanceSettings(min_size=500, max_size=900)
    result = segment_everything(
        knowing_predictor(LABELS), settings=settings, finder=finder_of(LABELS)
    )
    areas = [int(each.mask.sum()) for each in result.records]
    assert len(areas) == 2
    assert all(500 <= area <= 900 for area in areas)


def test_no_suggestion_gives_no_object() -> None:
    result = segment_everything(knowing_predictor(LABELS), finder=lambda *_: [])
    assert result.records == []
    assert result.labels.dtype == np.int32
    assert not result.labels.any()


def test_dense_and_grid_are_deterministic(textured: Image) -> None:
    predictor = SamPredictor(make_model())
    predictor.set_image(textured((90, 120)))
    generator = AutomaticMaskGenerator(
        predictor.model,
        points_per_side=3,
        pred_iou_thresh=-10.0,
        stability_score_thresh=0.0,
    )
    for method in ("dense", "grid"):
        one, other = (
            segment_everything(predictor, method=method, generator=generator)
            for _ in range(2)
        )
        np.testing.assert_array_equal(one.labels, other.labels)
        assert one.labels.shape == (90, 120)
        assert one.labels.max() == len(one.records)


def test_grid_records_say_where_they_come_from() -> None:
    predictor = knowing_predictor(LABELS)
    encoder = RunLengthEncoder(LABELS.shape)
    box = (42, 77, 79, 114)
    mask = LABELS[box[0] : box[2], box[1] : box[3]] == 3
    found = Found(
        (60.0, 95.0), (0, 0, 80, 120), np.array([42, 77, 78, 113]), 0.8, 0.9,
        encoder.encode(mask, box),
    )  # fmt: skip
    generator = SimpleNamespace(find_in=lambda _embedding, progress: [found])
    result = segment_everything(
        predictor,
        method="grid",
        generator=generator,  # type: ignore[arg-type]
    )
    np.testing.assert_array_equal(result.labels > 0, LABELS == 3)
    (record,) = result.records
    assert (record.predicted_iou, record.stability_score) == (0.8, 0.9)
    assert record.provenance.method == "grid"
    (point,) = record.provenance.prompts.points
    assert point.position == (60.0, 95.0)


def test_micro_sam_s_decoder_suggests(small_sam: Sam, textured: Image) -> None:
    torch.manual_seed(0)
    predictor = SamPredictor(small_sam)
    predictor.set_image(textured((90, 120)))
    finder = UnetrFinder(predictor, UnetrDecoder().eval())
    regions = finder(predictor.embedding, lambda *_: None)
    again = finder(predictor.embedding, lambda *_: None)
    assert [each.box for each in regions] == [each.box for each in again]
    for region in regions:
        assert (region.corners >= 0).all()
        assert (region.corners <= np.array([90, 120]) + 1).all()
    result = segment_everything(predictor, finder=finder)
    assert result.labels.shape == (90, 120)


def test_what_cannot_be_done_is_said(small_sam: Sam, textured: Image) -> None:
    predictor = SamPredictor(small_sam)
    with pytest.raises(ImageError, match="no image yet"):
        segment_everything(predictor, method="grid")
    predictor.set_image(textured((60, 60)))
    with pytest.raises(ModelError, match="no dense head"):
        segment_everything(predictor)
    with pytest.raises(ModelError, match="no method 'magic'"):
        segment_everything(predictor, method="magic")  # type: ignore[arg-type]
    with pytest.raises(ModelError, match="needs a SAM"):
        UnetrFinder(SamPredictor(make_model()), UnetrDecoder())
