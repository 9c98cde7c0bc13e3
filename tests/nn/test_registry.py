"""Every registered model, unasked; and registering, naming and creating models."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from napari_sam.errors import ModelError, PromptError
from napari_sam.inference.predictor import SamPredictor
from napari_sam.nn import registry
from napari_sam.nn.architectures import recognise
from napari_sam.nn.checkpoint import check_fit
from napari_sam.nn.device import choose_device
from napari_sam.nn.fills import UnfilledWeights
from napari_sam.nn.registry import (
    build_model,
    create_model,
    list_models,
    model_config,
)
from napari_sam.structures import (
    BoxPrompt,
    MaskPrompt,
    PointPrompt,
    PromptSet,
    TextPrompt,
)

BUILT_IN = {
    "pocket",
    "sam_vit_b",
    "sam_vit_l",
    "sam_vit_h",
    "mobile_sam",
    "vit_t_lm",
    "vit_b_lm",
    "vit_l_lm",
    "vit_t_em_organelles",
    "vit_b_em_organelles",
    "vit_l_em_organelles",
    "vit_b_histopathology",
    "vit_l_histopathology",
    "vit_h_histopathology",
}
# One of each architecture that is small enough to fill with numbers in a test.
SMALL = ["pocket", "mobile_sam"]


def test_built_in_models_are_listed() -> None:
    assert set(list_models()) == BUILT_IN


@pytest.mark.parametrize("name", list_models())
def test_config_says_where_the_weights_come_from(name: str) -> None:
    config = model_config(name)
    assert config.bundled or config.url
    assert config.bundled or config.sha256 or config.xxh128
    assert len(config.sha256 or "0" * 64) == 64
    assert len(config.xxh128 or "0" * 32) == 32
    assert len(config.decoder_xxh128 or "0" * 32) == 32
    assert config.licence
    assert config.source
    assert {"point", "box", "mask"} <= config.prompts


def test_no_two_models_share_a_file_or_a_hash() -> None:
    configs = [model_config(name) for name in list_models()]
    for key in ("filename", "url", "sha256", "xxh128", "decoder_xxh128"):
        values = [v for v in (getattr(config, key) for config in configs) if v]
        assert len(values) == len(set(values)), key


@pytest.mark.parametrize("name", list_models())
def test_build_has_the_keys_of_its_architecture(name: str) -> None:
    with torch.device("meta"), UnfilledWeights():
        state = build_model(name).state_dict()
    assert recognise(state) == model_config(name).architecture
    parts = {key.split(".")[0] for key in state}
    parts.discard("object_head")  # of pocket alone
    assert parts == {"image_encoder", "prompt_encoder", "mask_decoder"}


@pytest.mark.parametrize("name", SMALL)
def test_own_state_dict_loads_strictly(name: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    model = create_model(name, device="cpu", dtype="float32", pretrained=False)
    path = tmp_path / "own.pth"
    torch.save(model.state_dict(), path)
    loaded = create_model(name, path, device="cpu", dtype="float32")
    for key, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[key], value), key
    check_fit(dict(model.state_dict()), name, path)


@pytest.mark.parametrize("name", SMALL)
def test_created_model_is_labelled_and_in_eval_mode(name: str) -> None:
    model = create_model(name, device="cpu", dtype="float32", pretrained=False)
    assert model.name == name
    assert model.config == model_config(name)
    assert model.device == torch.device("cpu")
    assert model.compute_dtype == torch.float32
    assert model.checkpoint_sha256 is None
    assert not any(module.training for module in model.modules())
    assert {p.dtype for p in model.parameters()} == {torch.float32}


@pytest.fixture(scope="module", params=SMALL)
def predictor(request: pytest.FixtureRequest) -> SamPredictor:
    """A model with random weights that looks at an image."""
    torch.manual_seed(0)
    model = create_model(request.param, device="cpu", dtype="float32", pretrained=False)
    predictor = SamPredictor(model)
    predictor.set_image(_image())
    return predictor


def _image() -> np.ndarray:
    return np.random.default_rng(0).integers(0, 255, (70, 90), np.uint8)


PROMPTS = {
    "point": PromptSet(points=(PointPrompt((30, 40)), PointPrompt((9, 9), False))),
    "box": PromptSet(box=BoxPrompt((10, 20), (40, 60))),
    "mask": PromptSet(mask=MaskPrompt(np.tri(70, 90, dtype=bool))),
}


@pytest.mark.parametrize("kind", PROMPTS)
def test_declared_prompts_are_taken(predictor: SamPredictor, kind: str) -> None:
    assert kind in predictor.model.config.prompts
    for multimask in (True, False):
        found = predictor.predict(PROMPTS[kind], multimask_output=multimask)
        count = 3 if multimask else 1
        assert found.masks.shape == (count, 70, 90)
        assert found.masks.dtype == bool
        assert found.predicted_iou.shape == found.stability_score.shape == (count,)


def test_undeclared_prompts_are_refused(predictor: SamPredictor) -> None:
    assert "text" not in predictor.model.config.prompts
    with pytest.raises(PromptError):
        predictor.predict(PromptSet(text=TextPrompt("nuclei")))


def test_prediction_is_deterministic(predictor: SamPredictor) -> None:
    first = predictor.predict(PROMPTS["point"])
    kept = predictor.embedding
    predictor.set_image(_image())
    again = predictor.predict(PROMPTS["point"])
    predictor.set_embedding(kept)
    assert np.array_equal(first.masks, again.masks)
    assert np.array_equal(first.predicted_iou, again.predicted_iou)


def test_batch_equals_a_loop(predictor: SamPredictor) -> None:
    prompts = list(PROMPTS.values())
    for one, many in zip(
        map(predictor.predict, prompts), predictor.predict_batch(prompts), strict=True
    ):
        np.testing.assert_allclose(one.low_res_masks, many.low_res_masks, atol=1e-3)
        np.testing.assert_allclose(one.predicted_iou, many.predicted_iou, atol=1e-4)


def test_weights_are_not_drawn_before_a_load() -> None:
    torch.manual_seed(0)
    before = torch.get_rng_state()
    with UnfilledWeights():
        build_model("mobile_sam")
    # The prompt encoder's random code is drawn as usual; all else would take millions.
    drawn = torch.get_rng_state()
    torch.manual_seed(0)
    torch.randn(2, 128)
    assert torch.equal(drawn, torch.get_rng_state())
    assert not torch.equal(drawn, before)


def test_unknown_model_names_the_known_ones() -> None:
    with pytest.raises(ModelError, match=r"'sam_vit_x'; there are: pocket, sam_vit_b"):
        model_config("sam_vit_x")


def test_name_is_registered_once(register: Any) -> None:
    register("tiny")
    assert "tiny" in list_models()
    with pytest.raises(ModelError, match="registered already"):
        register("tiny")


def test_wrong_device_and_dtype(register: Any) -> None:
    register("tiny")
    for device in ("gpu", "cuda:99", "meta", ""):
        with pytest.raises(ModelError, match="device"):
            create_model("tiny", device=device, pretrained=False)
    with pytest.raises(ModelError, match="dtype"):
        create_model("tiny", device="cpu", dtype="int8", pretrained=False)


@pytest.mark.parametrize(
    ("cuda", "mps", "chosen"),
    [(True, True, "cuda"), (False, True, "mps"), (False, False, "cpu")],
)
def test_auto_prefers_cuda_then_mps(
    monkeypatch: pytest.MonkeyPatch, cuda: bool, mps: bool, chosen: str
) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)
    assert choose_device().type == chosen


def _entry_points(monkeypatch: pytest.MonkeyPatch, *values: str) -> None:
    points = [EntryPoint("x", value, registry.ENTRY_POINT_GROUP) for value in values]
    monkeypatch.setattr(registry, "entry_points", lambda group: points)
    monkeypatch.setattr(registry, "_REGISTERED", dict(registry._REGISTERED))
    monkeypatch.setattr(registry, "_loaded", False)


def test_another_package_adds_its_models(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "their_models.py").write_text(
        "from napari_sam import PretrainedConfig, register_model\n"
        "from torch import nn\n"
        "config = PretrainedConfig(url=None, filename='theirs.pth')\n"
        "register_model('theirs', config=config)(lambda: nn.Linear(1, 1))\n"
    )
    list_models()
    monkeypatch.syspath_prepend(str(tmp_path))
    _entry_points(monkeypatch, "their_models")
    assert list_models()[-1] == "theirs"
    model = create_model("theirs", device="cpu", dtype="float32", pretrained=False)
    assert model.name == "theirs"


def test_broken_package_does_not_hide_the_others(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    list_models()
    _entry_points(monkeypatch, "no_such_module_at_all")
    with pytest.warns(UserWarning, match="no_such_module_at_all could not be loaded"):
        assert set(list_models()) == BUILT_IN


def test_listing_imports_no_torch() -> None:
    code = (
        "import sys; from napari_sam.nn.registry import list_models, model_config; "
        "[model_config(name) for name in list_models()]; "
        "print(sorted({'torch', 'timm', 'pooch', 'requests'} & set(sys.modules)))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"
