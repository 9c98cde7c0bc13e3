"""Prompt encoder and mask decoder give the reference implementation's logits."""

from __future__ import annotations

from typing import Any

import pytest
import segment_anything.modeling as reference_modeling
import torch
from torch import Tensor, nn

from napari_sam.nn import sam as sam_module
from napari_sam.nn.sam import Sam, assemble_sam

TOLERANCE = 1e-4
KINDS = ("point", "points", "box", "points and box", "mask", "point and mask", "none")


class NoEncoder(nn.Module):
    """Stands in for the image encoder: the embeddings here are random."""

    img_size = 1024


@pytest.fixture(scope="module")
def pair() -> tuple[Sam, reference_modeling.Sam]:
    torch.manual_seed(0)
    reference = reference_modeling.Sam(
        NoEncoder(),
        reference_modeling.PromptEncoder(256, (64, 64), (1024, 1024), 16),
        reference_modeling.MaskDecoder(
            transformer_dim=256,
            transformer=reference_modeling.TwoWayTransformer(2, 256, 8, 2048),
        ),
    ).eval()
    for parameter in reference.parameters():
        # Biases and norms that start as 0 and 1, and logits that start near 0.
        noise = torch.randn_like(parameter) * 0.1
        scaled = parameter * 1.5 if parameter.ndim > 1 else parameter + noise
        parameter.data.copy_(scaled)
    ours = assemble_sam(NoEncoder())
    ours.load_state_dict(reference.state_dict(), strict=True)
    return ours, reference


@pytest.fixture(scope="module")
def embedding() -> Tensor:
    return torch.randn(1, 256, 64, 64, generator=torch.Generator().manual_seed(1))


def prompts_of(kind: str, batch: int) -> dict[str, Any]:
    """Keywords of `Sam.decode`, all kinds and labels as the reference takes them."""
    generator = torch.Generator().manual_seed(batch)

    def random(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator)

    prompts: dict[str, Any] = {"points": None, "boxes": None, "masks": None}
    if "point" in kind:
        count = 4 if "points" in kind else 1
        labels = torch.tensor([1, 0, -1, 1])[:count].expand(batch, -1)
        prompts["points"] = (random(batch, count, 2) * 1024, labels)
    if "box" in kind:
        prompts["boxes"] = random(batch, 4) * 1024
    if "mask" in kind:
        prompts["masks"] = random(batch, 1, 256, 256) * 20 - 10
    return prompts


@torch.no_grad()
def reference_decode(
    model: reference_modeling.Sam,
    embedding: Tensor,
    prompts: dict[str, Any],
    multimask_output: bool,
) -> tuple[Tensor, Tensor]:
    sparse, dense = model.prompt_encoder(**prompts)
    return model.mask_decoder(
        image_embeddings=embedding,
        image_pe=model.prompt_encoder.get_dense_pe(),
        sparse_prompt_embeddings=sparse,
        dense_prompt_embeddings=dense,
        multimask_output=multimask_output,
    )


@pytest.mark.parametrize("multimask_output", [True, False])
@pytest.mark.parametrize("kind", KINDS)
def test_same_logits(
    pair: tuple[Sam, Any], embedding: Tensor, kind: str, multimask_output: bool
) -> None:
    ours, reference = pair
    prompts = prompts_of(kind, 1)
    expected, expected_iou = reference_decode(
        reference, embedding, prompts, multimask_output
    )
    with torch.no_grad():
        context = ours.image_context(embedding)
        logits, iou = ours.decode(context, multimask_output=multimask_output, **prompts)
    assert expected.std() > 0.1
    assert logits.shape == expected.shape
    assert iou.shape == expected_iou.shape
    assert (logits - expected).abs().max() <= TOLERANCE
    assert (iou - expected_iou).abs().max() <= TOLERANCE


@pytest.mark.parametrize("kind", ["points", "point and mask"])
def test_batch_equals_reference(
    pair: tuple[Sam, Any], embedding: Tensor, kind: str
) -> None:
    ours, reference = pair
    # More than are decoded at once, and not a multiple of it.
    batch = sam_module.DECODED_AT_ONCE["cpu"] + 1
    prompts = prompts_of(kind, batch)
    expected, expected_iou = reference_decode(reference, embedding, prompts, True)
    with torch.no_grad():
        logits, iou = ours.decode(ours.image_context(embedding), **prompts)
    assert (logits - expected).abs().max() <= TOLERANCE
    assert (iou - expected_iou).abs().max() <= TOLERANCE


def test_position_code_and_prompt_tokens(pair: tuple[Sam, Any]) -> None:
    ours, reference = pair
    mine, theirs = ours.prompt_encoder, reference.prompt_encoder
    assert (mine.get_dense_pe() - theirs.get_dense_pe()).abs().max() <= 1e-5
    for kind in KINDS:
        prompts = prompts_of(kind, 2)
        for a, b in zip(mine(**prompts), theirs(**prompts), strict=True):
            # Ours is kept once for all prompts where there is no mask.
            assert torch.allclose(a.expand_as(b), b, rtol=0, atol=1e-5), kind


def test_image_side_needs_no_prompt(
    pair: tuple[Sam, Any], embedding: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours, _ = pair
    context = ours.image_context(embedding)

    def fail(*_: Any) -> None:
        raise AssertionError("The image was projected for a prompt.")

    first = ours.mask_decoder.transformer.layers[0]
    monkeypatch.setattr(first, "project", fail)
    ours.decode(context, **prompts_of("point", 1))


def test_gradients_reach_every_parameter(
    pair: tuple[Sam, Any], embedding: Tensor
) -> None:
    ours, _ = pair
    decoder = ours.mask_decoder
    for multimask_output in (True, False):
        logits, iou = ours.decode(
            ours.image_context(embedding),
            multimask_output=multimask_output,
            **prompts_of("points", 2),
        )
        (logits.sum() + iou.sum()).backward()
    without = [name for name, p in decoder.named_parameters() if p.grad is None]
    # Softmax ignores what the bias of the keys adds to all scores of a query.
    assert all(name.endswith("k_proj.bias") for name in without)
    decoder.zero_grad()
