"""The section for words: concepts, the similarity map, and what no word reaches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from numpy.typing import NDArray
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QInputDialog

from napari_sam._napari.panels.objects_panel import ObjectsPanel
from napari_sam._napari.panels.text_panel import TextPanel
from napari_sam._napari.proposals_layer import ProposalsLayer
from napari_sam.inference.text_exemplars import Concept, ExemplarPrompt
from napari_sam.inference.text_selection import TextCandidates, shared_areas
from napari_sam.session.findings import Proposals
from napari_sam.structures import MaskRecord

pytestmark = pytest.mark.widget

SHAPE = (60, 70)
OUTSIDE = "'zebra' is outside the bundled vocabulary: results are a guess."
NOTES = {"zebra": OUTSIDE, "nuclei": ""}
SCORES = (0.9, 0.8, 0.2)
RECORDS = tuple(
    MaskRecord(np.ones((8, 10), bool), (row, col), 0.9, 0.9)
    for row, col in ((4, 4), (4, 40), (40, 4))
)


class Finder:
    """Finds three squares for every phrase and concept."""

    asked: list[tuple[str, tuple[str, ...]]] = []  # noqa: RUF012

    def __init__(self, predictor: Any) -> None:
        self.predictor = predictor

    def set_image(self, image: Any, **_: Any) -> None:
        """Take an image; it does not matter which."""

    def candidates(
        self,
        image: None,
        phrases: str,
        like: Sequence[ExemplarPrompt] = (),
        concepts: Sequence[Concept] = (),
    ) -> TextCandidates:
        names = (*phrases.split(), *(each.name for each in concepts))
        self.asked.append((phrases, tuple(each.name for each in concepts)))
        scores = np.array(SCORES, np.float32)[:, None].repeat(len(names), axis=1)
        # A concept answers best what a phrase answers least.
        scores[:, len(names) - len(concepts) :] = scores[::-1, :1]
        return TextCandidates(
            records=RECORDS,
            vectors=np.zeros((len(RECORDS), 4), np.float32),
            scores=scores,
            overlaps=shared_areas(RECORDS),
            names=names,
            notes=tuple(NOTES.get(name, "") for name in names),
            outside=tuple(name == "zebra" for name in names),
            image_shape=SHAPE,
        )

    def learn(
        self, name: str, phrase: str, example: ExemplarPrompt, threshold: float
    ) -> Concept:
        vectors = [
            np.full((len(part), 4), 0.5, np.float32)
            for part in (example.accepted, example.rejected)
        ]
        return Concept(name, phrase, *vectors, threshold, "clip")


@pytest.fixture
def viewer() -> ViewerModel:
    model = ViewerModel()
    model.add_image(np.zeros(SHAPE, np.uint8), name="cells", scale=(0.5, 0.25))
    return model


@pytest.fixture
def panel(
    viewer: ViewerModel,
    make_link: Callable[..., Any],
    qtbot: Any,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Any,
) -> Any:
    monkeypatch.setenv("NAPARI_SAM_HOME", str(tmp_path))
    monkeypatch.setattr("napari_sam.inference.text_prompt.TextSegmenter", Finder)
    Finder.asked.clear()
    link = make_link(viewer)
    proposals = Proposals(link.session)
    link.proposals = proposals
    objects = ObjectsPanel(link.session, link)
    layer = ProposalsLayer(proposals, link)
    made = TextPanel(link.session, link, proposals, layer, objects)
    for each in (made, objects):
        qtbot.addWidget(each)
    return made


def search(panel: Any, words: str) -> None:
    panel.phrases.setPlainText(words)
    QTest.keyClick(panel.phrases, Qt.Key.Key_Return)


def shown_image(viewer: ViewerModel, name: str) -> NDArray[np.float32]:
    return np.asarray(viewer.layers[name].data)


def test_a_concept_is_saved_and_typed_like_a_phrase(
    panel: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    panel._session.events.status.connect(said.append)
    assert not panel.concept.isEnabled(), "there is nothing to keep yet"
    search(panel, "nuclei")
    panel._proposals.toggle((6, 42))
    names = iter([("", False), ("  my nuclei ", True)])
    monkeypatch.setattr(QInputDialog, "getText", lambda *_, **__: next(names))
    panel.concept.click()
    assert said[-1] != "Saved the concept 'my nuclei'.", "it was called off"
    panel.concept.click()
    assert said[-1] == "Saved the concept 'my nuclei'."
    search(panel, "my nuclei\ndebris")
    assert Finder.asked[-1] == ("debris", ("my nuclei",))
    assert panel.search.names == ("debris", "my nuclei")
    assert "my nuclei" in panel.legend.text()


def test_the_similarity_map_lies_over_the_image(
    panel: Any, viewer: ViewerModel
) -> None:
    assert not panel.similarity.isEnabled()
    search(panel, "nuclei")
    active = viewer.layers.selection.active
    panel.similarity.click()
    data = shown_image(viewer, "nuclei similarity")
    assert data.shape == SHAPE
    assert data[6, 6] == pytest.approx(0.9)
    assert data[42, 6] == pytest.approx(0.2), "also below the threshold"
    assert data[30, 30] == 0
    layer = viewer.layers["nuclei similarity"]
    np.testing.assert_allclose(layer.scale, (0.5, 0.25))
    assert viewer.layers.selection.active is active, "clicks still go to us"
    assert panel._link.image is viewer.layers["cells"]


def test_nothing_typed_is_said_in_words(panel: Any) -> None:
    failed: list[Exception] = []
    panel._session.events.failed.connect(failed.append)
    search(panel, "  ")
    assert "Type what to find" in str(failed[0])


def test_a_word_outside_the_vocabulary_is_said_in_words(panel: Any) -> None:
    assert panel.notes.isHidden()
    search(panel, "zebra")
    assert panel.notes.text() == OUTSIDE
    assert not panel.notes.isHidden()
    search(panel, "nuclei")
    assert panel.notes.isHidden(), "read as itself, which nobody need be told"


def test_the_rest_is_found_only_like_what_is_selected(panel: Any) -> None:
    assert not panel.like.isEnabled()
    assert "select one or more rows" in panel.like.toolTip()
    session = panel._session
    session.add_point((20, 20))
    session.commit()
    assert not panel.like.isEnabled(), "an object, but nothing is selected"
    panel._objects.select(1)
    assert panel.like.isEnabled()
    assert "select one" not in panel.like.toolTip()
    session.delete([1])
    panel._objects._update.flush()
    assert not panel.like.isEnabled()


def test_what_was_accepted_is_not_proposed_again(panel: Any) -> None:
    said: list[str] = []
    panel._session.events.status.connect(said.append)
    search(panel, "nuclei")
    assert len(panel._proposals.shown) == 2
    panel.accept.click()
    panel.threshold.setValue(40)
    panel._moved.flush()
    assert panel._proposals.shown == ()
    assert said[-1] == "Found 2 nuclei. All are objects already."
    panel.threshold.setValue(10)
    panel._moved.flush()
    assert [each.text_score for each in panel._proposals.shown] == [pytest.approx(0.2)]
    assert said[-1] == "Found 3 nuclei. 2 are objects already."
    panel._session.undo()
    panel.threshold.setValue(11)
    panel._moved.flush()
    assert len(panel._proposals.shown) == 3, "the accepted ones were taken back"
