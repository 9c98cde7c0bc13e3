"""A checkpoint file is added, used and deleted in the window."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel

import napari_sam
from napari_sam._napari.panels.image_panel import ImagePanel
from napari_sam._napari.panels.model_files import BY_LAYERS

pytestmark = pytest.mark.widget

BUNDLED = Path(napari_sam.__file__).parent / "weights" / "pocket.safetensors"


@pytest.fixture
def panel(
    make_link: Callable[..., Any],
    qtbot: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
) -> ImagePanel:
    monkeypatch.setenv("NAPARI_SAM_HOME", str(tmp_path / "home"))
    viewer = ViewerModel()
    viewer.add_image(np.zeros((60, 70), np.uint8))
    link = make_link(viewer)
    made = ImagePanel(link.session, link)
    qtbot.addWidget(made)
    return made


def names(panel: ImagePanel) -> list[str]:
    return [panel.models.itemData(place) for place in range(panel.models.count())]


def choose(panel: ImagePanel, name: str) -> None:
    place = panel.models.findData(name)
    panel.models.setCurrentIndex(place)
    panel.models.activated.emit(place)


def test_a_file_is_imported_used_and_deleted(panel: ImagePanel, tmp_path: Path) -> None:
    session, failed, said = panel._session, list[Exception](), list[str]()
    session.events.failed.connect(failed.append)
    session.events.status.connect(said.append)
    mine = tmp_path / "tuned.safetensors"
    # Other bytes than the published file's: the header may end in spaces.
    whole = BUNDLED.read_bytes()
    size = int.from_bytes(whole[:8], "little")
    header = whole[8 : 8 + size] + b" " * 8
    mine.write_bytes((size + 8).to_bytes(8, "little") + header + whole[8 + size :])
    panel.files.add_file(mine, "tuned", "pocket")
    assert failed == []
    assert session.model_name == "tuned"
    assert session.model_is_ready
    assert "tuned" in names(panel)
    assert panel.models.currentData() == "tuned"

    panel.files.delete.click()
    assert "in use" in str(failed.pop())
    choose(panel, "pocket")
    assert session.model_name == "pocket"
    panel.models.setCurrentIndex(panel.models.findData("tuned"))
    panel.files.delete.click()
    assert failed == []
    assert said[-1].startswith("Deleted tuned")
    assert "tuned" not in names(panel)
    assert not list((tmp_path / "home").rglob("tuned*"))


def test_a_file_that_is_no_model_is_refused_in_words(
    panel: ImagePanel, tmp_path: Path
) -> None:
    failed: list[Exception] = []
    panel._session.events.failed.connect(failed.append)
    (tmp_path / "notes.pt").write_text("no model")
    panel.files.add_file(tmp_path / "notes.pt", "mine", BY_LAYERS)
    assert "notes.pt" in str(failed[0])
    assert panel._session.model_name == "discs", "the one that there is stays"
    assert "mine" not in names(panel)
