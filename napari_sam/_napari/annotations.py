"""Readers and writers that the manifest offers: annotation files and label images."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from napari_sam.errors import ExportError
from napari_sam.export import get_exporter

LayerData = tuple[Any, dict[str, Any], str]
# What tells a COCO or SA-1B file from any other JSON, near its beginning.
MARKS = ("annotations", "categories")
HEAD_BYTES = 1 << 20


def get_reader(path: str | list[str]) -> Callable[[Any], list[LayerData]] | None:
    """Return a reader of annotation files, or None for any other file.

    Parameters
    ----------
    path : str or list of str
        Of JSON files.
    """
    first = Path(path if isinstance(path, str) else path[0])
    return read_annotations if _format_of(first) is not None else None


def read_annotations(path: str | list[str]) -> list[LayerData]:
    """Read annotation files, each as one Labels layer.

    Raises
    ------
    ExportError
        If a file is damaged.
    """
    paths = [Path(each) for each in ([path] if isinstance(path, str) else path)]
    return [_layer(each) for each in paths]


def write_labels(name: str, path: str, data: Any, attributes: Any) -> list[str]:
    """Write one Labels layer in a format of `napari_sam.export`.

    Parameters
    ----------
    name : str
        Of the format.
    path : str
    data : array_like of int
    attributes : dict
        Of the layer; its features tell classes and scores.

    Returns
    -------
    list of str
        The path.

    Raises
    ------
    ExportError
        If the labels do not fit the format, or the file cannot be written.
    """
    get_exporter(name).write(Path(path), np.asarray(data), attributes.get("features"))
    return [path]


write_coco = partial(write_labels, "coco")
write_sa1b = partial(write_labels, "sa1b")
write_tiff = partial(write_labels, "labels-tiff")


def _layer(path: Path) -> LayerData:
    name = _format_of(path)
    if name is None:
        raise ExportError(f"{path} holds no COCO or SA-1B annotations.")
    return get_exporter(name).read(path), {"name": path.stem}, "labels"


def _format_of(path: Path) -> str | None:
    try:
        with path.open(encoding="utf-8") as file:
            head = file.read(HEAD_BYTES)
        if not any(f'"{mark}"' in head for mark in MARKS):
            return None
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    if not isinstance(content, dict) or "annotations" not in content:
        return None
    return "coco" if "images" in content else "sa1b"
