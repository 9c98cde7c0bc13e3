"""The crossing between the image's (row, col) and the model input's (x, y)."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from napari_sam.geometry import (
    frame_to_image,
    image_to_frame,
    longest_side_shape,
    mask_iou,
)
from napari_sam.inference import fixed_frame
from napari_sam.inference.fixed_frame import FixedEmbedding
from napari_sam.inference.framing import chunks_of_a_kind
from napari_sam.structures import Frame, MaskPrompt, PointPrompt, PromptSet

SHAPES = st.tuples(st.integers(1, 3000), st.integers(1, 3000))
FRACTIONS = st.tuples(st.floats(0, 1), st.floats(0, 1))


def embedding_of(shape: tuple[int, int]) -> FixedEmbedding:
    """Return an embedding without features."""
    resized = longest_side_shape(shape, 1024)
    return FixedEmbedding(shape, "model", None, resized, 1024)  # type: ignore[arg-type]


@given(SHAPES, FRACTIONS)
def test_a_position_crosses_to_x_and_y_and_back(
    shape: tuple[int, int], fraction: tuple[float, float]
) -> None:
    embedding = embedding_of(shape)
    position = np.multiply(fraction, shape)
    x, y = fixed_frame._to_input_xy(position, embedding)
    height, width = embedding.input_shape
    np.testing.assert_allclose((y / height, x / width), fraction, atol=1e-9)
    back = np.array([y, x]) * shape / np.array([height, width])
    np.testing.assert_allclose(back, position, atol=1e-6)


@given(SHAPES, FRACTIONS)
def test_a_position_keeps_its_place_in_the_low_resolution_frame(
    shape: tuple[int, int], fraction: tuple[float, float]
) -> None:
    embedding = embedding_of(shape)
    position = np.multiply(fraction, shape)
    sample = image_to_frame(position, embedding.low_res_frame)
    xy = fixed_frame._to_input_xy(position, embedding)
    np.testing.assert_allclose(sample, xy[::-1] / 4, atol=1e-6)
    back = frame_to_image(sample, embedding.low_res_frame)
    np.testing.assert_allclose(back, position, atol=1e-6)


@given(
    st.tuples(st.integers(30, 300), st.integers(30, 300)),
    st.tuples(st.floats(0.3, 0.7), st.floats(0.3, 0.7)),
    st.floats(0.2, 0.3),
)
def test_a_mask_survives_the_low_resolution_frame(
    shape: tuple[int, int], centre: tuple[float, float], radius: float
) -> None:
    rows, cols = np.ogrid[: shape[0], : shape[1]]
    offsets = (rows / shape[0] - centre[0], cols / shape[1] - centre[1])
    disc: NDArray[np.bool_] = np.hypot(*offsets) < radius
    embedding = embedding_of(shape)
    logits = fixed_frame._to_low_res(MaskPrompt(disc), embedding)
    assert logits.shape == (256, 256)
    assert abs(logits).max() < 7
    back = np.zeros(shape, dtype=bool)
    fixed_frame._write_mask(torch_logits(logits), embedding, back)
    assert mask_iou(back, disc) > 0.97


def torch_logits(logits: NDArray[np.float32]) -> torch.Tensor:
    """As the decoder returns them."""
    return torch.from_numpy(np.ascontiguousarray(logits))


def test_logits_on_the_model_s_own_frame_are_passed_on_untouched() -> None:
    embedding = embedding_of((100, 200))
    logits = np.random.default_rng(0).normal(size=(256, 256)).astype(np.float32)
    prompt = MaskPrompt(logits, embedding.low_res_frame)
    assert fixed_frame._to_low_res(prompt, embedding) is logits


def test_logits_on_another_frame_are_moved_and_the_rest_is_background() -> None:
    embedding = embedding_of((1024, 1024))
    prompt = MaskPrompt(np.full((64, 64), 5.0), Frame((512.0, 256.0), (4, 4), (64, 64)))
    logits = fixed_frame._to_low_res(prompt, embedding)
    inside = np.zeros((256, 256), dtype=bool)
    inside[128:192, 64:128] = True
    np.testing.assert_allclose(logits[inside], 5, rtol=1e-5)
    assert (logits[~inside] < -6).all()


def test_a_padded_margin_of_object_does_not_reach_the_image() -> None:
    embedding = embedding_of((50, 100))
    logits = np.full((256, 256), -5.0, dtype=np.float32)
    logits[135:] = 5
    out = np.zeros((50, 100), dtype=bool)
    assert fixed_frame._write_mask(torch_logits(logits), embedding, out) == 0
    assert not out.any()


@pytest.mark.parametrize("shape", [(8, 8), (1, 40), (40, 1)])
def test_the_smallest_images_have_a_frame(shape: tuple[int, int]) -> None:
    embedding = embedding_of(shape)
    image = np.zeros((3, *shape), dtype=np.float32)
    resized = fixed_frame._resize(image, embedding.input_shape)
    assert resized.shape == (3, *embedding.input_shape)
    assert max(embedding.input_shape) == 1024


def test_prompts_are_grouped_by_their_kinds_within_the_chunk(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(fixed_frame, "CHUNK", 2)
    one = PromptSet(points=(PointPrompt((1, 1)),))
    two = PromptSet(points=(PointPrompt((1, 1)),) * 2)
    chunks = list(
        chunks_of_a_kind(
            map(fixed_frame._kind, [one, two, one, one, two]), fixed_frame.CHUNK
        )
    )
    assert chunks == [[0, 2], [3], [1, 4]]
