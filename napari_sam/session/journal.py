"""Every edit on disk as soon as it is made, so that a crash loses nothing."""

from __future__ import annotations

import contextlib
import json
import os
import time
from pathlib import Path

from napari_sam.errors import ExportError
from napari_sam.nn.storage import home_folder
from napari_sam.session.persistence import (
    FORMAT,
    SessionFile,
    edit_records,
    session_file,
)
from napari_sam.session.records import Record
from napari_sam.session.session import Session

# Old journals are of no use once there are so many newer ones.
KEPT_JOURNALS = 20


def journals_folder() -> Path:
    """Folder of all journals; it may not exist yet."""
    return home_folder() / "journals"


class Journal:
    """Writes a session's edits to a file of its own as they are made.

    The first line describes the image; a line ``{"keep": n}`` forgets all edits after
    the first n, as undo does; every other line is one edit.

    Parameters
    ----------
    session : Session
    image : str
        Name of the image.
    """

    def __init__(self, session: Session, image: str) -> None:
        self._session = session
        self._header = {
            "format": FORMAT,
            "image": image,
            "shape": list(session.document.store.data.shape),
            "model": session.model_name,
        }
        self._written: list[Record] = []
        stamp = f"{time.time_ns()}-{os.getpid()}"
        self.path = journals_folder() / f"{stamp}.jsonl"
        session.events.history.connect(self._update)

    def close(self) -> None:
        """Stop writing; the file stays."""
        self._session.events.history.disconnect(self._update)

    def discard(self) -> None:
        """Stop writing and delete the file: what it holds is saved elsewhere."""
        self.close()
        self.path.unlink(missing_ok=True)

    def _update(self) -> None:
        records = edit_records(self._session.document)
        kept = _common(records, self._written)
        lines: list[Record] = [] if kept == len(self._written) else [{"keep": kept}]
        lines += records[kept:]
        if not lines:
            return
        # A full disk must not stop anyone from working.
        with contextlib.suppress(OSError):
            self._append(lines)
            self._written = records

    def _append(self, lines: list[Record]) -> None:
        if not self.path.exists():
            self.path.parent.mkdir(parents=True, exist_ok=True)
            lines = [self._header, *lines]
            _thin_out(self.path.parent)
        text = "".join(json.dumps(line) + "\n" for line in lines)
        with self.path.open("a", encoding="utf-8") as file:
            file.write(text)


def find_journal(image: str, shape: tuple[int, ...]) -> Path | None:
    """Return the newest journal of an image with edits in it, or None."""
    for path in sorted(journals_folder().glob("*.jsonl"), reverse=True):
        saved = read_journal(path)
        if saved and saved.edits and (saved.image, saved.shape) == (image, shape):
            return path
    return None


def read_journal(path: Path) -> SessionFile | None:
    """Read a journal; None if it is damaged. A half-written last line is left out."""
    try:
        lines = path.read_text(encoding="utf-8").split("\n")
        content = json.loads(lines[0])
    except (OSError, ValueError):
        return None
    edits: list[Record] = []
    for line in lines[1:]:
        try:
            entry = json.loads(line)
        except ValueError:
            break
        if "keep" in entry:
            del edits[entry["keep"] :]
        else:
            edits.append(entry)
    try:
        return session_file(content | {"edits": edits}, path)
    except (ExportError, KeyError, TypeError, ValueError):
        return None


def _common(records: list[Record], others: list[Record]) -> int:
    """Return how many first records are the same ones."""
    for number, (one, other) in enumerate(zip(records, others, strict=False)):
        if one is not other:
            return number
    return min(len(records), len(others))


def _thin_out(folder: Path) -> None:
    for path in sorted(folder.glob("*.jsonl"), reverse=True)[KEPT_JOURNALS:]:
        path.unlink(missing_ok=True)
