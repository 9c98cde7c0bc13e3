"""The masks of the reference's automatic mask generator, and its edge cases."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from segment_anything import SamAutomaticMaskGenerator
from segment_anything.modeling import (
    ImageEncoderViT,
    MaskDecoder,
    PromptEncoder,
    TwoWayTransformer,
)
from segment_anything.modeling import Sam as ReferenceSam

from napari_sam.errors import ImageError, ModelError
from napari_sam.geometry import decode_rle
from napari_sam.inference.grid import AutomaticMaskGenerator
from napari_sam.inference.predictor import SamPredictor
from napari_sam.nn.sam import Sam

Image = Callable[..., NDArray[np.uint8]]
SHAPE = (180, 260)
# Random weights give masks that are neither sure nor stable.
LOWERED: dict[str, Any] = {
    "points_per_side": 8,
    "pred_iou_thresh": -1.0,
    "stability_score_thresh": 0.6,
    "stability_score_offset": 0.1,
    # Their boxes are all alike: the whole image.
    "box_nms_thresh": 1.0,
    "crop_nms_thresh": 1.0,
}


@pytest.fixture(scope="module")
def reference_model(small_sam: Sam, small_sizes: dict[str, Any]) -> ReferenceSam:
    norm = partial(torch.nn.LayerNorm, eps=1e-6)
    sam = ReferenceSam(
        ImageEncoderViT(
            img_size=256,
            norm_layer=norm,
            use_rel_pos=True,
            window_size=14,
            **small_sizes,
        ),
        PromptEncoder(256, (16, 16), (256, 256), 16),
        MaskDecoder(
            transformer_dim=256, transformer=TwoWayTransformer(2, 256, 8, 2048)
        ),
    )
    sam.load_state_dict(small_sam.state_dict(), strict=True)
    return sam.eval()


def matched(ours: list[dict[str, Any]], reference: list[dict[str, Any]]) -> float:
    """Share of the reference's masks that one of ours matches at IoU > .95."""
    theirs = np.array([each["segmentation"].ravel() for each in reference], np.float32)
    mine = np.array([each["segmentation"].ravel() for each in ours], np.float32)
    both = theirs @ mine.T
    union = theirs.sum(1)[:, None] + mine.sum(1) - both
    return float(((both / union).max(1) > 0.95).mean())


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"crop_n_layers": 1, "crop_n_points_downscale_factor": 2},
        {"min_mask_region_area": 60},
    ],
    ids=["plain", "crops", "small regions"],
)
def test_masks_are_the_reference_s(
    small_sam: Sam,
    reference_model: ReferenceSam,
    textured: Image,
    changes: dict[str, Any],
) -> None:
    image, settings = textured(SHAPE), LOWERED | changes
    ours = AutomaticMaskGenerator(small_sam, **settings).generate(image)
    theirs = SamAutomaticMaskGenerator(reference_model, **settings).generate(image)
    assert len(theirs) > 10
    assert abs(len(ours) - len(theirs)) <= 0.01 * len(theirs)
    assert matched(ours, theirs) >= 0.99


def test_what_is_said_of_a_mask_is_what_the_reference_says(
    small_sam: Sam, reference_model: ReferenceSam, textured: Image
) -> None:
    image = textured(SHAPE)
    ours = AutomaticMaskGenerator(small_sam, **LOWERED).generate(image)
    theirs = SamAutomaticMaskGenerator(reference_model, **LOWERED).generate(image)
    found = {(*each["point_coords"][0], each["predicted_iou"]): each for each in ours}
    compared = 0
    for each in theirs:
        key = (*each["point_coords"][0], each["predicted_iou"])
        near = [
            mine for place, mine in found.items() if np.allclose(place, key, atol=1e-4)
        ]
        for mine in near:
            compared += 1
            assert mine.keys() == each.keys()
            assert mine["bbox"] == pytest.approx(each["bbox"], abs=1)
            assert mine["crop_box"] == each["crop_box"]
            assert mine["area"] == pytest.approx(each["area"], rel=0.01)
            assert mine["stability_score"] == pytest.approx(
                each["stability_score"], abs=2e-3
            )
    assert compared >= 0.99 * len(theirs)


def test_run_lengths_hold_the_same_masks(small_sam: Sam, textured: Image) -> None:
    coco = pytest.importorskip("pycocotools.mask")
    image, kinds = textured(SHAPE), ("binary_mask", "uncompressed_rle", "coco_rle")
    plain, runs, compressed = (
        AutomaticMaskGenerator(small_sam, **LOWERED, output_mode=kind).generate(image)
        for kind in kinds
    )
    assert len(plain) == len(runs) == len(compressed) > 0
    for mask, counts, text in zip(plain, runs, compressed, strict=True):
        segmentation = counts["segmentation"]
        assert tuple(segmentation["size"]) == SHAPE
        decoded = decode_rle(segmentation["counts"], SHAPE)
        np.testing.assert_array_equal(decoded, mask["segmentation"])
        assert isinstance(text["segmentation"]["counts"], str)
        decoded = coco.decode(text["segmentation"]).astype(bool)
        np.testing.assert_array_equal(decoded, mask["segmentation"])
        assert mask["area"] == mask["segmentation"].sum()


def test_an_embedding_made_before_gives_the_same(
    small_sam: Sam, textured: Image
) -> None:
    predictor, image = SamPredictor(small_sam), textured(SHAPE)
    predictor.set_image(image)
    generator = AutomaticMaskGenerator(small_sam, **LOWERED)
    again = generator.generate(image, embedding=predictor.embedding)
    for one, other in zip(generator.generate(image), again, strict=True):
        np.testing.assert_array_equal(one["segmentation"], other["segmentation"])
    with pytest.raises(ImageError, match="embedding"):
        generator.generate(image[:100], embedding=predictor.embedding)


def test_crops_need_the_image(small_sam: Sam, textured: Image) -> None:
    predictor = SamPredictor(small_sam)
    predictor.set_image(textured(SHAPE))
    generator = AutomaticMaskGenerator(small_sam, crop_n_layers=1)
    with pytest.raises(ModelError, match="crop_n_layers"):
        generator.find_in(predictor.embedding)


def test_nothing_found_is_an_empty_list(small_sam: Sam, textured: Image) -> None:
    strict = {**LOWERED, "pred_iou_thresh": 100.0, "crop_n_layers": 1}
    strict["min_mask_region_area"] = 5
    assert AutomaticMaskGenerator(small_sam, **strict).generate(textured(SHAPE)) == []


def test_progress_counts_the_points_and_may_stop(
    small_sam: Sam, textured: Image
) -> None:
    class Enough(Exception):
        pass

    seen: list[tuple[int, int | None]] = []

    def watch(done: int, total: int | None) -> None:
        seen.append((done, total))
        if done >= 32:
            raise Enough

    generator = AutomaticMaskGenerator(
        small_sam, **LOWERED | {"points_per_batch": 16}, crop_n_layers=1
    )
    with pytest.raises(Enough):
        generator.generate(textured(SHAPE), progress=watch)
    assert seen == [(0, 320), (16, 320), (32, 320)]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"points_per_side": None}, "either points_per_side or point_grids"),
        (
            {
                "points_per_side": None,
                "point_grids": [[[0.5, 0.5]]],
                "crop_n_layers": 1,
            },
            "need 2 point grids",
        ),
        ({"output_mode": "png"}, "no output mode 'png'"),
    ],
)
def test_contradictions_are_refused(
    small_sam: Sam, settings: dict[str, Any], words: str
) -> None:
    with pytest.raises(ModelError, match=words):
        AutomaticMaskGenerator(small_sam, **settings)
