"""Readers and writers of results, one format a file."""

from napari_sam.export.annotations import CocoJson, Sa1bJson
from napari_sam.export.labels_tiff import LabelsTiff
from napari_sam.export.registry import (
    Exporter,
    exporter_for,
    get_exporter,
    list_exporters,
    register_exporter,
)

__all__ = [
    "CocoJson",
    "Exporter",
    "LabelsTiff",
    "Sa1bJson",
    "exporter_for",
    "get_exporter",
    "list_exporters",
    "register_exporter",
]
