"""What the bundled model is unsure of, it is asked again in the mirror."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from napari_sam.inference.blocks import View
from napari_sam.inference.mirrored import (
    KEPT_VIEWS,
    MIRRORS,
    MirroredViews,
    mirror_boxes,
    mirror_points,
)
from napari_sam.inference.predictor import SamPredictor
from napari_sam.inference.pyramid import PyramidFraming
from napari_sam.structures import BoxPrompt, MaskPrompt, PointPrompt, PromptSet

from .test_pyramid import make_model

MODEL = make_model()
FRAMING = PyramidFraming(MODEL)
MIRRORED = MirroredViews(MODEL)
ALL = slice(0, None)


def mirrored_prompt(prompt: PromptSet, side: int) -> PromptSet:
    """The same prompt on an image (side, side) turned left to right."""
    box = prompt.box and BoxPrompt(
        (prompt.box.start[0], side - prompt.box.stop[1]),
        (prompt.box.stop[0], side - prompt.box.start[1]),
    )
    mask = prompt.mask and MaskPrompt(np.ascontiguousarray(prompt.mask.values[:, ::-1]))
    points = tuple(
        PointPrompt((p.position[0], side - 1 - p.position[1]), p.positive)
        for p in prompt.points
    )
    return PromptSet(points, box, mask)


def disc(side: int) -> MaskPrompt:
    rows, cols = np.mgrid[:side, :side]
    return MaskPrompt((rows - 90) ** 2 + (cols - 100) ** 2 < 20**2)


@pytest.mark.parametrize(
    "prompt",
    [
        PromptSet((PointPrompt((90.0, 100.0)), PointPrompt((60.0, 30.0), False))),
        PromptSet(box=BoxPrompt((60.0, 80.0), (120.0, 131.0))),
        PromptSet((PointPrompt((90.0, 100.0)),), mask=disc(256)),
    ],
    ids=["clicks", "box", "mask"],
)
def test_a_mirrored_view_is_a_view_of_the_mirrored_image(prompt: PromptSet) -> None:
    """The whole way: pixels, prompts and logits agree with a turned image's own."""
    image = np.random.default_rng(3).random((3, 256, 256)).astype(np.float32)
    view = View(0, 0, 0)
    logits, iou = MIRRORED.decode(FRAMING.encode(image), [prompt], [view], ALL)
    turned = FRAMING.encode(np.ascontiguousarray(image[:, :, ::-1]))
    asked = [mirrored_prompt(prompt, 256)]
    wanted, wanted_iou = FRAMING.decode_in(turned, asked, [view], ALL)
    assert logits.shape == (len(MIRRORS), 1, *wanted.shape[1:])
    torch.testing.assert_close(logits[0], wanted.flip(-1), atol=1e-3, rtol=1e-3)
    torch.testing.assert_close(iou[0], wanted_iou, atol=1e-4, rtol=1e-3)


def test_points_and_boxes_are_mirrored_to_the_same_pixels() -> None:
    points = torch.tensor([[[0.0, 10.0], [255.0, 3.5]]])
    both = mirror_points(points, (-2, -1), 256)
    assert both.tolist() == [[[255.0, 245.0], [0.0, 251.5]]]
    boxes = torch.tensor([[0.0, 10.0, 20.0, 40.0], [0.0, 0.0, 0.0, 0.0]])
    assert mirror_boxes(boxes, (-1,), 256).tolist() == [
        [236.0, 10.0, 256.0, 40.0],
        # No box stays no box.
        [0.0, 0.0, 0.0, 0.0],
    ]


def test_an_unsure_answer_is_the_mean_of_all_mirrors() -> None:
    predictor = SamPredictor(MODEL)
    predictor.set_image(np.random.default_rng(4).random((256, 256)))
    embedding, click = predictor.embedding, PromptSet((PointPrompt((90.0, 100.0)),))
    mask = disc(256)
    prompt = PromptSet(click.points, mask=mask)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("napari_sam.inference.pyramid.SURE", -1.0)
        (sure,) = predictor.framing.decode(embedding, [prompt], False)
        patch.setattr("napari_sam.inference.pyramid.SURE", 2.0)
        (unsure,) = predictor.framing.decode(embedding, [prompt], False)
        (spared,) = predictor.framing.decode_low_res(embedding, [prompt], False)
    (view,) = embedding.mirrored  # type: ignore[attr-defined]
    logits, iou = MIRRORED.decode(embedding, [prompt], [view], slice(0, 1))  # type: ignore[arg-type]
    mean = (torch.from_numpy(sure.low_res_masks) + logits[:, 0].sum(0)) / 4
    np.testing.assert_allclose(unsure.low_res_masks, mean, atol=1e-4)
    rated = (float(sure.predicted_iou[0]) + float(iou.clamp(0, 1).sum())) / 4
    assert float(unsure.predicted_iou[0]) == pytest.approx(rated, abs=1e-4)
    # Among many, as in automatic segmentation, no mirror is encoded.
    np.testing.assert_allclose(spared.logits, sure.low_res_masks, atol=1e-4)


def test_mirrors_are_kept_for_the_next_click_but_not_without_end() -> None:
    embedding = FRAMING.encode(np.zeros((3, 600, 600), np.float32))
    before = embedding.nbytes
    click = PromptSet((PointPrompt((300.0, 300.0)),))
    views = [View(0, 8 * step, 0) for step in range(KEPT_VIEWS + 2)]
    for view in views:
        MIRRORED.decode(embedding, [click], [view], ALL)
    assert list(embedding.mirrored) == views[-KEPT_VIEWS:]
    assert embedding.nbytes > before
    kept = embedding.mirrored[views[-1]]
    MIRRORED.decode(embedding, [click], [views[-1]], ALL)
    assert embedding.mirrored[views[-1]] is kept
