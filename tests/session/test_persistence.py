"""A session comes back from its file and from its journal, exactly."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_sam.errors import DataError, ExportError
from napari_sam.export import LabelsTiff
from napari_sam.session import Session
from napari_sam.session.journal import Journal, find_journal, read_journal
from napari_sam.session.labels import Patch
from napari_sam.session.measures import columns
from napari_sam.session.persistence import (
    load_session,
    replay,
    restore,
    save_session,
)
from napari_sam.session.plane import Plane
from napari_sam.session.view import ImageView
from napari_sam.structures import BoxPrompt, Frame

from .fakes import SHAPE, DiscPredictor


def work(session: Session) -> None:
    """Use every kind of edit."""
    for position in ((10, 10), (30, 40), (50, 60), (50, 20)):
        session.add_point(position)
        session.commit()
    session.undo()
    session.set_box(BoxPrompt((2, 40), (12, 60)))
    session.add_point((5, 45), positive=False)
    session.commit("bar")
    session.set_class([2], "cell")
    session.merge([2, 3])
    session.split(2)
    session.refine(1)
    session.add_point((12, 14), positive=False)
    session.commit()
    box = (40, 40, 42, 42)
    before = session.document.store.read(session.plane, box)
    session.document.store.data[40:42, 40:42] = 70
    session.document.painted([Patch(session.plane, box, before, before * 0 + 70)])
    session.delete([5])


def view_of(plane: Plane, frame: Frame) -> ImageView:
    return ImageView("again", plane, frame, lambda: np.zeros(frame.shape, np.uint8))


def fresh() -> Session:
    session = Session(DiscPredictor())
    session.set_image(np.zeros(SHAPE, np.uint8))
    return session


def assert_same(session: Session, other: Session) -> None:
    np.testing.assert_array_equal(
        session.document.store.data, other.document.store.data
    )
    assert str(columns(session.document.objects)) == str(
        columns(other.document.objects)
    )


@pytest.mark.parametrize("how", ["restore", "replay"])
def test_file_brings_everything_back(
    session: Session, tmp_path: Path, how: str
) -> None:
    work(session)
    path = tmp_path / "work.json"
    labels = save_session(session, path, image="cells")
    np.testing.assert_array_equal(
        LabelsTiff().read(labels), session.document.store.data
    )
    saved = load_session(path)
    assert (saved.image, saved.shape, saved.model) == ("cells", SHAPE, "discs")
    other = fresh()
    if how == "restore":
        restore(saved, other)
    else:
        replay(saved, other, view_of)
    assert_same(session, other)
    save_session(other, tmp_path / "again.json", image="cells")
    assert load_session(tmp_path / "again.json") == saved


def test_restored_work_can_be_undone(session: Session, tmp_path: Path) -> None:
    work(session)
    save_session(session, tmp_path / "work.json")
    other = fresh()
    restore(load_session(tmp_path / "work.json"), other)
    while other.undo():
        pass
    assert not other.document.store.data.any()


def test_another_images_file_is_refused(session: Session, tmp_path: Path) -> None:
    save_session(session, tmp_path / "work.json", image="cells")
    other = Session(DiscPredictor())
    other.set_image(np.zeros((5, 5), np.uint8))
    with pytest.raises(DataError, match="open the image 'cells'"):
        restore(load_session(tmp_path / "work.json"), other)


@pytest.mark.parametrize("content", ["", "{}", '{"format": "other"}', "[]"])
def test_what_is_no_session_file_is_said(tmp_path: Path, content: str) -> None:
    path = tmp_path / "work.json"
    path.write_text(content)
    with pytest.raises(ExportError, match="no session file"):
        load_session(path)


def test_journal_survives_a_crash(session: Session) -> None:
    journal = Journal(session, "cells")
    work(session)
    path = find_journal("cells", SHAPE)
    assert path == journal.path
    with path.open("a") as file:
        file.write('{"verb": "delete", "i')  # the crash came while it was written
    saved = read_journal(path)
    assert saved is not None
    other = fresh()
    restore(saved, other)
    assert_same(session, other)


def test_journal_forgets_what_was_undone(session: Session) -> None:
    journal = Journal(session, "cells")
    session.add_point((10, 10))
    session.commit()
    session.undo()
    saved = read_journal(journal.path)
    assert saved is not None
    assert saved.edits == ()
    assert find_journal("cells", SHAPE) is None, "there is nothing to bring back"
    session.redo()
    assert find_journal("cells", SHAPE) == journal.path
    journal.discard()
    assert find_journal("cells", SHAPE) is None


def test_damaged_journal_is_passed_over(session: Session) -> None:
    journal = Journal(session, "cells")
    session.add_point((10, 10))
    session.commit()
    for text in ("", "no json\n", json.dumps({"format": "other"}) + "\n"):
        journal.path.write_text(text)
        assert find_journal("cells", SHAPE) is None


def test_a_full_disk_does_not_stop_work(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    journal = Journal(session, "cells")

    def full(*_: Any) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(journal, "_append", full)
    session.add_point((10, 10))
    assert session.commit().id == 1
