"""Make the README's sheet of words: right ones above, wrong ones below.

    python docs/make_words_sheet.py                          # the sample images
    python docs/make_words_sheet.py --data VAL --out x.png   # data sets, one image each

Every picture is asked twice, at the same threshold.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import matplotlib as mpl
import numpy as np
from numpy.typing import NDArray

mpl.use("agg")

from matplotlib import pyplot as plt
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from napari_sam import create_model
from napari_sam.evaluation.datasets import folder_set
from napari_sam.evaluation.words import word_of_set
from napari_sam.export.overlay import draw_overlay
from napari_sam.inference.preprocess import to_model_image
from napari_sam.inference.text_prompt import TextSegmenter
from napari_sam.samples import load_sample

MEDIA = Path(__file__).parent / "media"
SIDE = 256
COLOURS = 192
# Sample, right word, wrong word.
SAMPLES = (
    ("fluorescence_nuclei", "nuclei", "mitochondria"),
    ("histology_nuclei", "nuclear staining", "worms"),
    ("phase_contrast_cells", "cells", "yeast"),
    ("rod_bacteria", "bacteria", "filaments"),
    ("em_mitochondria", "mitochondria", "nuclei"),
    ("blood_smear", "erythrocytes", "bacteria"),
    ("mixed_kinds", "worms", "neurites"),
    ("mixed_kinds", "bacteria", "chloroplasts"),
)
SETS = (
    "dsb2018_fluo",
    "stardist_test_2d",
    "dsb2018_histology",
    "phase_t98g_cells",
    "bacteria_ecoli",
    "gravel_grains",
    "em_chloroplasts_3d",
    "em_neurons_fibsem_3d",
    "plant_nuclei_3d",
)
WRONG = "worms"


def main() -> None:
    """Ask and draw."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path)
    parser.add_argument("--out", type=Path, default=MEDIA / "words.png")
    arguments = parser.parse_args()
    segmenter = TextSegmenter(create_model("pocket"))
    asked = questions(arguments.data)
    size = (2.1 * len(asked), 4.7)
    figure, axes = plt.subplots(2, len(asked), figsize=size, dpi=110)
    for column, (image, *words) in enumerate(asked):
        segmenter.set_image(image)
        stretched = to_model_image(image, normalisation="pocket")
        picture = np.moveaxis(np.round(stretched * 255).astype(np.uint8), 0, -1)
        for axis, word in zip(axes[:, column], words, strict=True):
            selection = segmenter.candidates(None, word).select()
            axis.imshow(draw_overlay(picture, selection.labels()))
            found = len(selection.instances) or "none"
            axis.set_title(f"{word}: {found}", fontsize=9)
            axis.axis("off")
    figure.tight_layout(pad=0.4)
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    save_small(Image.fromarray(np.asarray(canvas.buffer_rgba())), arguments.out)


def save_small(picture: Image.Image, path: Path) -> None:
    """Write a picture with a palette: a third of the bytes."""
    few = picture.convert("RGB").quantize(COLOURS, dither=Image.Dither.NONE)
    few.save(path, optimize=True)


def questions(data: Path | None) -> list[tuple[NDArray, str, str]]:
    """Pictures with a right and a wrong word."""
    if data is None:
        return [(crop(load_sample(n).image), *words) for n, *words in SAMPLES]
    found = []
    for name in SETS:
        image = next(iter(folder_set(data / name).limited(1)))
        word = word_of_set(data / name)
        found.append((crop(image.image), word, WRONG))
    return found


def crop(image: NDArray) -> NDArray:
    """The middle of a picture."""
    top, left = (max((side - SIDE) // 2, 0) for side in image.shape[:2])
    return image[top : top + SIDE, left : left + SIDE]


if __name__ == "__main__":
    main()
