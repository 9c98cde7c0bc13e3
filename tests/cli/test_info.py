"""``napari-sam info``: what a bug report needs."""

from __future__ import annotations

import json

import pytest

from napari_sam.cli import diagnosis

from .conftest import Run


def test_text_names_versions_devices_and_folders(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(diagnosis, "rival_warning", lambda: "A rival is here.")
    code, stdout, _ = run("info")
    assert code == 0
    for word in ("python", "torch", "threads", "NAPARI_SAM_HOME", "pocket", "A rival"):
        assert word in stdout


def test_json_has_the_same_facts(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NAPARI_SAM_HOME", "/somewhere")
    code, stdout, _ = run("info", "--json")
    assert code == 0
    found = json.loads(stdout)
    assert found["folders"]["home"] == "/somewhere"
    assert found["devices"]["chosen"] in ("cpu", "cuda", "mps")
    assert found["packages"]["napari-sam-clip"]
    assert found["models"]["pocket"] in ("bundled", "not bundled")
    assert found["models"]["sam_vit_b"] == "not downloaded"
