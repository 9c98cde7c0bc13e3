"""Prompt tokens of phrases: fitted, kept, and refused beside another model."""

from __future__ import annotations

from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pytest
import torch

from napari_sam.errors import ModelError
from napari_sam.inference.predictor import SamPredictor
from napari_sam.inference.text_tokens import TokenPath
from napari_sam.nn.sam import Sam
from napari_sam.training.text_tokens import TokenRecipe, teach_tokens


class CropClip:
    """Embeds crops by their mean colour."""

    identity = "crops"

    def embed_crops(self, crops: list[np.ndarray]) -> np.ndarray:
        means = np.stack([[*crop.mean((1, 2)), 1.0] for crop in crops])
        return (means / np.linalg.norm(means, axis=1, keepdims=True)).astype(np.float32)


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    folder = tmp_path / "squares"
    for index in range(2):
        labels = np.zeros((48, 64), np.uint8)
        labels[10 : 30 + index, 20:44] = 1
        for kind, array in (("images", labels * 200), ("labels", labels)):
            (folder / kind).mkdir(parents=True, exist_ok=True)
            imageio.imwrite(folder / kind / f"{index}.png", array)
    return folder


def test_tokens_learn_and_come_back(
    small_sam: Sam, dataset: Path, tmp_path: Path
) -> None:
    predictor, out = SamPredictor(small_sam), tmp_path / "tokens.safetensors"
    recipe = TokenRecipe(steps=40, learning_rate=3e-3)
    before = small_sam.mask_decoder.iou_token.weight.clone()
    result = teach_tokens(predictor, CropClip(), [dataset], recipe, out)  # type: ignore[arg-type]
    assert result.last_loss < result.first_loss
    torch.testing.assert_close(small_sam.mask_decoder.iou_token.weight, before)
    path = TokenPath(predictor, CropClip(), out)  # type: ignore[arg-type]
    predictor.set_image(imageio.imread(dataset / "images" / "0.png"))
    region = path.region(np.array([[0.5, 0.5, 0.5, 0.5]], np.float32))
    assert region.shape == (48, 64) and region.dtype == bool


def test_another_clip_is_refused(small_sam: Sam, dataset: Path, tmp_path: Path) -> None:
    predictor, out = SamPredictor(small_sam), tmp_path / "tokens.safetensors"
    teach_tokens(predictor, CropClip(), [dataset], TokenRecipe(steps=1), out)  # type: ignore[arg-type]
    other = CropClip()
    other.identity = "another"
    with pytest.raises(ModelError, match="another CLIP"):
        TokenPath(predictor, other, out)  # type: ignore[arg-type]


def test_a_phrase_token_is_one_more_prompt(small_sam: Sam) -> None:
    predictor = SamPredictor(small_sam)
    predictor.set_image(np.arange(48 * 64, dtype=np.uint8).reshape(48, 64))
    context = predictor.embedding.context  # type: ignore[attr-defined]
    width = small_sam.prompt_encoder.embed_dim
    points = (torch.tensor([[[30.0, 20.0]]]), torch.ones(1, 1))
    with torch.no_grad():
        plain, _ = small_sam.decode(context, points)
        asked, _ = small_sam.decode(context, points, text=torch.ones(1, 1, width))
        alone, _ = small_sam.decode(context, text=torch.ones(3, 2, width))
    assert not torch.allclose(plain, asked)
    assert len(alone) == 3
