"""Suggested regions as prompts: what the mask decoder makes of each."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np

from napari_sam.inference.framing import Framing, ImageEmbedding
from napari_sam.inference.instances import Candidate, record_iou
from napari_sam.inference.postprocess import STABILITY_OFFSET, DrawnMask
from napari_sam.inference.regions import Region, draw_region
from napari_sam.structures import BoxPrompt, MaskRecord, PromptSet, Provenance

# Regions prompted at a time.
CHUNK = 32
# Octaves of size mismatch at which a score has fallen to about 0.6.
MISMATCH = 0.6
# A region counts without the decoder's support from this certainty on, if its size is
# within this many octaves of what its pixels tell.
CERTAIN, FITTING = 0.9, 0.3


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
    def prompts(self) -> PromptSet:
        """The box around it."""
        row0, col0, row1, col1 = self.candidate.box
        return PromptSet(box=BoxPrompt((row0, col0), (row1, col1)))


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
) -> list[Candidate]:
    """Ask the mask decoder for the object in each region's box.

    Parameters
    ----------
    framing : Framing
    embedding : ImageEmbedding
    regions : sequence of DrawnRegion
    report : callable
        Called with the number of regions done and of all.

    Returns
    -------
    list of Candidate
        Scored by the product of predicted IoU, squared, agreement with the region, the
        region's certainty, and how well its size fits what its pixels tell.
    """
    found: list[Candidate] = []
    for start in range(0, len(regions), CHUNK):
        report(start, len(regions))
        chunk = regions[start : start + CHUNK]
        found += _prompt_some(framing, embedding, chunk)
    report(len(regions), len(regions))
    return found


def _prompt_some(
    framing: Framing, embedding: ImageEmbedding, regions: Sequence[DrawnRegion]
) -> Iterator[Candidate]:
    prompts = [each.prompts for each in regions]
    answers = framing.decode_low_res(embedding, prompts, False)
    for each, asked, answer in zip(regions, prompts, answers, strict=True):
        drawn = framing.draw(
            embedding, answer.logits[0], answer.frame, STABILITY_OFFSET
        )
        if drawn is None:
            continue
        quality = float(np.clip(float(answer.predicted_iou[0]), 0, 1))
        made = replace(each.candidate.record.provenance, prompts=asked)
        candidate = Candidate(_record(drawn, quality, made), quality)
        agreement = record_iou(candidate, each.candidate)
        score = quality**2 * agreement * each.candidate.score
        yield Candidate(candidate.record, score)


def _support(region: Region) -> float:
    """How much the maps support a region as one object."""
    return region.certainty * math.exp(-((region.size_mismatch / MISMATCH) ** 2) / 2)


def _record(drawn: DrawnMask, quality: float, made: Provenance) -> MaskRecord:
    row0, col0, _, _ = drawn.box
    return MaskRecord(drawn.mask, (row0, col0), quality, drawn.stability_score, made)
