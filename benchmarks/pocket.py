"""The bundled model against MobileSAM's encoder and the reference's decoder.

Run ``python benchmarks/pocket.py [--repeats N] [--threads N]``; needs the test
dependencies. Weights are random but for pocket's own: time does not depend on them.
"""

from __future__ import annotations

import argparse

import numpy as np
import torch
from segment_anything import SamPredictor as ReferencePredictor
from segment_anything import sam_model_registry
from timing import print_ratios, time_in_turns

from napari_sam import SamPredictor, create_model
from napari_sam.samples import load_sample

ENCODE_TARGET = 0.25
DECODE_TARGET = 0.1


def main() -> None:
    """Print the two ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    print(f"torch {torch.__version__}, {options.threads} threads")
    image = enlarge(load_sample("fluorescence_nuclei").image)
    predictor = SamPredictor(create_model("pocket", dtype="float32"))
    compare_encoders(predictor, image, options.repeats)
    compare_clicks(predictor, image, 4 * options.repeats)


def enlarge(image: np.ndarray) -> np.ndarray:
    """Repeat an image up to 512 x 512."""
    rows, cols = (-(-512 // side) for side in image.shape[:2])
    return np.tile(image, (rows, cols))[:512, :512]


def compare_encoders(predictor: SamPredictor, image: np.ndarray, repeats: int) -> None:
    """Time 512 x 512 in pocket against 1024 x 1024 in TinyViT."""
    mobile_sam = create_model("mobile_sam", dtype="float32", pretrained=False)
    frame = torch.rand(1, 3, 1024, 1024)
    with torch.no_grad():
        times = time_in_turns(
            {
                "TinyViT 1024": lambda: mobile_sam.encode_image(frame),
                "pocket 512": lambda: predictor.set_image(image),
            },
            repeats,
        )
    print_ratios(times, {"pocket 512": ENCODE_TARGET})


def compare_clicks(predictor: SamPredictor, image: np.ndarray, repeats: int) -> None:
    """Time one click, embedding ready, to full masks: 512 x 512 against 1024.

    A sure click is answered from one window; an unsure one is compared with the same
    click at other scales.
    """
    sam = sam_model_registry["vit_b"]().eval()
    reference = ReferencePredictor(sam)
    # The decoder needs an embedding, not the 90 million weights that make one.
    sam.image_encoder.forward = lambda x: torch.rand(1, 256, 64, 64)
    reference.set_image(np.zeros((1024, 1024, 3), np.uint8))
    coords, labels = np.array([[256.0, 256.0]]), np.array([1])
    predictor.set_image(image)
    sure, unsure = surest_and_least_sure(predictor)
    features = predictor.model.encode(torch.rand(1, 3, 256, 256))
    click = torch.tensor([[[128.0, 128.0]]]), torch.tensor([[1]])
    with torch.no_grad():
        times = time_in_turns(
            {
                "reference click": lambda: reference.predict(coords, labels),
                "pocket decode": lambda: predictor.model.decode(features, click),
                "pocket sure click": lambda: predictor.predict(points=[sure]),
                "pocket unsure click": lambda: predictor.predict(points=[unsure]),
            },
            repeats,
        )
    print_ratios(times, {"pocket decode": DECODE_TARGET})


def surest_and_least_sure(
    predictor: SamPredictor,
) -> tuple[tuple[int, int], tuple[int, int]]:
    """Centres of the nuclei that a click finds with the highest and lowest rating."""
    labels = load_sample("fluorescence_nuclei").labels
    centres = [
        (int(np.mean(rows)), int(np.mean(cols)))
        for rows, cols in (np.nonzero(labels == each) for each in np.unique(labels)[1:])
    ]
    rated = sorted(
        (float(predictor.predict(points=[centre]).predicted_iou.max()), centre)
        for centre in centres
    )
    return rated[-1][1], rated[0][1]


if __name__ == "__main__":
    main()
