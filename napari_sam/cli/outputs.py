"""Writing found objects: labels, annotation files, tables."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from napari_sam.cli.options import LABEL_SUFFIXES, Format
from napari_sam.export import get_exporter
from napari_sam.export.annotations import coco_document, sa1b_document, write_json
from napari_sam.export.label_image import paint_records
from napari_sam.export.objects import ExportedObject
from napari_sam.export.table import PixelSize, write_table


def write_objects(
    out: Path,
    kind: Format,
    objects: Sequence[ExportedObject],
    shape: tuple[int, int],
    image: Path,
) -> None:
    """Write objects of one image.

    Parameters
    ----------
    out : Path
    kind : Format
    objects : sequence of ExportedObject
    shape : tuple of int
        (H, W) of the image.
    image : Path
        Whose name annotation files give.

    Raises
    ------
    ExportError
        The file cannot be written.
    """
    if kind is Format.labels:
        records = [each.record for each in objects]
        labels = paint_records(records, [each.id for each in objects], shape)
        get_exporter("labels-tiff").write(out, labels)
        return
    describe = coco_document if kind is Format.coco else sa1b_document
    write_json(out, describe(objects, shape, image.name))


def write_object_table(
    path: Path, objects: Sequence[ExportedObject], image: Path
) -> None:
    """Write a table of objects, with physical areas if the image file has units.

    Raises
    ------
    ExportError
        The file cannot be written.
    """
    write_table(path, objects, read_pixel_size(image))


def read_pixel_size(path: Path) -> PixelSize | None:
    """What a pixel of an image file measures, in micrometres; None if it is not told.

    ImageJ and OME TIFF files tell, and plain ones in centimetres or millimetres.

    Parameters
    ----------
    path : Path
    """
    if path.suffix.lower() not in LABEL_SUFFIXES:
        return None
    import tifffile

    with tifffile.TiffFile(path) as file:
        if file.is_ome and file.ome_metadata:
            return _ome_size(file.ome_metadata)
        page = file.pages.first
        if not isinstance(page, tifffile.TiffPage):
            return None
        col, row = page.get_resolution()
        facts = file.imagej_metadata or {}
        unit = str(facts.get("unit", ""))
        if not facts:
            unit = {2: "inch", 3: "cm"}.get(int(page.resolutionunit), "")
    # A printing resolution says nothing about the specimen.
    scale = {"um": 1, "µm": 1, "\\u00B5m": 1, "micron": 1, "nm": 1e-3, "mm": 1e3}.get(
        unit
    )
    if scale is None or not (row > 0 and col > 0):
        return None
    return PixelSize(scale / row, scale / col, "um")


def _ome_size(metadata: str) -> PixelSize | None:
    from xml.etree import ElementTree

    scales = {"µm": 1.0, "nm": 1e-3, "mm": 1e3}
    for element in ElementTree.fromstring(metadata).iter():
        if element.tag.endswith("}Pixels"):
            sides = [_ome_side(element.attrib, axis, scales) for axis in "YX"]
            row, col = sides
            return PixelSize(row, col, "um") if row and col else None
    return None


def _ome_side(
    attributes: dict[str, str], axis: str, scales: dict[str, float]
) -> float | None:
    value = attributes.get(f"PhysicalSize{axis}")
    scale = scales.get(attributes.get(f"PhysicalSize{axis}Unit", "µm"))
    return float(value) * scale if value and scale else None
