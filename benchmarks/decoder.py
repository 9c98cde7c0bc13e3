"""Time from a click to full resolution masks, against PyPI `segment-anything`.

Same random weights, same random embedding of a 1024 x 1024 image, three masks each, in
one process and in turns: ``python benchmarks/decoder.py [--repeats N] [--threads N]``.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable

import numpy as np
import torch
from segment_anything import SamPredictor as ReferencePredictor
from segment_anything.modeling import MaskDecoder, PromptEncoder, TwoWayTransformer
from segment_anything.modeling import Sam as ReferenceSam
from timing import our_dtypes, print_ratios, time_in_turns
from torch import nn

from napari_sam.inference.fixed_frame import FixedFraming
from napari_sam.nn.sam import Sam, assemble_sam
from napari_sam.structures import PointPrompt, PromptSet

SIZE = 1024
BATCH = 64
TARGETS = {"ours, float32": 0.6, "ours, bfloat16": 0.4}
Run = Callable[[], object]


class _Frame(nn.Module):
    """Stands in for the image encoder, which is not run."""

    img_size = SIZE


def _reference() -> ReferenceSam:
    transformer = TwoWayTransformer(
        depth=2, embedding_dim=256, mlp_dim=2048, num_heads=8
    )
    prompts = PromptEncoder(
        embed_dim=256,
        image_embedding_size=(64, 64),
        input_image_size=(SIZE, SIZE),
        mask_in_chans=16,
    )
    decoder = MaskDecoder(transformer_dim=256, transformer=transformer)
    return ReferenceSam(_Frame(), prompts, decoder).eval()


def _ours(reference: ReferenceSam, dtype: torch.dtype) -> Sam:
    model = assemble_sam(_Frame())
    model.load_state_dict(reference.state_dict())
    model.compute_dtype = dtype
    return model


def _reference_runs(
    model: ReferenceSam, features: torch.Tensor, xy: np.ndarray
) -> tuple[Run, Run]:
    predictor = ReferencePredictor(model)
    predictor.features, predictor.is_image_set = features, True
    predictor.original_size = predictor.input_size = (SIZE, SIZE)
    coords = torch.from_numpy(xy).float()[:, None]
    return (
        lambda: predictor.predict(point_coords=xy[:1], point_labels=np.ones(1)),
        lambda: predictor.predict_torch(coords, torch.ones(len(xy), 1)),
    )


def _our_runs(model: Sam, features: torch.Tensor, xy: np.ndarray) -> tuple[Run, Run]:
    framing = FixedFraming(model)
    embedding = framing.restore(features, (SIZE, SIZE))
    prompts = [PromptSet(points=(PointPrompt((y, x)),)) for x, y in xy]
    return (
        lambda: framing.decode(embedding, prompts[:1], True),
        lambda: framing.decode(embedding, prompts, True),
    )


@torch.no_grad()
def main() -> None:
    """Print the ratios."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    reference = _reference()
    features = torch.randn(1, 256, 64, 64)
    xy = np.random.default_rng(0).uniform(0, SIZE, (BATCH, 2))
    pairs = {"segment-anything": _reference_runs(reference, features, xy)}
    for name, dtype in our_dtypes().items():
        pairs[name] = _our_runs(_ours(reference, dtype), features, xy)
    for index, title in enumerate(("one click", f"{BATCH} clicks in one batch")):
        print(f"{title}, {options.threads} threads")
        runs = {name: pair[index] for name, pair in pairs.items()}
        repeats = max(1, options.repeats // (5 if index else 1))
        print_ratios(time_in_turns(runs, repeats), TARGETS)


if __name__ == "__main__":
    main()
