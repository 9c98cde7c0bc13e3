"""Whole stories in a real viewer, with a real mouse and the bundled model."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from qtpy.QtCore import Qt
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from napari_sam.geometry import mask_iou
from napari_sam.session.engine import Steps

from .person import LEFT, NONE, PATIENCE, PLUGIN, RIGHT, Person, middle

pytestmark = pytest.mark.viewer

MakeViewer = Callable[..., Any]
THREAD = "napari-sam"


def our_threads() -> list[str]:
    return [each.name for each in threading.enumerate() if each.name == THREAD]


def test_click_commit_correct_undo(open_viewer: MakeViewer, discs: Any) -> None:
    image, truth = discs
    viewer = open_viewer()
    viewer.add_image(image, name="discs")
    person = Person(viewer)
    session = person.session
    before = viewer.screenshot(canvas_only=True, flash=False)

    person.click(*middle(truth == 6))
    assert mask_iou(person.mask, truth == 6) >= 0.8
    after = viewer.screenshot(canvas_only=True, flash=False)
    assert np.abs(after.astype(int) - before).max() > 40, "the mask is on screen"

    assert len(session.candidates) == 3
    chosen = session.candidates.chosen
    person.press(Qt.Key.Key_Tab)
    assert session.candidates.chosen == (chosen + 1) % 3
    person.press(Qt.Key.Key_Tab)
    person.press(Qt.Key.Key_Tab)
    person.press(Qt.Key.Key_Return)
    assert mask_iou(person.labels == 1, truth == 6) >= 0.8

    person.click(*middle(truth == 7))
    person.click(8, 8, button=RIGHT)
    person.click(8, 70, modifier=Qt.KeyboardModifier.AltModifier)
    flags = [each.positive for each in session.draft.prompts.points]
    assert flags == [True, False, False]
    person.press(Qt.Key.Key_Return)
    assert mask_iou(person.labels == 2, truth == 7) >= 0.8

    person.press(Qt.Key.Key_B)
    rows, cols = np.nonzero(truth == 11)
    person.drag((rows.min() - 2, cols.min() - 2), (rows.max() + 2, cols.max() + 2))
    assert session.draft.prompts.box is not None
    person.press(Qt.Key.Key_Return)
    assert mask_iou(person.labels == 3, truth == 11) >= 0.8
    assert viewer.layers["discs objects"].features["index"].tolist() == [1, 2, 3]

    end = person.labels.copy()
    count = len(session.document.history.done)
    for _ in range(count):
        person.press(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert not person.labels.any()
    both = Qt.KeyboardModifier.ControlModifier | Qt.KeyboardModifier.ShiftModifier
    for _ in range(count):
        person.press(Qt.Key.Key_Z, both)
    np.testing.assert_array_equal(person.labels, end)


def test_sample_data_and_a_quick_second_click(open_viewer: MakeViewer) -> None:
    viewer = open_viewer()
    viewer.open_sample(PLUGIN, "blood_smear")
    person = Person(viewer)
    zoom = viewer.scene.camera.zoom
    truth = viewer.layers["blood_smear truth"].data
    ious = []
    for number in np.unique(truth)[[10, 17, 18, 20, 23]]:
        person.click(*middle(truth == number))
        ious.append(mask_iou(person.mask, truth == number))
        person.session.clear_prompts()
        person.rest()
    assert max(ious) >= 0.8
    place = person.point(*middle(truth == 10))
    QTest.mouseClick(person.canvas, LEFT, NONE, place)
    QTest.mouseDClick(person.canvas, LEFT, NONE, place)
    person.rest()
    assert viewer.scene.camera.zoom == zoom, "two quick clicks are two clicks"
    assert len(person.session.draft.prompts.points) == 2


def test_scale_and_rotation_change_no_mask(open_viewer: MakeViewer, discs: Any) -> None:
    image, truth = discs
    viewer = open_viewer()
    plain = viewer.add_image(image, name="plain")
    person = Person(viewer)
    person.click(*middle(truth == 10))
    expected = person.mask
    person.session.clear_prompts()
    viewer.layers.remove(plain)
    viewer.add_image(image, name="turned", scale=(0.5, 0.2), rotate=30)
    viewer.reset_view()
    person.rest()
    person.click(*middle(truth == 10))
    assert mask_iou(person.mask, expected) >= 0.9
    person.press(Qt.Key.Key_Return)
    assert mask_iou(person.labels > 0, truth == 10) >= 0.8


def test_closing_while_computing_leaves_nothing(
    open_viewer: MakeViewer, discs: Any
) -> None:
    viewer = open_viewer()
    viewer.add_image(discs[0], name="discs")
    person = Person(viewer)
    failures: list[Exception] = []
    person.session.events.failed.connect(failures.append)
    started = threading.Event()

    def work(steps: Steps) -> None:
        for number in range(10_000):
            started.set()
            steps.report(number, 10_000)
            time.sleep(0.005)

    person.session.engine.run("Everything", work, lambda _: None)
    assert started.wait(PATIENCE)
    for layer in list(person.link._tools.layers):
        viewer.layers.remove(layer)
    viewer.layers.remove("discs")
    QApplication.processEvents()
    assert our_threads()
    viewer.close()
    QApplication.sendPostedEvents(None, 52)  # deferred deletes
    QApplication.processEvents()
    assert our_threads() == []
    assert failures == []


def test_words_find_accept(
    open_viewer: MakeViewer, discs: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from napari_sam.inference import text_prompt

    image, truth = discs
    monkeypatch.setattr(text_prompt, "TextSegmenter", finder_of(truth))
    viewer = open_viewer()
    viewer.add_image(image, name="discs")
    person = Person(viewer)
    panel = person.widget.panels["Text"][0]
    QTest.keyClicks(panel.phrases, "nuclei")
    QTest.keyClick(panel.phrases, Qt.Key.Key_Return)
    person.rest()
    assert len(person.widget.proposals.shown) == 8, "those above one half"
    panel.threshold.setValue(0)
    person.rest()
    assert len(person.widget.proposals.shown) == 16
    person.click(*middle(truth == 16))
    assert len(person.widget.proposals.taken) == 15
    panel.accept.click()
    person.rest()
    assert len(person.session.document.objects) == 15
    np.testing.assert_array_equal(person.labels > 0, (truth > 0) & (truth != 16))
    first = person.session.document.objects[1]
    assert (first.class_name, first.phrase) == ("nuclei", "nuclei")
    person.session.undo()
    assert not person.labels.any()


def finder_of(truth: NDArray[np.int32]) -> type:
    """Return a class that finds the labels, their scores rising with their ids."""
    from napari_sam.inference.text_selection import TextCandidates, shared_areas
    from napari_sam.structures import MaskRecord

    records = []
    for number in range(1, truth.max() + 1):
        rows, cols = np.nonzero(truth == number)
        cut = truth[rows.min() : rows.max() + 1, cols.min() : cols.max() + 1]
        origin = (int(rows.min()), int(cols.min()))
        records.append(MaskRecord(cut == number, origin, 0.9, 0.9))
    kept = tuple(records)

    class Finder:
        def __init__(self, predictor: Any) -> None:
            self.predictor = predictor

        def set_image(self, image: Any, **settings: Any) -> None:
            assert image.shape == truth.shape

        def candidates(self, image: None, phrases: str, **_: Any) -> TextCandidates:
            scores = np.linspace(0.05, 0.95, len(kept), dtype=np.float32)[:, None]
            return TextCandidates(
                records=kept,
                vectors=np.zeros((len(kept), 4), np.float32),
                scores=scores,
                overlaps=shared_areas(kept),
                names=(phrases.strip(),),
                notes=("",),
                outside=(False,),
                image_shape=truth.shape,
            )

    return Finder
