"""What the manifest ``napari.yaml`` offers to napari without opening a window."""

from __future__ import annotations

from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from napari_sam.samples import Sample, load_sample

LayerData = tuple[NDArray[Any], dict[str, Any], str]


def sample_layers(name: str) -> list[LayerData]:
    """Load a sample as napari layers.

    Parameters
    ----------
    name : str
        One of `napari_sam.samples.list_samples`.

    Returns
    -------
    list of tuple
        (data, layer attributes, layer type): the image, then its truth as Labels, one
        layer for each kind of nested object. Truth is hidden at first.

    Raises
    ------
    DataError
        There is no such sample.
    """
    sample = load_sample(name)
    layers = [_image_layer(sample)]
    if sample.labels is not None:
        layers.append(_labels_layer(sample, f"{name} truth", sample.labels))
    layers += [
        _labels_layer(sample, f"{name} {word} truth", labels)
        for word, labels in sample.layers.items()
    ]
    return layers


def _image_layer(sample: Sample) -> LayerData:
    attributes = {
        **_placement(sample),
        "name": sample.name,
        "rgb": sample.axes.endswith("S"),
        "metadata": {
            "title": sample.title,
            "words": sample.words,
            "licence": sample.licence,
            "origin": sample.origin,
        },
    }
    return np.asarray(sample.image), attributes, "image"


def _labels_layer(sample: Sample, name: str, labels: NDArray[np.int32]) -> LayerData:
    return labels, {**_placement(sample), "name": name, "visible": False}, "labels"


def _placement(sample: Sample) -> dict[str, Any]:
    """Scale, units and names of the axes that napari counts: all but colour."""
    axes = sample.axes.removesuffix("S").lower()
    return {
        "scale": sample.scale[: len(axes)],
        "units": sample.unit[: len(axes)],
        "axis_labels": tuple(axes),
    }


fluorescence_nuclei = partial(sample_layers, "fluorescence_nuclei")
phase_contrast_cells = partial(sample_layers, "phase_contrast_cells")
rod_bacteria = partial(sample_layers, "rod_bacteria")
em_mitochondria = partial(sample_layers, "em_mitochondria")
histology_nuclei = partial(sample_layers, "histology_nuclei")
blood_smear = partial(sample_layers, "blood_smear")
mixed_kinds = partial(sample_layers, "mixed_kinds")
nuclei_volume = partial(sample_layers, "nuclei_volume")
dividing_cells = partial(sample_layers, "dividing_cells")
coins = partial(sample_layers, "coins")
hologram_cell = partial(sample_layers, "hologram_cell")
immunohistochemistry = partial(sample_layers, "immunohistochemistry")
retina = partial(sample_layers, "retina")
microaneurysms = partial(sample_layers, "microaneurysms")
hubble_deep_field = partial(sample_layers, "hubble_deep_field")
