"""Save a session, restore it exactly, or replay it from its prompts, with no window."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import napari_sam
from napari_sam.errors import DataError, ExportError
from napari_sam.export import LabelsTiff
from napari_sam.export.files import replacing
from napari_sam.session.document import Document
from napari_sam.session.drafts import Draft
from napari_sam.session.filling import fill_again
from napari_sam.session.records import (
    Record,
    read_finding,
    read_frame,
    read_patch,
    read_plane,
    read_prompts,
)
from napari_sam.session.session import Session
from napari_sam.session.view import ImageView
from napari_sam.structures import Frame

FORMAT = "napari-sam session 1"
COMMIT_KEYS = ("frame", "candidate", "multimask_output")
# Shows a plane's region, given in the file, to the session.
ViewOf = Callable[[Any, Frame], ImageView]


@dataclass(frozen=True)
class SessionFile:
    """What a session file holds.

    Attributes
    ----------
    image : str
        Name of the image.
    shape : tuple of int
        Of the labels.
    model : str
        Registered name of the model in use when it was saved.
    edits : tuple of dict
        Records of the edits in force, the oldest first.
    """

    image: str
    shape: tuple[int, ...]
    model: str
    edits: tuple[Record, ...]


def edit_records(document: Document) -> list[Record]:
    """Return the records of a document's edits in force."""
    return [edit.record for edit in document.history.done if edit.record is not None]


def save_session(session: Session, path: Path, image: str = "") -> Path:
    """Write a session as JSON, and its labels as TIFF beside it.

    Parameters
    ----------
    session : Session
    path : Path
        Ending in ``.json``.
    image : str
        Name of the image, to find it again.

    Returns
    -------
    Path
        Of the labels: ``NAME_labels.tif``.

    Raises
    ------
    ExportError
        If a file cannot be written, or the labels are too large for one.
    """
    document = session.document
    content = {
        "format": FORMAT,
        "version": napari_sam.__version__,
        "image": image,
        "shape": list(document.store.data.shape),
        "model": session.model_name,
        "edits": edit_records(document),
    }
    with replacing(path) as partial:
        partial.write_text(json.dumps(content), encoding="utf-8")
    labels = path.with_name(f"{path.stem}_labels.tif")
    if not isinstance(document.store.data, np.ndarray):
        raise ExportError(
            f"{path} was saved, but the labels are too large for a TIFF: open the "
            "session file to get them back."
        )
    LabelsTiff().write(labels, document.store.data)
    return labels


def load_session(path: Path) -> SessionFile:
    """Read what `save_session` wrote.

    Raises
    ------
    ExportError
        If the file is missing or no session file.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ExportError(f"{path} is no session file: {error}") from error
    return session_file(content, path)


def session_file(content: Any, path: Path) -> SessionFile:
    """Check and convert the JSON of a session.

    Raises
    ------
    ExportError
        If it is of another format.
    """
    if not isinstance(content, dict) or content.get("format") != FORMAT:
        raise ExportError(f"{path} is no session file of the format {FORMAT!r}.")
    return SessionFile(
        content["image"],
        tuple(content["shape"]),
        content["model"],
        tuple(content["edits"]),
    )


def restore(saved: SessionFile, session: Session) -> None:
    """Make the edits of a file again, from the masks in it; needs no model.

    Parameters
    ----------
    saved : SessionFile
    session : Session
        With labels of the file's shape, and no objects.

    Raises
    ------
    DataError
        If the labels are of another shape.
    """
    _check_shape(saved, session)
    for record in saved.edits:
        make_edit(session.document, record)


def replay(saved: SessionFile, session: Session, view_of: ViewOf) -> None:
    """Ask the model again for every commit, with the prompts of the file.

    Parameters
    ----------
    saved : SessionFile
    session : Session
        With a model, a runner that runs at once, labels of the file's shape, and no
        objects.
    view_of : callable
        Takes a plane and a frame in it and returns what to show the model.

    Raises
    ------
    DataError
        If the labels are of another shape, or the model gives no mask where there
        was one.
    """
    _check_shape(saved, session)
    for record in saved.edits:
        if record["verb"] == "commit" and _has_prompts(record):
            _replay_commit(session, record, view_of)
        else:
            make_edit(session.document, record)


def make_edit(document: Document, record: Record) -> None:
    """Make one edit again from its record.

    Raises
    ------
    DataError
        If it does not fit what is there.
    """
    verb = record["verb"]
    if verb not in _VERBS:
        raise DataError(f"The session file has an unknown kind of edit, {verb!r}.")
    _VERBS[verb](document, record)


def _commit(document: Document, record: Record) -> None:
    document.commit(
        read_finding(record),
        record["rule"],
        object_id=record["id"],
        end_draft=False,
        details={key: record[key] for key in COMMIT_KEYS if key in record},
    )


def _add(document: Document, record: Record) -> None:
    findings = [read_finding(each) for each in record["objects"]]
    ids = [each["id"] for each in record["objects"]]
    document.add(findings, record["rule"], record["title"], ids)


def _paint(document: Document, record: Record) -> None:
    document.painted([read_patch(each) for each in record["patches"]])


_VERBS: dict[str, Callable[[Document, Record], Any]] = {
    "commit": _commit,
    "add": _add,
    "paint": _paint,
    "delete": lambda document, record: document.delete(record["ids"]),
    "merge": lambda document, record: document.merge(record["ids"]),
    "split": lambda document, record: document.split(record["id"], record["first_id"]),
    "propagate": fill_again,
    "set_class": lambda document, record: document.set_class(
        record["ids"], record["class_name"]
    ),
}


def _has_prompts(record: Record) -> bool:
    return "frame" in record and record["provenance"]["prompts"] is not None


def _replay_commit(session: Session, record: Record, view_of: ViewOf) -> None:
    plane = read_plane(record["mask"]["plane"])
    session.set_view(view_of(plane, read_frame(record["frame"])))
    known = record["id"] if record["id"] in session.document.objects else None
    prompts = read_prompts(record["provenance"]["prompts"])
    session.set_draft(Draft(prompts, record["candidate"], known), "replayed prompts")
    session.overlap = record["rule"]
    session.commit(record["class_name"], object_id=record["id"])


def _check_shape(saved: SessionFile, session: Session) -> None:
    shape: Sequence[int] = session.document.store.data.shape
    if tuple(shape) != saved.shape:
        raise DataError(
            f"The session was made on an image of the shape {saved.shape}, this one "
            f"has {tuple(shape)}: open the image {saved.image!r}."
        )
