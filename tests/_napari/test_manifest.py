"""The manifest is found, valid, and offers every sample."""

from __future__ import annotations

import numpy as np
import pytest
from npe2 import PluginManifest

from napari_sam._napari.contributions import sample_layers
from napari_sam.samples import list_samples, load_sample

NAME = "napari-sam-clip"


@pytest.fixture(scope="module")
def manifest() -> PluginManifest:
    """What napari finds through the entry point of the installed package."""
    return PluginManifest.from_distribution(NAME)


def test_every_sample_is_offered(manifest: PluginManifest) -> None:
    offered = {
        each.key: each.display_name for each in manifest.contributions.sample_data
    }
    assert offered == {name: load_sample(name).title for name in list_samples()}


def test_every_command_can_be_imported(manifest: PluginManifest) -> None:
    manifest.validate_imports()


@pytest.mark.parametrize("name", list_samples())
def test_sample_layers_fit_together(name: str) -> None:
    sample = load_sample(name)
    (image, attributes, kind), *truths = sample_layers(name)
    assert kind == "image"
    shape = image.shape[:-1] if attributes["rgb"] else image.shape
    assert len(attributes["scale"]) == len(attributes["units"]) == len(shape)
    assert len(truths) == (sample.labels is not None) + len(sample.layers)
    for labels, placed, layer_type in truths:
        assert layer_type == "labels"
        assert labels.shape == shape
        assert labels.dtype == np.int32
        assert placed["scale"] == attributes["scale"]
