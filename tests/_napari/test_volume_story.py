"""A stack in a real viewer: click, propagate, cancel, undo, correct, look in 3D."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import imageio.v3 as imageio
import numpy as np
import pytest
from qtpy.QtCore import Qt

from napari_sam.geometry import mask_iou

from .person import PLUGIN, RIGHT, Person, middle

pytestmark = pytest.mark.viewer


def test_click_propagate_cancel_undo_correct_3d(
    open_viewer: Callable[..., Any], tmp_path: Path
) -> None:
    viewer = open_viewer()
    viewer.open_sample(PLUGIN, "nuclei_volume")
    truth = viewer.layers["nuclei_volume truth"].data
    number, index = seen_best(truth)
    viewer.dims.set_current_step(0, index)
    person = Person(viewer)
    session, panel = person.session, person.widget.panels["Volume / time"][0]
    section = person.widget.sections["Volume / time"]
    assert section.isVisible()

    person.click(index, *middle(truth[index] == number))
    assert mask_iou(person.mask, truth[index] == number) >= 0.7
    panel.propagate.click()
    person.wait(lambda: len(panel._propagation.confidences(1)) >= 3)
    person.wait(lambda: filled(person) >= 3)
    assert len(session.document.history.done) == 1
    session.cancel()
    person.rest()
    assert 3 <= filled(person) < len(truth)
    assert session.document.history.undo_title == "propagate object 1"
    person.press(Qt.Key.Key_Z, Qt.KeyboardModifier.ControlModifier)
    assert filled(person) == 0
    assert session.candidates is not None, "the click is back"

    person.press(Qt.Key.Key_P, Qt.KeyboardModifier.ShiftModifier)
    made = next(iter(session.document.objects)).id
    assert mask_iou(person.labels == made, truth == number) >= 0.5
    before = person.labels.copy()

    panel.worst.click()
    person.rest()
    worst = viewer.dims.current_step[0]
    assert worst != index
    person.click(worst, *middle(person.labels[worst] == made))
    assert session.draft.object_id == made
    far = np.argwhere(person.labels[worst] == made)[0] - 12
    person.click(worst, *np.maximum(far, 1).astype(float), button=RIGHT)
    panel.rerun.click()
    person.rest()
    sure = panel._propagation.confidences(made)
    assert sure[index] is None
    assert sure[worst] is None
    np.testing.assert_array_equal(person.labels[index], before[index])

    panel.view_3d.click()
    person.rest()
    picture = viewer.screenshot(canvas_only=False, flash=False)
    folder = Path(os.environ.get("NAPARI_SAM_SHOTS", str(tmp_path)))
    imageio.imwrite(folder / "volume_3d.png", picture[..., :3])
    assert picture[..., :3].std() > 5
    panel.strip.picked.emit(index)
    person.rest()
    assert (viewer.dims.ndisplay, viewer.dims.current_step[0]) == (2, index)


def filled(person: Person) -> int:
    """Return in how many slices there are objects."""
    return int(np.count_nonzero(person.labels.any(axis=(1, 2))))


def seen_best(truth: Any) -> tuple[int, int]:
    """Return a large object in the middle of the stack, and its largest slice."""
    depth = len(truth)
    areas = {
        number: (truth == number).sum(axis=(1, 2)) for number in np.unique(truth)[1:]
    }
    inner = {
        number: each
        for number, each in areas.items()
        if not each[[0, 1, depth - 2, depth - 1]].any()
    }
    number = max(inner, key=lambda each: inner[each].sum())
    return int(number), int(inner[number].argmax())
