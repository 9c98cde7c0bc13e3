"""The formats that label images can be written to and read from, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from napari_sam.errors import ExportError

Labels = NDArray[np.integer]
# Columns of what is known of each object, by the names of a session's table; "index"
# are the ids.
Table = Mapping[str, Sequence[Any]]


class Exporter(Protocol):
    """A format of label images.

    Attributes
    ----------
    extensions : tuple of str
        Lower-case file extensions with their dot, the preferred one first.
    """

    extensions: tuple[str, ...]

    def write(self, path: Path, labels: Labels, table: Table | None = None) -> None:
        """Write instance ids, shape (..., H, W), 0 for background.

        Parameters
        ----------
        path : Path
        labels : ndarray of int
        table : mapping of str to sequence, optional
            Columns "index", "class", "predicted_iou", "stability_score", "text_score";
            a format writes those that it has a place for, and any may be missing.

        Raises
        ------
        ExportError
            The array holds no labels, or the file cannot be written.
        """

    def read(self, path: Path) -> Labels:
        """Read what `write` wrote.

        Raises
        ------
        ExportError
            The file is missing, or no label image.
        """


ExporterClass = TypeVar("ExporterClass", bound=Callable[[], Exporter])
_EXPORTERS: dict[str, Exporter] = {}


def register_exporter(name: str) -> Callable[[ExporterClass], ExporterClass]:
    """Register the decorated class as a format.

    Parameters
    ----------
    name : str
        What users type.

    Returns
    -------
    callable
        Decorator of a class, made without arguments, with an `Exporter`'s methods.

    Raises
    ------
    ExportError
        The name is taken.
    """

    def register(cls: ExporterClass) -> ExporterClass:
        if name in _EXPORTERS:
            raise ExportError(f"A format named {name!r} is registered already.")
        _EXPORTERS[name] = cls()
        return cls

    return register


def list_exporters() -> list[str]:
    """Names of all formats."""
    return list(_EXPORTERS)


def get_exporter(name: str) -> Exporter:
    """Return a format by its name.

    Raises
    ------
    ExportError
        There is none of this name.
    """
    if name not in _EXPORTERS:
        known = ", ".join(_EXPORTERS)
        raise ExportError(f"There is no format named {name!r}; there are: {known}.")
    return _EXPORTERS[name]


def exporter_for(path: Path) -> Exporter:
    """Return the format that a file's extension asks for.

    Raises
    ------
    ExportError
        No format has this extension.
    """
    endings = {
        extension: exporter
        for exporter in _EXPORTERS.values()
        for extension in exporter.extensions
    }
    # The longest first: .sa1b.json is no plain .json.
    for extension in sorted(endings, key=len, reverse=True):
        if path.name.lower().endswith(extension):
            return endings[extension]
    known = ", ".join(each for one in _EXPORTERS.values() for each in one.extensions)
    raise ExportError(
        f"Labels cannot be written to {path.name}: use a name that ends in {known}."
    )
