"""Small images that come with the package, most with exact truth; nothing is fetched.

Those of this project are made by its own generators (`sample_data/make.py`); the
others are the pictures inside scikit-image's own package.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from functools import lru_cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import tifffile
from numpy.typing import NDArray

from napari_sam.errors import DataError

_HERE = Path(__file__).parent
_FOLDERS = (_HERE / "_sample_data", _HERE.parent / "sample_data")


@dataclass(frozen=True)
class Sample:
    """One image and what is known about it.

    Attributes
    ----------
    name, title : str
        Short name for code, a line for a menu.
    image : ndarray
        uint8 or uint16, its dimensions named by `axes`.
    labels : ndarray of int32, or None
        Instance ids, 0 is background; the dimensions of `image` without "S".
        None where there is no truth.
    axes : str
        One letter a dimension: T time, Z, Y, X, S colour (red, green, blue).
    scale : tuple of float
        Step along each of the dimensions of `axes` (1 for S).
    unit : tuple of str
        Unit of each step: "um", "s", "pixel", or "" for S.
    words : tuple of str
        What the objects of the truth, nested ones too, are called.
    licence, origin : str
        Terms of use, and who made it and how.
    modality : str
        How the image was or would be taken.
    classes : dict of int to str
        The word of each id of `labels`.
    layers : dict of str to ndarray
        Objects inside objects by word, with the id of the object they lie in.
    parents : dict of int to int
        In a series: which id divided into this one.
    """

    name: str
    title: str
    image: NDArray[np.generic]
    labels: NDArray[np.int32] | None
    axes: str
    scale: tuple[float, ...]
    unit: tuple[str, ...]
    words: tuple[str, ...]
    licence: str
    origin: str
    modality: str = ""
    classes: dict[int, str] = field(default_factory=dict)
    layers: dict[str, NDArray[np.int32]] = field(default_factory=dict)
    parents: dict[int, int] = field(default_factory=dict)


@dataclass(frozen=True)
class _Picture:
    """A picture inside scikit-image's package."""

    file: str
    title: str
    axes: str
    words: tuple[str, ...]
    licence: str
    origin: str
    modality: str
    step: float = 1.0
    unit: str = "pixel"


_PICTURES = {
    "coins": _Picture(
        "coins.png",
        "Coins on a dark ground",
        "YX",
        ("coin",),
        "no known copyright restrictions",
        "Brooklyn Museum collection, in scikit-image",
        "photograph",
    ),
    "hologram_cell": _Picture(
        "cell.png",
        "Red blood cell, quantitative phase",
        "YX",
        ("cell",),
        "CC0-1.0",
        "digital hologram, in scikit-image (skimage.data.cell)",
        "quantitative phase",
        0.107,
        "um",
    ),
    "immunohistochemistry": _Picture(
        "ihc.png",
        "Tissue section, brown immunostain and blue nuclei",
        "YXS",
        ("nucleus",),
        "no known copyright restrictions",
        "Center for Microscopy and Molecular Imaging, in scikit-image",
        "histology",
    ),
    "retina": _Picture(
        "retina.jpg",
        "Fundus of a human eye",
        "YXS",
        ("blood vessel", "optic disc"),
        "CC0-1.0",
        "Häggström, Wikimedia Commons, in scikit-image",
        "photograph",
    ),
    "microaneurysms": _Picture(
        "microaneurysms.png",
        "Detail of a retina with microaneurysms",
        "YX",
        ("microaneurysm",),
        "CC0-1.0",
        "Andreas Maier, in scikit-image",
        "photograph",
    ),
    "hubble_deep_field": _Picture(
        "hubble_deep_field.jpg",
        "Galaxies, the Hubble deep field",
        "YXS",
        ("galaxy",),
        "public domain",
        "NASA, in scikit-image",
        "photograph",
    ),
}


def list_samples() -> list[str]:
    """Names of all samples that can be loaded here, those with truth first."""
    bundled = [name for name in _PICTURES if _picture_path(name).is_file()]
    return [*_index(), *bundled]


def load_sample(name: str) -> Sample:
    """Read one sample.

    Parameters
    ----------
    name : str
        One of `list_samples()`.

    Raises
    ------
    DataError
        For an unknown name or a package without its sample files.
    """
    if name in _index():
        return _load_own(_index()[name])
    if name in _PICTURES and _picture_path(name).is_file():
        return _load_picture(name)
    known = ", ".join(list_samples())
    raise DataError(f"There is no sample {name!r}; choose one of: {known}.")


def sample_folder() -> Path:
    """Where the project's own sample files are: in the wheel or the checkout.

    Raises
    ------
    DataError
        Where neither is there.
    """
    for folder in _FOLDERS:
        if (folder / "samples.json").is_file():
            return folder
    raise DataError("The sample files are missing: reinstall napari-sam-clip.")


@lru_cache(maxsize=1)
def _index() -> dict[str, dict[str, Any]]:
    text = (sample_folder() / "samples.json").read_text(encoding="utf-8")
    return {entry["name"]: entry for entry in json.loads(text)}


def _load_own(entry: dict[str, Any]) -> Sample:
    name = entry["name"]
    layers = {word: _read_labels(f"{name}_{word}.tif") for word in entry["layers"]}
    return Sample(
        name=name,
        title=entry["title"],
        image=tifffile.imread(sample_folder() / f"{name}.tif"),
        labels=_read_labels(f"{name}_labels.tif"),
        axes=entry["axes"],
        scale=tuple(entry["scale"]),
        unit=tuple(entry["unit"]),
        words=(*entry["classes"], *layers),
        licence=entry["licence"],
        origin=entry["origin"],
        modality=entry["modality"],
        classes={i: word for word, ids in entry["classes"].items() for i in ids},
        layers=layers,
        parents={int(child): mother for child, mother in entry["parents"].items()},
    )


def _read_labels(file: str) -> NDArray[np.int32]:
    return np.asarray(tifffile.imread(sample_folder() / file)).astype(np.int32)


def _picture_path(name: str) -> Path:
    return Path(str(files("skimage.data") / _PICTURES[name].file))


def _load_picture(name: str) -> Sample:
    # Reading the file itself: skimage.data's functions may go to the network.
    from skimage.io import imread

    picture = _PICTURES[name]
    colour = ("S" in picture.axes) * 1
    return Sample(
        name=name,
        title=picture.title,
        image=np.asarray(imread(_picture_path(name))),
        labels=None,
        axes=picture.axes,
        scale=(picture.step,) * 2 + (1.0,) * colour,
        unit=(picture.unit,) * 2 + ("",) * colour,
        words=picture.words,
        licence=picture.licence,
        origin=picture.origin,
        modality=picture.modality,
    )
