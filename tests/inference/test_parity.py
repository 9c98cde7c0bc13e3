"""The same masks as the reference implementation, with the same random weights."""

from __future__ import annotations

from collections.abc import Callable
from copy import copy
from functools import cache, partial
from typing import Any

import numpy as np
import pytest
import segment_anything
import torch
from numpy.typing import NDArray
from segment_anything.modeling import (
    ImageEncoderViT,
    MaskDecoder,
    PromptEncoder,
    TwoWayTransformer,
)
from segment_anything.modeling import Sam as ReferenceSam
from segment_anything.utils.amg import calculate_stability_score
from torch import nn

from napari_sam.inference.predictor import SamPredictor
from napari_sam.nn.sam import Sam, build_sam_vit_b
from napari_sam.structures import MaskPrediction

SIZES = {
    "wide": (150, 500),
    "tall": (640, 301),
    "tiny": (8, 8),
    "1024": (1024, 1024),
    "larger": (700, 1500),
}
Image = Callable[..., NDArray[np.uint8]]
Masks = NDArray[np.bool_]


Both = Callable[[str, int], tuple[SamPredictor, segment_anything.SamPredictor]]


def reference_of(model: Sam, **encoder: Any) -> segment_anything.SamPredictor:
    """Return the reference predictor with a model's weights."""
    norm = partial(torch.nn.LayerNorm, eps=1e-6)
    size = model.image_size
    sam = ReferenceSam(
        ImageEncoderViT(
            img_size=size, norm_layer=norm, use_rel_pos=True, window_size=14, **encoder
        ),
        PromptEncoder(256, (size // 16, size // 16), (size, size), 16),
        MaskDecoder(
            transformer_dim=256, transformer=TwoWayTransformer(2, 256, 8, 2048)
        ),
    )
    sam.load_state_dict(model.state_dict(), strict=True)
    return segment_anything.SamPredictor(sam.eval())


@pytest.fixture(scope="module")
def predictors(
    build_small_sam: Callable[[int], Sam], small_sizes: dict[str, Any], textured: Image
) -> Both:
    """Both predictors for an image size and an input size, made once."""

    @cache
    def both(
        size: str, input_size: int
    ) -> tuple[SamPredictor, segment_anything.SamPredictor]:
        model = build_small_sam(input_size)
        ours, reference = SamPredictor(model), reference_of(model, **small_sizes)
        ours.set_image(textured(SIZES[size]))
        reference.set_image(textured(SIZES[size]))
        return ours, reference

    return both


def prompts_of(kind: str, shape: tuple[int, int]) -> dict[str, Any]:
    """Keywords of `SamPredictor.predict` for an image."""
    height, width = shape
    points = np.array([[0.4, 0.6], [0.7, 0.3], [0.05, 0.9]]) * shape
    box = np.array([0.2, 0.3, 0.7, 0.8]) * (height, width, height, width)
    return {
        "point": {"points": points[:1], "point_labels": [1]},
        "points": {"points": points, "point_labels": [1, 0, 1]},
        "box": {"box": box},
        "point and box": {"points": points[:2], "point_labels": [1, 0], "box": box},
    }[kind]


def as_reference(prompts: dict[str, Any]) -> dict[str, Any]:
    """Turn our keywords in (row, col) into the reference's in (x, y)."""
    renamed: dict[str, Any] = dict(prompts)
    if "points" in renamed:
        renamed["point_coords"] = np.asarray(renamed.pop("points"))[:, ::-1]
        renamed["point_labels"] = np.asarray(renamed["point_labels"])
    if "box" in renamed:
        renamed["box"] = np.asarray(renamed["box"])[[1, 0, 3, 2]]
    return renamed


def assert_same(
    ours: MaskPrediction, reference: tuple[Masks, NDArray[Any], NDArray[Any]]
) -> None:
    """Compare predictions, after checking that the masks are worth comparing."""
    masks, iou, low_res = reference
    inside = masks.mean(axis=(1, 2))
    assert ((inside > 0) & (inside < 1)).any()
    assert ours.masks.shape == masks.shape
    assert (ours.masks == masks).mean() >= 0.9999
    np.testing.assert_allclose(ours.predicted_iou, iou, atol=1e-4)
    np.testing.assert_allclose(ours.low_res_masks, low_res, atol=1e-3)


KINDS = ("point", "points", "box", "point and box")


@pytest.mark.parametrize("multimask_output", [True, False])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("size", SIZES)
def test_masks_are_the_reference_s(
    predictors: Both, size: str, kind: str, multimask_output: bool
) -> None:
    ours, reference = predictors(size, 256)
    prompts = prompts_of(kind, SIZES[size])
    assert_same(
        ours.predict(**prompts, multimask_output=multimask_output),
        reference.predict(**as_reference(prompts), multimask_output=multimask_output),
    )


@pytest.mark.parametrize("kind", ["point", "box", None])
@pytest.mark.parametrize("size", SIZES)
def test_masks_from_earlier_logits_are_the_reference_s(
    predictors: Both, size: str, kind: str | None
) -> None:
    ours, reference = predictors(size, 256)
    first = reference.predict(**as_reference(prompts_of("box", SIZES[size])))
    prompts = {} if kind is None else prompts_of(kind, SIZES[size])
    prompts["mask_input"] = first[2][1:2]
    assert_same(ours.predict(**prompts), reference.predict(**as_reference(prompts)))


@pytest.mark.parametrize("size", SIZES)
def test_masks_of_an_input_of_1024_pixels_are_the_reference_s(
    predictors: Both, size: str
) -> None:
    ours, reference = predictors(size, 1024)
    prompts = prompts_of("points", SIZES[size])
    expected = reference.predict(**as_reference(prompts), multimask_output=False)
    assert_same(ours.predict(**prompts, multimask_output=False), expected)
    prompts = prompts_of("box", SIZES[size]) | {"mask_input": expected[2]}
    assert_same(ours.predict(**prompts), reference.predict(**as_reference(prompts)))


def test_stability_is_the_reference_s(predictors: Both) -> None:
    ours, reference = predictors("wide", 256)
    prompts = prompts_of("point", SIZES["wide"])
    logits, _, _ = reference.predict(**as_reference(prompts), return_logits=True)
    expected = calculate_stability_score(torch.from_numpy(logits), 0.0, 1.0)
    found = ours.predict(**prompts).stability_score
    np.testing.assert_allclose(found, expected.numpy(), atol=1e-3)


def test_a_grey_image_is_the_reference_s_grey_rgb(
    predictors: Both, textured: Image
) -> None:
    # Copies, as the other tests share the predictors with their image.
    ours, reference = (copy(each) for each in predictors("wide", 256))
    grey = textured(SIZES["wide"], seed=3)[..., 0]
    ours.set_image(grey)
    reference.set_image(np.stack([grey] * 3, axis=-1))
    prompts = prompts_of("points", SIZES["wide"])
    assert_same(ours.predict(**prompts), reference.predict(**as_reference(prompts)))


@pytest.mark.slow
def test_the_base_model_is_the_reference_s(
    randomise_weights: Callable[[nn.Module], None], textured: Image
) -> None:
    torch.manual_seed(0)
    model = build_sam_vit_b()
    randomise_weights(model)
    ours, shape = SamPredictor(model), SIZES["wide"]
    reference = reference_of(
        model,
        depth=12,
        embed_dim=768,
        num_heads=12,
        global_attn_indexes=(2, 5, 8, 11),
    )
    ours.set_image(textured(shape))
    reference.set_image(textured(shape))
    for kind in ("points", "box"):
        prompts = prompts_of(kind, shape)
        assert_same(ours.predict(**prompts), reference.predict(**as_reference(prompts)))
