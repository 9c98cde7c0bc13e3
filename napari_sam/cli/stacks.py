"""Stacks and movies on disk: their axes and voxel sizes, read and written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_sam.cli.images import TIFF_SUFFIXES, read_image
from napari_sam.errors import ImageError
from napari_sam.export.files import replacing

KNOWN_AXES = "TZCYXS"
_MICROMETRES = {
    "um": 1.0,
    "µm": 1.0,
    "\\u00B5m": 1.0,
    "micron": 1.0,
    "nm": 1e-3,
    "mm": 1e3,
}


@dataclass(frozen=True, eq=False)
class Stack:
    """An image of more than two axes.

    Attributes
    ----------
    image : array-like
        Read lazily where the file allows it.
    axes : str
        A letter for each axis: T, Z, C channels, Y, X, S colour samples.
    spacing : dict of str to float
        Micrometres along Z, Y and X, and seconds along T, as far as the file tells.
    """

    image: Any
    axes: str
    spacing: Mapping[str, float] = field(default_factory=dict)

    @property
    def channel_axis(self) -> int | None:
        """Axis of channels or colour samples."""
        found = [n for n, axis in enumerate(self.axes) if axis in "CS"]
        return found[0] if found else None

    @property
    def spatial_axes(self) -> str:
        """`axes` without channels."""
        return self.axes.replace("C", "").replace("S", "")

    def voxel(self, axes: str) -> tuple[float, ...] | None:
        """Sizes along some axes; None unless all are known."""
        if any(axis not in self.spacing for axis in axes):
            return None
        return tuple(self.spacing[axis] for axis in axes)


def read_stack(path: Path, axes: str | None = None) -> Stack:
    """Open a stack and find out what its axes are.

    Parameters
    ----------
    path : Path
    axes : str, optional
        A letter for each axis of the array; by default the file tells.

    Returns
    -------
    Stack

    Raises
    ------
    ImageError
        The file cannot be read, or the axes do not fit it or are not told.
    """
    told, spacing = _facts(path)
    image = _open(path)
    chosen = (axes or told or "").upper()
    shape = tuple(image.shape)
    strange = "".join(dict.fromkeys(each for each in chosen if each not in KNOWN_AXES))
    if axes and strange:
        raise ImageError(
            f"{' and '.join(strange)} in --axes {axes} is no axis: give a letter of "
            f"{KNOWN_AXES} for each axis of {shape}, such as ZYX."
        )
    if not chosen or strange:
        raise ImageError(
            f"{path.name} does not tell its axes: give --axes, such as ZYX, a letter "
            f"of {KNOWN_AXES} for each axis of {shape}."
        )
    if len(set(chosen)) != len(chosen) or len(chosen) != len(shape):
        raise ImageError(
            f"The axes {chosen} do not fit {path.name} of the shape {shape}: give "
            "each axis one letter."
        )
    if not {"Y", "X"} <= set(chosen) or {"C", "S"} <= set(chosen):
        raise ImageError(f"The axes {chosen} need Y and X, and at most one of C and S.")
    return Stack(image, chosen, spacing)


def _open(path: Path) -> Any:
    """Map the file into memory if it is stored plainly; else read it whole."""
    if path.suffix.lower() in TIFF_SUFFIXES and path.is_file():
        try:
            return tifffile.memmap(path, mode="r")
        except (ValueError, OSError, tifffile.TiffFileError):
            return read_image(path)
    return read_image(path)


def _facts(path: Path) -> tuple[str, dict[str, float]]:
    """Axes and voxel sizes that a TIFF tells."""
    if path.suffix.lower() not in TIFF_SUFFIXES or not path.is_file():
        return "", {}
    try:
        with tifffile.TiffFile(path) as file:
            told = str(file.series[0].axes)
            if file.is_ome and file.ome_metadata:
                return told, _ome_spacing(file.ome_metadata)
            if file.is_imagej:
                return told, _imagej_spacing(file)
    except (OSError, ValueError, tifffile.TiffFileError, ElementTree.ParseError):
        return "", {}
    # Plain TIFF calls pages Q or I: nobody knows what they are.
    return ("", {}) if set(told) - set(KNOWN_AXES) else (told, {})


def _imagej_spacing(file: tifffile.TiffFile) -> dict[str, float]:
    facts = file.imagej_metadata or {}
    scale = _MICROMETRES.get(str(facts.get("unit", "")))
    spacing: dict[str, float] = {}
    if facts.get("finterval"):
        spacing["T"] = float(facts["finterval"])
    page = file.pages.first
    if scale is None or not isinstance(page, tifffile.TiffPage):
        return spacing
    col, row = page.get_resolution()
    if row > 0 and col > 0:
        spacing |= {"Y": scale / row, "X": scale / col}
    if facts.get("spacing"):
        spacing["Z"] = scale * float(facts["spacing"])
    return spacing


def _ome_spacing(metadata: str) -> dict[str, float]:
    spacing: dict[str, float] = {}
    for element in ElementTree.fromstring(metadata).iter():
        if not element.tag.endswith("}Pixels"):
            continue
        for axis in "ZYX":
            value = element.attrib.get(f"PhysicalSize{axis}")
            unit = element.attrib.get(f"PhysicalSize{axis}Unit", "µm")
            if value and unit in _MICROMETRES:
                spacing[axis] = float(value) * _MICROMETRES[unit]
        if element.attrib.get("TimeIncrement"):
            spacing["T"] = float(element.attrib["TimeIncrement"])
    return spacing


def write_stack(
    path: Path, labels: NDArray[np.integer], axes: str, spacing: Mapping[str, float]
) -> None:
    """Write labels as a TIFF that tells its axes and voxel sizes.

    ImageJ's dialect, which Fiji and napari read, for ids up to 65535; OME beyond.

    Parameters
    ----------
    path : Path
    labels : ndarray of int
    axes : str
        A letter for each axis.
    spacing : mapping of str to float
        Micrometres, and seconds for T.

    Raises
    ------
    ExportError
        The file cannot be written.
    """
    small = int(labels.max(initial=0)) <= np.iinfo(np.uint16).max
    order = "".join(axis for axis in KNOWN_AXES if axis in axes)
    moved = np.transpose(labels, [axes.index(axis) for axis in order])
    settings = _imagej_settings(spacing) if small else _ome_settings(spacing)
    settings["metadata"]["axes"] = order
    stored = np.ascontiguousarray(moved).astype(np.uint16 if small else np.uint32)
    with replacing(path) as partial:
        tifffile.imwrite(
            partial,
            stored,
            photometric="minisblack",
            compression="zlib",
            imagej=small,
            ome=not small,
            **settings,
        )


def _imagej_settings(spacing: Mapping[str, float]) -> dict[str, Any]:
    metadata: dict[str, Any] = {"mode": "grayscale"}
    settings: dict[str, Any] = {"metadata": metadata}
    if {"Y", "X"} <= set(spacing):
        metadata["unit"] = "um"
        settings["resolution"] = (1 / spacing["X"], 1 / spacing["Y"])
        if "Z" in spacing:
            metadata["spacing"] = spacing["Z"]
    if "T" in spacing:
        metadata["finterval"] = spacing["T"]
    return settings


def _ome_settings(spacing: Mapping[str, float]) -> dict[str, Any]:
    metadata: dict[str, Any] = {}
    for axis in "ZYX":
        if axis in spacing:
            metadata[f"PhysicalSize{axis}"] = spacing[axis]
            metadata[f"PhysicalSize{axis}Unit"] = "µm"
    if "T" in spacing:
        metadata["TimeIncrement"] = spacing["T"]
    return {"metadata": metadata}
