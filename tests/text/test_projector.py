"""Heads and projections keep what they belong to."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from napari_sam.errors import CheckpointError, ModelError
from napari_sam.text.projector import (
    Binding,
    TextProjection,
    WordHead,
    load_head,
    load_projection,
    save_head,
    save_projection,
)

BINDING = Binding("clip-a", "pocket", "abc")


def test_a_head_comes_back_in_half_precision(tmp_path: Path) -> None:
    head = WordHead(12, 8, 16).eval()
    head.mean.fill_(0.5)
    save_head(head, BINDING, tmp_path / "words.safetensors")
    back, binding = load_head(tmp_path / "words.safetensors")
    assert binding == BINDING
    features = torch.randn(5, 12)
    torch.testing.assert_close(back(features), head(features), atol=5e-3, rtol=0)
    assert back(features).norm(dim=1).allclose(torch.ones(5))


def test_another_clip_or_model_is_refused() -> None:
    BINDING.check("clip-a", "pocket")
    with pytest.raises(ModelError, match="another CLIP"):
        BINDING.check("clip-b", "pocket")
    with pytest.raises(ModelError, match="'pocket', not for 'vit_b'"):
        BINDING.check("clip-a", "vit_b")


def test_a_projection_has_the_names_of_a_prompt_encoder(tmp_path: Path) -> None:
    from safetensors import safe_open

    projection = TextProjection(8, 16, tokens=2).eval()
    path = tmp_path / "tokens.safetensors"
    save_projection(projection, BINDING, path)
    with safe_open(path, framework="pt") as file:
        names = list(file.keys())
    assert all(name.startswith("prompt_encoder.text_proj.") for name in names)
    back, _ = load_projection(path)
    vectors = torch.randn(3, 8)
    torch.testing.assert_close(back(vectors), projection(vectors))
    assert back(vectors).shape == (3, 2, 16)


def test_missing_and_foreign_files_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="There is no file"):
        load_head(tmp_path / "none.safetensors")
    path = tmp_path / "other.safetensors"
    path.write_bytes(b"nonsense")
    with pytest.raises(CheckpointError, match="no file of train-text"):
        load_head(path)
    save_head(WordHead(4, 4, 4), BINDING, path)
    with pytest.raises(CheckpointError, match="no text projection"):
        load_projection(path)
