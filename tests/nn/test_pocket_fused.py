"""Decoding without gradients: the same answers as with them, from fewer steps."""

from __future__ import annotations

from itertools import product

import pytest
import torch
from torch import Tensor

from napari_sam.nn.pocket import Pocket
from napari_sam.nn.pocket_encoder import PocketFeatures
from napari_sam.nn.pocket_fused import FusedDecoder
from napari_sam.nn.registry import create_model
from napari_sam.samples import load_sample

Prompts = tuple[tuple[Tensor, Tensor] | None, Tensor | None, Tensor | None]


@pytest.fixture(scope="module")
def bundled() -> Pocket:
    return create_model("pocket", device="cpu", dtype="float32")  # type: ignore[return-value]


@pytest.fixture(scope="module")
def features(bundled: Pocket) -> PocketFeatures:
    image = load_sample("fluorescence_nuclei").image[:256, :256].astype("float32")
    window = torch.from_numpy(image / image.max()).expand(2, 3, -1, -1).clone()
    window[1] = window[1].flip(-1)
    with torch.no_grad():
        return bundled.encode(window)


def prompts_of(points: int, box: str, mask: bool) -> Prompts:
    """Prompts of two windows, drawn at random; one click is in a corner."""
    generator = torch.Generator().manual_seed(points)
    coords = 256 * torch.rand(2, points, 2, generator=generator)
    labels = torch.randint(-1, 2, (2, points), generator=generator).float()
    if points:
        coords[1, 0], labels[:, 0] = torch.tensor([1.0, 254.0]), 1
    boxes = {
        "none": None,
        "padding": torch.zeros(2, 4),
        "one": torch.tensor([[30.0, 40, 80, 100], [0, 0, 0, 0]]),
        "large": torch.tensor([[3.0, 4, 250, 240], [9, 0, 40, 256]]),
    }[box]
    logits = 5 * torch.randn(2, 1, 128, 128, generator=generator) if mask else None
    return (coords, labels) if points else None, boxes, logits


@pytest.mark.parametrize(
    ("points", "box", "mask"),
    list(product((0, 1, 3), ("none", "padding", "one", "large"), (False, True))),
)
def test_answers_are_those_of_training(
    bundled: Pocket, features: PocketFeatures, points: int, box: str, mask: bool
) -> None:
    prompts = prompts_of(points, box, mask)
    with torch.no_grad():
        logits, iou = bundled.decode(features, *prompts)
    with torch.enable_grad():
        expected, expected_iou = bundled.decode(features, *prompts)
    assert expected.requires_grad
    assert not logits.requires_grad
    assert (logits - expected).abs().max() <= 1e-4
    # A rating counts the samples above 0, and rounding decides of one on the edge.
    assert (iou - expected_iou).abs().max() <= 1e-3


@pytest.mark.parametrize("position", [(0.0, 0.0), (255.0, 120.0), (131.3, 77.7)])
def test_one_click_is_embedded_from_a_part_of_the_window(
    bundled: Pocket, position: tuple[float, float]
) -> None:
    encoder = bundled.prompt_encoder
    click = torch.tensor([[position]]), torch.ones(1, 1)
    with torch.no_grad():
        fused = FusedDecoder(bundled)._map
        ((row0, col0, row1, col1),) = fused._parts(click, None, 1) or ()
        assert (row1 - row0) * (col1 - col0) <= 32 * 32 / 6
        found = fused(click, torch.zeros(1, 4), None, 1)
        expected = encoder.embed_map(encoder.draw_map(click, None, None, 1))
    for part, whole in zip(found, expected, strict=True):
        torch.testing.assert_close(part, whole, atol=2e-5, rtol=0)


def test_new_weights_are_noticed() -> None:
    torch.manual_seed(0)
    model = Pocket(width=32, window=64).eval()
    other = Pocket(width=32, window=64).eval()
    click = torch.tensor([[[10.0, 20.0]]]), torch.ones(1, 1)
    with torch.no_grad():
        features = model.encode(torch.rand(1, 3, 64, 64))
        first, _ = model.decode(features, click)
        model.mask_decoder.load_state_dict(other.mask_decoder.state_dict())
        second, _ = model.decode(features, click)
        expected, _ = model._decode(features, click, None, None)
        assert not torch.allclose(first, second, atol=1e-3)
        torch.testing.assert_close(second, expected, atol=1e-4, rtol=0)
    assert model._fused is not None
    # Moving them writes nothing, but what was derived would stay behind.
    assert model.double()._fused is None
