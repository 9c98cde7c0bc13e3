"""``napari-sam models``: list, info, download, verify, import and path."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from napari_sam.nn.registry import create_model, list_models
from napari_sam.nn.storage import models_folder


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    """A fine-tuned pocket model."""
    model = create_model("pocket", device="cpu", dtype="float32", pretrained=False)
    path = tmp_path / "tuned.pth"
    torch.save({"model_state": model.state_dict()}, path)
    return path


def test_list_shows_every_model(run: Any) -> None:
    code, out, err = run("models", "list")
    assert (code, err) == (0, "")
    for name in list_models():
        assert name in out


def test_list_as_json(run: Any) -> None:
    code, out, _ = run("models", "list", "--json")
    found = {each["name"]: each for each in json.loads(out)}
    assert code == 0
    assert list(found) == list_models()
    assert found["sam_vit_b"]["state"] == "not here"
    assert found["sam_vit_b"]["bytes"] == 375_042_383
    assert found["pocket"]["prompts"] == ["point", "box", "mask"]


def test_info(run: Any) -> None:
    code, out, _ = run("models", "info", "vit_b_lm")
    assert code == 0
    assert "xxh128: fe9252a29f3f4ea53c15a06de471e186" in out
    assert "normalisation: micro_sam" in out
    code, out, _ = run("models", "info", "vit_b_lm", "--json")
    found = json.loads(out)
    assert found["path"] == str(models_folder() / "vit_b_lm.pt")
    assert found["available"] is False


def test_info_names_the_mirror(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAPARI_SAM_MIRROR", "http://10.0.0.1/weights")
    _, out, _ = run("models", "info", "vit_b_lm", "--json")
    assert json.loads(out)["url"] == "http://10.0.0.1/weights/vit_b_lm.pt"


@pytest.mark.parametrize("verb", ["info", "download", "verify", "path"])
def test_unknown_model_is_one_sentence(run: Any, verb: str) -> None:
    code, out, err = run("models", verb, "sam_vit_x")
    assert (code, out) == (1, "")
    assert err.startswith("Error: There is no model named 'sam_vit_x'")
    assert err.count("\n") == 1


def test_download_offline_says_what_to_do(
    run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NAPARI_SAM_MIRROR", "http://127.0.0.1:9")
    code, _, err = run("models", "download", "mobile_sam")
    assert code == 1
    assert "http://127.0.0.1:9/mobile_sam.pt" in err
    assert "6dbb90523a35330fedd7f1d3dfc66f995213d81b29a5ca8108dbcdd4e37d6c2f" in err
    assert str(models_folder() / "mobile_sam.pt") in err


def test_import_list_and_verify(run: Any, weights: Path) -> None:
    assert run("models", "import", weights, "--name", "tuned")[:2] == (
        0,
        "Imported as tuned\n",
    )
    _, out, _ = run("models", "info", "tuned", "--json")
    assert json.loads(out)["state"] == "imported"
    code, out, _ = run("models", "verify", "tuned")
    assert code == 0
    assert out.startswith("tuned: good (sha256 ")


def test_verify_finds_a_damaged_file(run: Any, weights: Path) -> None:
    run("models", "import", weights, "--name", "tuned")
    path = models_folder() / "tuned.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    code, out, err = run("models", "verify", "tuned")
    assert (code, out) == (1, "")
    assert "damaged or another file" in err


def test_import_of_a_text_file(run: Any, tmp_path: Path) -> None:
    path = tmp_path / "page.pth"
    path.write_text("<html>Not found</html>")
    code, _, err = run("models", "import", path, "--name", "page")
    assert code == 1
    assert "is a web page" in err


def test_path(run: Any) -> None:
    assert run("models", "path")[1] == f"{models_folder()}\n"
    expected = models_folder() / "sam_vit_b_01ec64.pth"
    assert run("models", "path", "sam_vit_b")[1] == f"{expected}\n"


@pytest.mark.parametrize("arguments", [["list"], ["path"], ["info", "pocket"]])
def test_light_commands_import_no_torch(arguments: list[str]) -> None:
    code = (
        "import sys; from napari_sam.cli import main; "
        f"code = main(['models', *{arguments!r}]); "
        "sys.exit(code or ('torch' in sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
