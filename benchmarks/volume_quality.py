"""How good volumes and movies come out, in one report.

    python benchmarks/volume_quality.py DATA [--only click] [--max-objects N] ...

DATA holds train/ and val/ with the sets below. Parts: ``click`` propagates one click
(in a movie a box) and one correction, on the sets and on the synthetic volume, beside
a click in every slice and scikit-image's random walker; ``auto`` finds everything in 3D
(AP50, PQ); ``track`` links the objects of the movies and scores them with the Cell
Tracking Challenge's measures: pip install py-ctcmetrics.
"""

from __future__ import annotations

import argparse
import contextlib
import io
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from napari_sam import SamPredictor, create_model
from napari_sam.evaluation.datasets import open_datasets
from napari_sam.evaluation.metrics import score_labels
from napari_sam.evaluation.volume import (
    LabelledVolume,
    measure_volumes,
    read_volumes,
)
from napari_sam.export.tracks import write_tracks
from napari_sam.inference.tracking import TrackSettings, track_labels
from napari_sam.inference.volume import VolumeSegmenter
from napari_sam.inference.volume_automatic import find_everything, segment_volume
from napari_sam.synthetic.volume import nuclei_volume

MOVIES = ("video_davis2016", "phase_t98g_movie")
CLICKED = (
    ("train", "plant_nuclei_3d"),
    ("val", "plant_nuclei_3d"),
    ("train", "stardist_test_3d"),
    ("train", "em_chloroplasts_3d"),
    ("val", "em_chloroplasts_3d"),
    ("train", "em_neurons_fibsem_3d"),
    ("val", "em_neurons_fibsem_3d"),
    ("train", "video_davis2016"),
    ("val", "video_davis2016"),
)
FOUND = (
    ("train", "stardist_test_3d"),
    ("train", "plant_nuclei_3d"),
    ("val", "plant_nuclei_3d"),
)
TRACKED = (("train", "phase_t98g_movie"), ("val", "phase_t98g_movie"))
MEASURES = ["DET", "SEG", "TRA", "IDF1"]
SYNTHETIC = "synthetic"


def volumes(data: Path, part: str, name: str) -> Iterator[LabelledVolume]:
    """Yield the volumes of one set."""
    if part == SYNTHETIC:
        scale = (3.0, 1.0, 1.0)
        scene = nuclei_volume(np.random.default_rng(0), (16, 128, 128), scale)
        yield LabelledVolume(SYNTHETIC, scene.image, scene.labels)
        return
    for images in open_datasets(data / part / name):
        yield from read_volumes(images, name in MOVIES)


def clicked(segmenter: VolumeSegmenter, asked: argparse.Namespace) -> dict[str, Any]:
    """Measure propagation of one prompt, and of one more."""
    figures = {}
    for part, name in [*CLICKED, (SYNTHETIC, "nuclei")]:
        if not wanted(asked, name):
            continue
        result = measure_volumes(
            segmenter,
            name,
            volumes(asked.data, part, name),
            asked.max_objects,
            asked.baselines,
        )
        figures[f"{part}/{name}"] = found = result.summary()
        one, more = found["propagated"], found["corrected"]
        print(
            f"{part + '/' + name:<28} {found['objects']:>4} objects  IoU "
            f"{one['mean_iou']:.3f}  +1 {more['mean_iou']:.3f}  alone "
            f"{one['keep_to_themselves']:.2f}, +1 {more['keep_to_themselves']:.2f}  "
            f"spill {one['mean_spill']:.3f}  column {shown(found['column'])}  walker "
            f"{shown(found['walker'])}",
            flush=True,
        )
    return figures


def shown(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def wanted(asked: argparse.Namespace, name: str) -> bool:
    return not asked.set or name in asked.set


def found_alone(
    segmenter: VolumeSegmenter, asked: argparse.Namespace
) -> dict[str, Any]:
    """Measure 3D objects found without a prompt."""
    figures = {}
    for part, name in FOUND:
        if not wanted(asked, name):
            continue
        for volume in volumes(asked.data, part, name):
            found = segment_volume(
                segmenter,
                volume.image,
                channel_axis=volume.channel_axis,
                refine=not asked.no_refine,
            )
            score = score_labels(volume.labels, found.labels()).as_dict()
            figures[f"{part}/{name}/{volume.name}"] = score
            print(
                f"{part}/{name}/{volume.name}: AP50 {score['ap50']:.3f} PQ "
                f"{score['panoptic_quality']:.3f} F1 {score['f1']:.3f}, "
                f"{len(found.objects)} objects of {len(np.unique(volume.labels)) - 1}",
                flush=True,
            )
    return figures


def tracked(segmenter: VolumeSegmenter, asked: argparse.Namespace) -> dict[str, Any]:
    """Measure detection and tracking of everything in the movies."""
    figures = {}
    for part, name in TRACKED:
        if not wanted(asked, name):
            continue
        for volume in volumes(asked.data, part, name):
            frames = frame_labels(segmenter, volume)
            score = challenge_scores(volume.labels, frames)
            figures[f"{part}/{name}/{volume.name}"] = score
            words = "  ".join(f"{key} {score[key]:.3f}" for key in MEASURES)
            print(f"{part}/{name}/{volume.name}: {words}", flush=True)
    return figures


def frame_labels(segmenter: VolumeSegmenter, volume: LabelledVolume) -> np.ndarray:
    """Find the objects of each frame by itself."""
    planes = segmenter.open(
        volume.image, channel_axis=volume.channel_axis, denoise=False
    )
    planes.prepare([0])
    labels = np.zeros(volume.labels.shape, np.int32)
    for index, plane in enumerate(labels):
        records = find_everything(segmenter.predictor, planes, index)
        for number, record in enumerate(records, start=1):
            row, col = record.origin
            height, width = record.mask.shape
            part = plane[row : row + height, col : col + width]
            part[record.mask] = number
    return labels


def challenge_scores(truth: np.ndarray, frames: np.ndarray) -> dict[str, float]:
    """Link objects and score the tracks against labelled ones, without divisions."""
    from ctc_metrics.scripts.evaluate import evaluate_sequence

    found = track_labels(frames, TrackSettings(divisions=False))
    rows = [(t.identifier, t.start, t.stop - 1, t.parent) for t in found.tracks]
    with tempfile.TemporaryDirectory() as folder:
        result, reference = Path(folder) / "01_RES", Path(folder) / "01_GT"
        write_tracks(result, found.labels, rows)
        write_reference(reference, truth)
        with contextlib.redirect_stdout(io.StringIO()):
            scores = evaluate_sequence(
                str(result), str(reference), list(MEASURES), threads=1
            )
    return {key: float(scores[key]) for key in MEASURES}


def write_reference(folder: Path, truth: np.ndarray) -> None:
    """Write labels as the challenge keeps its references."""
    rows = []
    for identifier in np.unique(truth[truth > 0]):
        there = np.flatnonzero((truth == identifier).any(axis=(1, 2)))
        rows.append((int(identifier), int(there[0]), int(there[-1]), 0))
    for kind, stem in (("TRA", "man_track"), ("SEG", "man_seg")):
        written = write_tracks(folder / kind, truth, rows)
        for path in written:
            name = path.name.replace("mask", stem).replace("res_track", "man_track")
            path.rename(path.with_name(name))


def main() -> None:
    """Print the figures of each part; ``--json`` keeps them all."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("--only", choices=list(PARTS), action="append")
    parser.add_argument("--set", action="append", help="only this set; repeat it")
    parser.add_argument("--max-objects", type=int, help="of each volume")
    parser.add_argument("--baselines", action="store_true", help="click column, walker")
    parser.add_argument(
        "--no-refine", action="store_true", help="of auto: objects are linked only"
    )
    parser.add_argument("--checkpoint", type=Path)
    parser.add_argument("--json", type=Path)
    asked = parser.parse_args()
    segmenter = VolumeSegmenter(
        SamPredictor(create_model("pocket", checkpoint=asked.checkpoint))
    )
    figures = {}
    for name in asked.only or PARTS:
        figures[name] = PARTS[name](segmenter, asked)
        if asked.json:
            asked.json.write_text(json.dumps(figures, indent=2))


PARTS = {"click": clicked, "auto": found_alone, "track": tracked}


if __name__ == "__main__":
    main()
