"""The shipped samples: complete, as declared, small, and made by their script."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
import tifffile

from napari_sam.errors import DataError
from napari_sam.samples import list_samples, load_sample, sample_folder

OWN = [
    "fluorescence_nuclei",
    "phase_contrast_cells",
    "rod_bacteria",
    "em_mitochondria",
    "histology_nuclei",
    "blood_smear",
    "mixed_kinds",
    "nuclei_volume",
    "dividing_cells",
]


def test_own_samples_come_first_then_pictures_without_truth() -> None:
    names = list_samples()
    assert names[: len(OWN)] == OWN
    assert all(load_sample(name).labels is None for name in names[len(OWN) :])
    assert "coins" in names


@pytest.mark.parametrize("name", list_samples())
def test_sample_is_described_completely(name: str) -> None:
    sample = load_sample(name)
    assert sample.name == name
    assert (
        len(sample.axes) == len(sample.scale) == len(sample.unit) == sample.image.ndim
    )
    assert sample.image.std() > 0
    assert all(step > 0 for step in sample.scale)
    for text in (sample.title, sample.licence, sample.origin, sample.modality):
        assert text
    assert sample.words
    assert ("S" in sample.axes) == (sample.image.shape[-1] == 3)


@pytest.mark.parametrize("name", OWN)
def test_truth_fits_the_image_and_its_words(name: str) -> None:
    sample = load_sample(name)
    labels = sample.labels
    assert labels is not None
    colour = "S" in sample.axes
    assert labels.shape == sample.image.shape[: sample.image.ndim - colour]
    assert {int(i) for i in np.unique(labels)} - {0} == set(sample.classes)
    assert set(sample.words) == {*sample.classes.values(), *sample.layers}
    for layer in sample.layers.values():
        assert (layer > 0).any()
        np.testing.assert_array_equal(layer[layer > 0], labels[layer > 0])
    assert set(sample.parents) | set(sample.parents.values()) <= set(sample.classes)


@pytest.mark.parametrize("name", OWN)
def test_tiff_itself_carries_axes_scale_and_unit(name: str) -> None:
    sample = load_sample(name)
    scale = dict(zip(sample.axes, sample.scale, strict=True))
    for file in (f"{name}.tif", f"{name}_labels.tif"):
        with tifffile.TiffFile(sample_folder() / file) as tiff:
            axes = sample.axes if file == f"{name}.tif" else sample.axes.strip("S")
            assert tiff.series[0].axes == axes
            metadata = tiff.imagej_metadata or {}
            assert metadata["unit"] == "um"
            assert metadata.get("spacing", scale.get("Z")) == scale.get("Z")
            assert metadata.get("finterval", scale.get("T")) == scale.get("T")
            over, under = tiff.pages[0].tags["XResolution"].value
            assert under / over == pytest.approx(scale["X"])
            assert tiff.pages[0].compression == tifffile.COMPRESSION.ADOBE_DEFLATE


def test_volume_is_anisotropic_and_series_has_divisions() -> None:
    assert load_sample("nuclei_volume").scale == (2.0, 0.5, 0.5)
    assert load_sample("dividing_cells").parents


def test_unknown_name_lists_the_known_ones() -> None:
    with pytest.raises(DataError, match="choose one of: fluorescence_nuclei"):
        load_sample("unicorns")


def test_folder_is_small_and_the_readme_names_every_sample() -> None:
    folder = sample_folder()
    assert sum(file.stat().st_size for file in folder.iterdir() if file.is_file()) < 4e6
    readme = (folder / "README.md").read_text(encoding="utf-8")
    assert all(f"`{name}`" in readme for name in OWN)


def load_script() -> ModuleType:
    path = sample_folder() / "make.py"
    spec = importlib.util.spec_from_file_location("make_samples", path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look their module up
    spec.loader.exec_module(module)
    return module


def test_script_makes_the_same_bytes_twice_and_what_is_shipped(tmp_path: Path) -> None:
    script = load_script()
    for run in ("first", "second"):
        script.main(tmp_path / run)
    made = sorted(file.name for file in (tmp_path / "first").iterdir())
    shipped = {
        f.name for f in sample_folder().iterdir() if f.suffix in (".tif", ".json")
    }
    assert set(made) == shipped
    for name in made:
        first = (tmp_path / "first" / name).read_bytes()
        assert first == (tmp_path / "second" / name).read_bytes()
        if name.endswith(".tif"):
            check_nearly_equal(tmp_path / "first" / name, sample_folder() / name)


def check_nearly_equal(made: Path, shipped: Path) -> None:
    """Other processors and library versions may round a few pixels differently."""
    new, old = tifffile.imread(made), tifffile.imread(shipped)
    assert new.shape == old.shape
    assert new.dtype == old.dtype
    assert np.mean(new == old) > 0.98
