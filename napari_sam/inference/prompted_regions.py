"""Suggested regions as prompts: what the mask decoder makes of each."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from napari_sam.geometry import frame_to_image
from napari_sam.inference.blocks import PyramidEmbedding
from napari_sam.inference.framing import Framing, ImageEmbedding, LowResMasks
from napari_sam.inference.instances import Candidate, record_iou
from napari_sam.inference.mask_doubt import depth_logits
from napari_sam.inference.postprocess import STABILITY_OFFSET, DrawnMask
from napari_sam.inference.regions import Region, draw_region
from napari_sam.structures import (
    BoxPrompt,
    Frame,
    MaskPrompt,
    MaskRecord,
    PointPrompt,
    PromptSet,
    Provenance,
)

# Regions prompted at a time.
CHUNK = 32
# Octaves of size mismatch at which a score has fallen to about 0.6.
MISMATCH = 0.6
# A region counts without the decoder's support from this certainty on, if its size is
# within this many octaves of what its pixels tell.
CERTAIN, FITTING = 0.9, 0.3
# A region as logits: the distance from its edge, as if it had this side in samples, up
# to a limit.
SAMPLES, DEEPEST = 24.0, 6.0


Rate = Callable[
    [Sequence[tuple["DrawnRegion", Candidate, LowResMasks]]], NDArray[np.float32]
]


@dataclass(frozen=True, eq=False)
class DrawnRegion:
    """A region in image pixels.

    Attributes
    ----------
    region : Region
    candidate : Candidate
        The region itself as an object.
    """

    region: Region
    candidate: Candidate

    @property
    def is_certain(self) -> bool:
        """Whether it counts without the decoder's support."""
        region = self.region
        return region.certainty >= CERTAIN and region.size_mismatch <= FITTING

    @property
    def box_prompt(self) -> PromptSet:
        """The box around it."""
        row0, col0, row1, col1 = self.candidate.box
        return PromptSet(box=BoxPrompt((row0, col0), (row1, col1)))

    @property
    def mask_prompt(self) -> PromptSet:
        """A click on its peak, and itself as the mask to refine.

        A box tells the decoder where the object ends, and a region's box is often a
        little wrong; a mask is corrected.
        """
        region = self.region
        logits = depth_logits(np.pad(region.mask, 1), SAMPLES, DEEPEST)
        (row, col), (down, right) = (
            frame_to_image(np.array(region.box[:2]) - 1, region.frame),
            region.frame.step,
        )
        frame = Frame((float(row), float(col)), (down, right), logits.shape)
        click = PointPrompt(region.centre)
        return PromptSet(points=(click,), mask=MaskPrompt(logits, frame))


def region_candidates(
    regions: Sequence[Region], image_shape: tuple[int, int], made: Provenance
) -> list[DrawnRegion]:
    """Draw regions in image pixels; those that cover no pixel are left out."""
    found = []
    for region in regions:
        drawn = draw_region(region, image_shape)
        if drawn is not None:
            record = _record(drawn, region.certainty, made)
            found.append(DrawnRegion(region, Candidate(record, _support(region))))
    return found


def prompt_regions(
    framing: Framing,
    embedding: ImageEmbedding,
    regions: Sequence[DrawnRegion],
    report: Callable[[int, int], object],
    rate: Rate | None = None,
) -> list[Candidate]:
    """Ask the mask decoder for the object in each region.

    Parameters
    ----------
    framing : Framing
    embedding : ImageEmbedding
    regions : sequence of DrawnRegion
    report : callable
        Called with the number of regions done and of all.
    rate : callable, optional
        Rates some answers at a time; what it returns is each candidate's score and
        predicted IoU.

    Returns
    -------
    list of Candidate
        If they are not rated, scored by the product of predicted IoU, squared,
        agreement with the region, the region's certainty, and how well its size fits
        what its pixels tell.
    """
    found: list[Candidate] = []
    for start in range(0, len(regions), CHUNK):
        report(start, len(regions))
        answered = list(_answers(framing, embedding, regions[start : start + CHUNK]))
        if rate is None or not answered:
            found += [_scored(region, answer) for region, answer, _ in answered]
            continue
        for (_, answer, _), rating in zip(answered, rate(answered), strict=True):
            record = replace(answer.record, predicted_iou=float(rating))
            found.append(Candidate(record, float(rating)))
    report(len(regions), len(regions))
    return found


def _answers(
    framing: Framing, embedding: ImageEmbedding, regions: Sequence[DrawnRegion]
) -> Iterator[tuple[DrawnRegion, Candidate, LowResMasks]]:
    """The decoder's answer to each region; none if it covers no pixel."""
    as_masks = isinstance(embedding, PyramidEmbedding)
    prompts = [each.mask_prompt if as_masks else each.box_prompt for each in regions]
    answers = framing.decode_low_res(embedding, prompts, False)
    for region, answer in zip(regions, answers, strict=True):
        drawn = framing.draw(
            embedding, answer.logits[0], answer.frame, STABILITY_OFFSET
        )
        if drawn is None:
            continue
        quality = float(np.clip(float(answer.predicted_iou[0]), 0, 1))
        made = replace(region.candidate.record.provenance, prompts=region.box_prompt)
        yield region, Candidate(_record(drawn, quality, made), quality), answer


def _scored(region: DrawnRegion, answer: Candidate) -> Candidate:
    agreement = record_iou(answer, region.candidate)
    quality = answer.record.predicted_iou
    score = quality**2 * agreement * region.candidate.score
    return Candidate(answer.record, score)


def _support(region: Region) -> float:
    """How much the maps support a region as one object."""
    return region.certainty * math.exp(-((region.size_mismatch / MISMATCH) ** 2) / 2)


def _record(drawn: DrawnMask, quality: float, made: Provenance) -> MaskRecord:
    row0, col0, _, _ = drawn.box
    return MaskRecord(drawn.mask, (row0, col0), quality, drawn.stability_score, made)
