"""Writing a file whole or not at all."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from napari_sam.errors import ExportError


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a path to write to, and move the file to ``path`` once it is complete.

    Missing folders are created. If writing fails, what was at ``path`` stays.

    Parameters
    ----------
    path : Path

    Yields
    ------
    Path
        In the same folder and with the same extension.

    Raises
    ------
    ExportError
        The folder or the file cannot be written.
    """
    partial: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = _temporary_beside(path)
        yield partial
        partial.replace(path)
    except OSError as error:
        reason = error.strerror or error
        raise ExportError(f"Cannot write {path}: {reason}.") from error
    finally:
        if partial is not None:
            partial.unlink(missing_ok=True)


def _temporary_beside(path: Path) -> Path:
    handle, name = tempfile.mkstemp(path.suffix, f".{path.stem}-", path.parent)
    os.close(handle)
    # mkstemp makes files that only their owner can read; a result is like any other.
    mask = os.umask(0)
    os.umask(mask)
    partial = Path(name)
    partial.chmod(0o666 & ~mask)
    return partial
