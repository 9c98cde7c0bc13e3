"""`SamPredictor`: images, embeddings, batches and what it refuses."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_sam.errors import ImageError, ModelError, PromptError
from napari_sam.inference.framing import ImageEmbedding
from napari_sam.inference.predictor import SamPredictor
from napari_sam.nn.registry import PretrainedConfig
from napari_sam.nn.sam import Sam
from napari_sam.structures import (
    BoxPrompt,
    MaskPrediction,
    MaskPrompt,
    PointPrompt,
    PromptSet,
    TextPrompt,
)

SHAPE = (60, 90)
Image = Callable[..., NDArray[np.uint8]]


@pytest.fixture(scope="module")
def embedding(small_sam: Sam, textured: Image) -> ImageEmbedding:
    predictor = SamPredictor(small_sam)
    predictor.set_image(textured(SHAPE))
    return predictor.embedding


@pytest.fixture
def predictor(small_sam: Sam, embedding: ImageEmbedding) -> SamPredictor:
    predictor = SamPredictor(small_sam)
    predictor.set_embedding(embedding)
    return predictor


@pytest.fixture
def prompt_sets() -> list[PromptSet]:
    """Objects with different kinds and numbers of prompts, kinds interleaved."""
    mask = np.zeros(SHAPE, dtype=bool)
    mask[20:40, 30:60] = True
    point = PointPrompt((10, 20))
    return [
        PromptSet(points=(point,)),
        PromptSet(box=BoxPrompt((5, 5), (30, 40))),
        PromptSet(points=(point, PointPrompt((50, 80), positive=False))),
        PromptSet(mask=MaskPrompt(mask)),
        PromptSet(points=(PointPrompt((40, 50)),)),
        PromptSet(points=(point,), box=BoxPrompt((0, 0), SHAPE), mask=MaskPrompt(mask)),
    ]


def assert_equal(found: MaskPrediction, expected: MaskPrediction) -> None:
    np.testing.assert_allclose(found.low_res_masks, expected.low_res_masks, atol=1e-3)
    np.testing.assert_allclose(found.predicted_iou, expected.predicted_iou, atol=1e-4)
    assert (found.masks == expected.masks).mean() > 0.999
    assert found.frame == expected.frame


@pytest.mark.parametrize(("multimask_output", "count"), [(True, 3), (False, 1)])
def test_shapes_and_types(
    predictor: SamPredictor, multimask_output: bool, count: int
) -> None:
    found = predictor.predict(points=[(3, 4)], multimask_output=multimask_output)
    assert found.masks.shape == (count, *SHAPE)
    assert found.masks.dtype == bool
    assert found.predicted_iou.shape == found.stability_score.shape == (count,)
    assert found.predicted_iou.dtype == found.stability_score.dtype == np.float32
    assert found.low_res_masks.shape == (count, 64, 64)
    assert found.low_res_masks.dtype == np.float32
    assert found.frame.shape == (64, 64)
    assert ((found.stability_score >= 0) & (found.stability_score <= 1)).all()


@pytest.mark.parametrize("chunk", [1, 2, 64])
def test_a_batch_equals_a_loop(
    predictor: SamPredictor,
    prompt_sets: list[PromptSet],
    chunk: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("napari_sam.inference.fixed_frame.CHUNK", chunk)
    batch = predictor.predict_batch(prompt_sets)
    assert len(batch) == len(prompt_sets)
    for found, each in zip(batch, prompt_sets, strict=True):
        assert_equal(found, predictor.predict(each))


def test_a_batch_of_nothing_is_nothing(predictor: SamPredictor) -> None:
    assert predictor.predict_batch([]) == []


def test_keywords_equal_a_prompt_set(predictor: SamPredictor) -> None:
    points = (PointPrompt((10, 20)), PointPrompt((50, 80), positive=False))
    given = PromptSet(points=points, box=BoxPrompt((5, 6), (40, 50)))
    assert_equal(
        predictor.predict(
            points=[(10, 20), (50, 80)], point_labels=[1, 0], box=(5, 6, 40, 50)
        ),
        predictor.predict(given),
    )


def test_a_prediction_is_refined_by_its_mask(predictor: SamPredictor) -> None:
    first = predictor.predict(points=[(30, 40)])
    refined = predictor.predict(mask_input=first.mask_prompt())
    assert_equal(predictor.predict(mask_input=first.low_res_masks[first.best]), refined)
    assert_equal(
        predictor.predict(mask_input=first.low_res_masks[first.best][None]), refined
    )
    assert not np.array_equal(refined.low_res_masks, first.low_res_masks)


def test_no_prompt_leaks_into_the_next_object(predictor: SamPredictor) -> None:
    # napari-segment-anything fed the previous object's logits to the next one.
    alone = predictor.predict(points=[(10, 20)])
    predictor.predict(box=(20, 30, 50, 80), mask_input=alone.low_res_masks[0])
    assert_equal(predictor.predict(points=[(10, 20)]), alone)


def test_an_embedding_returns_to_its_image(
    small_sam: Sam, embedding: ImageEmbedding, textured: Image
) -> None:
    predictor = SamPredictor(small_sam)
    predictor.set_embedding(embedding)
    expected = predictor.predict(points=[(10, 20)])
    predictor.set_image(textured((30, 20), seed=1))
    assert predictor.predict(points=[(10, 15)]).masks.shape[1:] == (30, 20)
    predictor.set_embedding(embedding)
    assert_equal(predictor.predict(points=[(10, 20)]), expected)


def test_kept_features_restore_an_embedding(
    predictor: SamPredictor, small_sam: Sam
) -> None:
    from napari_sam.inference.fixed_frame import FixedEmbedding, FixedFraming

    kept = predictor.embedding
    assert isinstance(kept, FixedEmbedding)
    features = kept.context.embedding.clone()
    expected = predictor.predict(points=[(10, 20)])
    predictor.set_embedding(FixedFraming(small_sam).restore(features, SHAPE))
    assert_equal(predictor.predict(points=[(10, 20)]), expected)


def test_an_embedding_of_another_model_is_refused(predictor: SamPredictor) -> None:
    with pytest.raises(ModelError, match="'other', not of 'small_sam'"):
        predictor.set_embedding(ImageEmbedding(SHAPE, "other"))


def test_several_threads_may_predict(
    predictor: SamPredictor, prompt_sets: list[PromptSet]
) -> None:
    expected = [predictor.predict(each) for each in prompt_sets]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(predictor.predict, prompt_sets * 2))
    for each, wanted in zip(found, expected * 2, strict=True):
        assert_equal(each, wanted)


def test_predicting_before_an_image_is_refused(small_sam: Sam) -> None:
    with pytest.raises(ImageError, match="call set_image first"):
        SamPredictor(small_sam).predict(points=[(1, 1)])


def test_a_bad_image_keeps_the_one_before(predictor: SamPredictor) -> None:
    before = predictor.embedding
    with pytest.raises(ImageError, match="is empty"):
        predictor.set_image(np.zeros((0, 5)))
    assert predictor.embedding is before


@pytest.mark.parametrize(
    ("prompts", "reason"),
    [
        ({"points": [(60, 1)]}, "outside the image of 60 x 90"),
        ({"points": [(1, np.nan)]}, "NaN"),
        ({"box": (9, 9, 3, 20)}, "inverted"),
        ({"mask_input": np.ones((5, 5), dtype=bool)}, "the image"),
        ({"mask_input": np.ones((128, 128))}, "the image"),
        ({}, "There is no prompt"),
        ({"prompts": PromptSet(text=TextPrompt("nuclei"))}, "takes no text prompt"),
        ({"prompts": PromptSet(), "points": [(1, 1)]}, "not both"),
    ],
)
def test_what_cannot_be_used_is_refused(
    predictor: SamPredictor, prompts: dict[str, Any], reason: str
) -> None:
    with pytest.raises(PromptError, match=reason):
        predictor.predict(**prompts)


def test_one_bad_object_fails_the_batch_before_any_work(
    predictor: SamPredictor, prompt_sets: list[PromptSet]
) -> None:
    with pytest.raises(PromptError, match="There is no prompt"):
        predictor.predict_batch([*prompt_sets, PromptSet()])


@pytest.fixture
def configured(small_sam: Sam) -> Iterator[Sam]:
    """The small model with conventions of its own."""
    small_sam.config = PretrainedConfig(
        url=None,
        filename="",
        normalisation="micro_sam",
        prompts=frozenset({"box"}),
    )
    yield small_sam
    small_sam.config = None


def test_the_model_s_conventions_are_followed(configured: Sam, textured: Image) -> None:
    image = textured((40, 40))[..., 0]
    dim = SamPredictor(configured)
    dim.set_image(image // 4 + 20)
    bright = SamPredictor(configured)
    bright.set_image(image // 4 + 120)
    # micro-sam stretches between the extremes, so that an offset does not matter.
    box = (3, 4, 20, 30)
    assert_equal(dim.predict(box=box), bright.predict(box=box))
    with pytest.raises(PromptError, match="takes no point prompt, only box"):
        dim.predict(points=[(1, 1)])
