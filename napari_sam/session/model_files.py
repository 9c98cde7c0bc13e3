"""Checkpoint files: checked, added and removed while someone watches."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from napari_sam.errors import ModelError
from napari_sam.session.engine import Steps
from napari_sam.session.session import Session

if TYPE_CHECKING:
    from napari_sam.nn.storage import Digests


def verify_model(session: Session, name: str) -> None:
    """Check a model's file against its hash, and that its weights are sound.

    What is wrong is told through ``events.failed``.

    Parameters
    ----------
    session : Session
    name : str
    """

    def work(steps: Steps) -> Digests:
        from napari_sam.nn.checkpoint import inspect_checkpoint

        return inspect_checkpoint(name, progress=steps.report)

    def done(digests: Digests) -> None:
        short = (digests.sha256 or "")[:12]
        session.events.status.emit(f"{name} is good (sha256 {short}...).")

    session.engine.run(f"Checking {name}", work, done)


def import_model(
    session: Session, path: Path, name: str | None = None, like: str | None = None
) -> None:
    """Copy a file to the models and load it; see `import_checkpoint`.

    Parameters
    ----------
    session : Session
    path : Path
    name : str, optional
        For a file that is not a published one.
    like : str, optional
        The registered model that it is like, where its layers don't say it.
    """

    def work(_: Steps) -> str:
        from napari_sam.nn.import_file import find_published, import_checkpoint
        from napari_sam.nn.storage import digest_file

        # A published file goes by its own name, whatever the suggestion.
        published = find_published(digest_file(path))
        return import_checkpoint(path, None if published else name, like)

    session.engine.run(f"Importing {path.name}", work, session.load_model)


def delete_model(session: Session, name: str) -> None:
    """Delete a model's file from this machine; a published one can be fetched again.

    Parameters
    ----------
    session : Session
    name : str

    Raises
    ------
    ModelError
        If it is bundled, in use, or not here.
    """
    from napari_sam.nn.download import find_checkpoint
    from napari_sam.nn.imported import record_path
    from napari_sam.nn.registry import model_config

    if model_config(name).bundled:
        raise ModelError(f"{name} comes with the program and cannot be deleted.")
    if name == session.model_name:
        raise ModelError(f"{name} is in use: choose another model first.")
    path = find_checkpoint(name)
    if path is None:
        raise ModelError(f"{name} is not on this machine.")
    path.unlink()
    record_path(name).unlink(missing_ok=True)
    session.events.model.emit()
    session.events.status.emit(f"Deleted {path.name}.")
