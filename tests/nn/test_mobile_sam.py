"""MobileSAM gives the reference implementation's embeddings and logits.

The reference runs in a process of its own: importing it overwrites timm's registry.
"""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest
import torch

from napari_sam.nn.sam import Sam, build_mobile_sam

REFERENCE = """
import sys, torch
from mobile_sam import sam_model_registry

torch.manual_seed(0)
torch.set_grad_enabled(False)
model = sam_model_registry["vit_t"]()
for name, value in [*model.named_parameters(), *model.named_buffers()]:
    if name.endswith(("attention_biases", "bias", "running_mean")):
        value.normal_(std=0.2)
    elif name.endswith(("bn.weight", "running_var")):
        value.uniform_(0.5, 2)
# The reference gathers its attention biases when it enters eval mode.
model.train()
model.eval()
x = torch.randn(1, 3, 1024, 1024)
coords, labels = torch.rand(1, 2, 2) * 1024, torch.tensor([[1, 0]])
embedding = model.image_encoder(x)
sparse, dense = model.prompt_encoder((coords, labels), None, None)
logits, iou = model.mask_decoder(
    embedding, model.prompt_encoder.get_dense_pe(), sparse, dense, True
)
torch.save(
    {
        "state": model.state_dict(), "x": x, "coords": coords, "labels": labels,
        "embedding": embedding, "logits": logits, "iou": iou,
    },
    sys.argv[1],
)
"""
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        find_spec("mobile_sam") is None,
        reason="The reference is not installed: pip install --no-deps mobilesam-mirror",
    ),
]


@pytest.fixture(scope="module")
def reference(tmp_path_factory: pytest.TempPathFactory) -> dict:
    path: Path = tmp_path_factory.mktemp("mobile_sam") / "reference.pt"
    subprocess.run([sys.executable, "-W", "ignore", "-c", REFERENCE, path], check=True)
    return torch.load(path, weights_only=True)


@pytest.fixture(scope="module")
def model(reference: dict) -> Sam:
    model = build_mobile_sam()
    model.load_state_dict(reference["state"], strict=True)
    return model


@torch.no_grad()
def test_same_embedding(model: Sam, reference: dict) -> None:
    embedding = model.encode_image(reference["x"])
    assert reference["embedding"].std() > 0.5
    assert (embedding - reference["embedding"]).abs().max() <= 1e-4


@torch.no_grad()
def test_same_logits(model: Sam, reference: dict) -> None:
    context = model.image_context(reference["embedding"])
    points = (reference["coords"], reference["labels"])
    logits, iou = model.decode(context, points=points)
    assert (logits - reference["logits"]).abs().max() <= 1e-4
    assert (iou - reference["iou"]).abs().max() <= 1e-4


@torch.no_grad()
def test_batch_norms_fold_without_changing_training(model: Sam) -> None:
    stem = model.image_encoder.patch_embed
    x = torch.randn(1, 3, 64, 64)
    folded = stem(x)
    stem.train()
    for layer in (stem.seq[0], stem.seq[2]):
        layer.bn.eval()
    assert (stem(x) - folded).abs().max() <= 1e-4
    stem.eval()
