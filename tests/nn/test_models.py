"""Every registered model with SAM's frame, unasked: shapes, prompts and batches."""

from __future__ import annotations

from typing import Any, cast

import pytest
import torch
from torch import Tensor, nn

from napari_sam.nn.registry import build_model, list_models, model_config
from napari_sam.nn.sam import Sam

NAMES = [name for name in list_models() if model_config(name).image_size == 1024]
BATCH = 3


@pytest.fixture(params=NAMES)
def skeleton(request: pytest.FixtureRequest) -> Sam:
    """Return a model without memory for its weights: ViT-H has 2.5 GB of them."""
    with torch.device("meta"):
        return cast("Sam", build_model(request.param)).eval()


@pytest.fixture
def decoding(skeleton: Sam) -> Sam:
    """Give a model random weights, all but the image encoder's."""
    torch.manual_seed(0)
    skeleton.image_encoder = nn.Identity()
    model = skeleton.to_empty(device="cpu")
    for value in (*model.parameters(), *model.buffers()):
        nn.init.normal_(value, std=0.05)
    return model


def prompts_for(kind: str) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(BATCH, 2, 2, generator=generator) * 400
    boxes = torch.cat([corners[:, 0], corners[:, 0] + corners[:, 1]], dim=1)
    return {
        "point": {"points": (corners, torch.tensor([[1, 0]] * BATCH))},
        "box": {"boxes": boxes},
        "mask": {"masks": torch.randn(BATCH, 1, 256, 256, generator=generator)},
    }[kind]


def one_of(prompts: dict[str, Any], index: int) -> dict[str, Any]:
    def cut(value: Any) -> Any:
        if isinstance(value, Tensor):
            return value[index : index + 1]
        return tuple(cut(each) for each in value)

    return {key: cut(value) for key, value in prompts.items()}


def test_the_encoder_makes_cells_of_16_pixels(skeleton: Sam) -> None:
    images = torch.empty(
        (2, 3, skeleton.image_size, skeleton.image_size), device="meta"
    )
    assert skeleton.image_encoder(images).shape == (2, 256, 64, 64)


@torch.no_grad()
def test_declared_prompts_are_taken_and_a_batch_equals_a_loop(decoding: Sam) -> None:
    context = decoding.image_context(torch.randn(1, 256, 64, 64))
    answers = []
    for kind in ("point", "box", "mask"):
        prompts = prompts_for(kind)
        logits, iou = decoding.decode(context, **prompts)
        assert logits.shape == (BATCH, 3, 256, 256)
        assert iou.shape == (BATCH, 3)
        alone, _ = decoding.decode(context, **one_of(prompts, BATCH - 1))
        assert torch.allclose(alone[0], logits[-1], atol=1e-4), kind
        answers.append(logits)
    assert not torch.allclose(answers[0], answers[1])
    assert not torch.allclose(answers[0], answers[2])


@torch.no_grad()
def test_the_same_prompt_has_the_same_answer(decoding: Sam) -> None:
    embedding = torch.randn(1, 256, 64, 64)
    prompts = prompts_for("point")
    first, second = (
        decoding.decode(decoding.image_context(embedding), **prompts) for _ in range(2)
    )
    assert torch.equal(first[0], second[0])
    assert torch.equal(first[1], second[1])
