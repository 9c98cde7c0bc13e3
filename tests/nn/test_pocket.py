"""The bundled model's parts: shapes, the prompt map, and what a prompt may change."""

from __future__ import annotations

import math

import pytest
import torch

from napari_sam.nn.pocket import Pocket
from napari_sam.nn.pocket_encoder import Context, PocketFeatures
from napari_sam.nn.pocket_quality import MaskQualityHead, look


@pytest.fixture(scope="module")
def model() -> Pocket:
    torch.manual_seed(0)
    return Pocket(width=32, window=64).eval()


@pytest.fixture(scope="module")
def features(model: Pocket) -> PocketFeatures:
    torch.manual_seed(1)
    with torch.no_grad():
        return model.encode(torch.rand(2, 3, 64, 64))


@pytest.mark.parametrize("shape", [(64, 64), (96, 160), (32, 64)])
def test_features_have_the_strides_they_promise(
    model: Pocket, shape: tuple[int, int]
) -> None:
    height, width = shape
    with torch.no_grad():
        made = model.encode(torch.rand(1, 3, height, width))
    assert made.embedding.shape == (1, 32, height // 8, width // 8)
    assert made.skip4.shape == (1, 8, height // 4, width // 4)
    assert made.skip2.shape == (1, 4, height // 2, width // 2)
    assert made.dense.shape == (1, 4, height // 2, width // 2)


def test_four_masks_at_half_resolution(model: Pocket, features: PocketFeatures) -> None:
    points = torch.tensor([[[10.0, 20.0]], [[40.0, 30.0]]]), torch.ones(2, 1)
    with torch.no_grad():
        logits, iou = model.decode(features, points)
    assert logits.shape == (2, 4, 32, 32)
    assert iou.shape == (2, 4)


def test_a_batch_equals_a_loop(model: Pocket, features: PocketFeatures) -> None:
    coords = torch.tensor([[[10.0, 20.0], [3.0, 3.0]], [[40.0, 30.0], [60.0, 1.0]]])
    labels = torch.tensor([[1, 0], [1, 1]])
    boxes = torch.tensor([[4.0, 4, 30, 40], [0, 0, 0, 0]])
    with torch.no_grad():
        logits, iou = model.decode(features, (coords, labels), boxes)
        for row in range(2):
            one = features.select(torch.tensor([row]))
            chosen = slice(row, row + 1)
            alone, quality = model.decode(
                one, (coords[chosen], labels[chosen]), boxes[chosen]
            )
            torch.testing.assert_close(alone[0], logits[row], atol=1e-4, rtol=1e-4)
            torch.testing.assert_close(quality[0], iou[row], atol=1e-4, rtol=1e-4)


def test_clicks_are_drawn_where_they_are(model: Pocket) -> None:
    coords = torch.tensor([[[10.0, 20.0], [50.0, 40.0]]])
    drawn = model.prompt_encoder.draw_map(
        (coords, torch.tensor([[1, 0]])), None, None, 1
    )
    positive, negative = drawn[0, 1], drawn[0, 2]
    # Half resolution, so pixel (row 20, col 10) is sample (10, 5).
    assert divmod(int(positive.argmax()), 32) == (10, 5)
    assert divmod(int(negative.argmax()), 32) == (20, 25)
    assert positive.max() > 0.95
    assert positive[20, 25] < 1e-3


def test_padding_draws_nothing(model: Pocket) -> None:
    coords = torch.tensor([[[10.0, 20.0]]])
    drawn = model.prompt_encoder.draw_map(
        (coords, torch.tensor([[-1]])), torch.zeros(1, 4), None, 1
    )
    assert not drawn.any()


def test_a_box_fills_its_pixels(model: Pocket) -> None:
    boxes = torch.tensor([[8.0, 4.0, 20.0, 40.0]])
    drawn = model.prompt_encoder.draw_map(None, boxes, None, 1)[0, 3]
    expected = torch.zeros(32, 32)
    expected[2:20, 4:10] = 1
    assert torch.equal(drawn, expected)


def test_previous_logits_are_drawn_bounded(model: Pocket) -> None:
    logits = torch.full((1, 1, 32, 32), 100.0)
    logits[..., :16] = -4.0
    drawn = model.prompt_encoder.draw_map(None, None, logits, 1)[0, 0]
    assert drawn.max() == 2
    assert drawn[0, 0] == -0.5


def test_each_kind_of_prompt_changes_the_answer(
    model: Pocket, features: PocketFeatures
) -> None:
    point = torch.tensor([[[10.0, 20.0]], [[40.0, 30.0]]])
    positive, negative = torch.ones(2, 1), torch.zeros(2, 1)
    boxes = torch.tensor([[4.0, 4, 30, 40]]).repeat(2, 1)
    masks = torch.randn(2, 1, 32, 32)
    with torch.no_grad():
        answers = [
            model.decode(features, (point, positive))[0],
            model.decode(features, (point, negative))[0],
            model.decode(features, (point + 10, positive))[0],
            model.decode(features, (point, positive), boxes)[0],
            model.decode(features, (point, positive), None, masks)[0],
        ]
    for other in answers[1:]:
        assert (answers[0] - other).abs().max() > 1e-4


def test_context_of_a_large_image_is_local() -> None:
    torch.manual_seed(0)
    context = Context(16).eval()
    x = torch.rand(1, 16, 32, 32)
    changed = x.clone()
    changed[..., 24:, 24:] += 5
    with torch.no_grad():
        before, after = context(x), context(changed)
    assert torch.equal(before[..., :16, :16], after[..., :16, :16])
    assert not torch.equal(before[..., 22, 22], after[..., 22, 22])


def test_a_mask_keeps_a_part_of_the_one_before(
    model: Pocket, features: PocketFeatures
) -> None:
    tokens = torch.randn(2, 6, 32)
    previous = torch.zeros(2, 1, 32, 32)
    previous[:, :, :4] = 50.0
    kept = model.mask_decoder.keep(tokens, torch.zeros(2, 4, 32, 32), previous)
    # A sigmoid of -1 of logits that are held to 8; nothing where nothing was.
    assert torch.allclose(kept[:, :, :4], torch.tensor(8 * 0.26894))
    assert not kept[:, :, 4:].any()
    with torch.no_grad():
        click = torch.tensor([[[10.0, 20.0]], [[40.0, 30.0]]]), torch.ones(2, 1)
        empty = model.decode(features, click, masks=torch.zeros(2, 1, 32, 32))
        none = model.decode(features, click)
    torch.testing.assert_close(empty, none)


def test_quality_is_told_what_a_mask_covers() -> None:
    torch.manual_seed(0)
    head = MaskQualityHead(token_width=4, pixel_width=3, dense_width=2)
    seen = head.mlp.layers[0].in_features - 4
    assert head(torch.rand(1, 2, 4), *pictures(2)).abs().max() == 0
    inside = look(*pictures(2))
    assert inside.shape == (1, 2, seen)
    # Mask 0 covers 16 of 256 pixels, surely; mask 1 covers 64.
    area, sure, stable, _ = inside[0, 0, :4].tolist()
    assert area == pytest.approx(math.log2(17) / 16)
    assert sure == pytest.approx(torch.sigmoid(torch.tensor(5.0)).item())
    assert stable == 1
    assert inside[0, 1, 0] == pytest.approx(math.log2(65) / 16)
    # The first feature is 1 in the first mask alone, so a quarter of the second.
    assert inside[0, :, 4].tolist() == pytest.approx([1.0, 0.25])


def test_no_gradient_flows_into_a_mask_from_its_rating() -> None:
    head = MaskQualityHead(token_width=4, pixel_width=3, dense_width=2)
    torch.nn.init.ones_(head.mlp.layers[-1].weight)
    logits, upscaled, dense = (x.requires_grad_() for x in pictures(2))
    tokens = torch.rand(1, 2, 4, requires_grad=True)
    head(tokens, logits, upscaled, dense).sum().backward()
    assert logits.grad is None and upscaled.grad is None and dense.grad is None
    assert tokens.grad is not None


def pictures(masks: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Nested square masks, features of which the first marks the inner square."""
    logits = torch.full((1, masks, 16, 16), -5.0)
    logits[:, 0, 4:8, 4:8] = 5.0
    logits[:, 1, 2:10, 2:10] = 5.0
    upscaled = torch.rand(1, 3, 16, 16)
    upscaled[:, 0] = logits[:, 0] > 0
    return logits, upscaled, torch.rand(1, 2, 16, 16)
