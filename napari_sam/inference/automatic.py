"""Every object of an image without a prompt, as one label image.

`dense` follows the idea of micro-sam (Archit et al., "Segment Anything for Microscopy",
2025): maps of foreground and distances suggest objects; here each suggestion becomes a
prompt, and the mask decoder draws it. `grid` is SAM's own way.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol, get_args

import numpy as np
from numpy.typing import NDArray

from napari_sam.errors import ModelError
from napari_sam.inference.blocks import PyramidEmbedding
from napari_sam.inference.framing import ImageEmbedding
from napari_sam.inference.grid import AutomaticMaskGenerator
from napari_sam.inference.instances import (
    Candidate,
    InstanceSettings,
    resolve,
)
from napari_sam.inference.object_rating import ObjectRater
from napari_sam.inference.predictor import SamPredictor
from napari_sam.inference.prompted_regions import (
    DrawnRegion,
    prompt_regions,
    region_candidates,
)
from napari_sam.inference.pyramid import PyramidFraming
from napari_sam.inference.regions import Region
from napari_sam.inference.run_lengths import decode_mask
from napari_sam.structures import MaskRecord, PointPrompt, PromptSet, Provenance

Method = Literal["dense", "grid"]
Progress = Callable[[int, int | None], object]
# A candidate is dropped that scores lower than this, or than this part of the image's
# better ones: scores lie higher in some kinds of image than in others.
LOWEST_SCORE = 0.2
LOWEST_RATING = 0.3
LOWEST_SHARE = 0.5
BETTER_ONES = 0.75


@dataclass(frozen=True, eq=False)
class AutomaticResult:
    """All objects of an image.

    Attributes
    ----------
    labels : ndarray of int32, shape (H, W)
        0 is background; object ``k`` is ``records[k - 1]``.
    records : list of MaskRecord
        The most trusted object first.
    """

    labels: NDArray[np.int32]
    records: list[MaskRecord]


class RegionFinder(Protocol):
    """Suggests objects of an embedded image."""

    def __call__(
        self, embedding: ImageEmbedding, progress: Callable[[int, int], object]
    ) -> list[Region]:
        """Return regions, which may overlap."""
        ...


def segment_everything(
    predictor: SamPredictor,
    *,
    method: Method = "dense",
    settings: InstanceSettings | None = None,
    finder: RegionFinder | None = None,
    generator: AutomaticMaskGenerator | None = None,
    progress: Progress | None = None,
) -> AutomaticResult:
    """Find all objects of the predictor's image.

    Parameters
    ----------
    predictor : SamPredictor
        With its image set.
    method : {"dense", "grid"}
        "dense" asks where a dense head suggests objects, "grid" asks everywhere.
    settings : InstanceSettings, optional
        Which objects are kept, and in which shape.
    finder : callable, optional
        Suggests objects for "dense"; by default the bundled model's own dense head.
        See `napari_sam.inference.unetr.UnetrFinder` for micro-sam's models.
    generator : AutomaticMaskGenerator, optional
        For "grid"; one with the reference's parameters by default.
    progress : callable, optional
        Called with the work done and its total, None while not known; what it raises
        ends the work.

    Returns
    -------
    AutomaticResult

    Raises
    ------
    ModelError
        If there is no such method, or the model has no dense head.
    ImageError
        If there is no image yet.
    """
    if method not in get_args(Method):
        raise ModelError(f"There is no method {method!r}: use 'dense' or 'grid'.")
    settings = settings or InstanceSettings()
    report = progress or _ignore
    if method == "grid":
        return _by_grid(predictor, settings, generator, report)
    return _by_regions(predictor, settings, finder or _own_finder(predictor), report)


def _ignore(_done: int, _total: int | None) -> None:
    """Take a report of progress that nobody waits for."""


def _own_finder(predictor: SamPredictor) -> RegionFinder:
    framing = predictor.framing
    if not isinstance(framing, PyramidFraming):
        raise ModelError(
            f"The model {predictor.model.name!r} has no dense head: use the method "
            "'grid', or give it micro-sam's decoder."
        )
    from napari_sam.inference.dense import DenseFinder

    return DenseFinder(framing)


def _by_regions(
    predictor: SamPredictor,
    settings: InstanceSettings,
    finder: RegionFinder,
    report: Progress,
) -> AutomaticResult:
    embedding = predictor.embedding

    def looking(done: int, _total: int) -> None:
        report(done, None)

    regions = finder(embedding, looking)
    model = predictor.model
    made = Provenance(model.name, model.checkpoint_sha256 or "", method="dense")
    drawn = region_candidates(regions, embedding.image_shape, made)
    rater = _rater(predictor, drawn)
    prompted = prompt_regions(predictor.framing, embedding, drawn, report, rater)
    lowest = LOWEST_SCORE if rater is None else LOWEST_RATING
    labels = np.zeros(embedding.image_shape, np.int32)
    records = resolve(_worthwhile(prompted, lowest), labels, settings)
    # What no prompt has explained stays as the maps show it.
    rest = [each.candidate for each in drawn if each.is_certain]
    records += resolve(rest, labels, settings)
    return AutomaticResult(labels, records)


def _rater(
    predictor: SamPredictor, regions: Sequence[DrawnRegion]
) -> ObjectRater | None:
    """What tells objects among the answers, if the model has learnt it."""
    framing, embedding = predictor.framing, predictor.embedding
    if not (
        regions
        and isinstance(framing, PyramidFraming)
        and isinstance(embedding, PyramidEmbedding)
        and framing.model.object_head.is_fitted
    ):
        return None
    return ObjectRater(framing, embedding, regions)


def _worthwhile(candidates: Sequence[Candidate], lowest: float) -> list[Candidate]:
    if not candidates:
        return []
    good = float(np.quantile([each.score for each in candidates], BETTER_ONES))
    least = max(lowest, LOWEST_SHARE * good)
    return [each for each in candidates if each.score >= least]


def _by_grid(
    predictor: SamPredictor,
    settings: InstanceSettings,
    generator: AutomaticMaskGenerator | None,
    report: Progress,
) -> AutomaticResult:
    embedding, model = predictor.embedding, predictor.model
    generator = generator or AutomaticMaskGenerator(model)
    candidates = []
    for found in generator.find_in(embedding, progress=report):
        row0, col0, row1, col1 = found.box
        mask = decode_mask(found.runs)[row0 : row1 + 1, col0 : col1 + 1].copy()
        prompts = PromptSet(points=(PointPrompt(found.point),))
        made = Provenance(model.name, model.checkpoint_sha256 or "", prompts, "grid")
        record = MaskRecord(
            mask,
            (int(row0), int(col0)),
            found.predicted_iou,
            found.stability_score,
            made,
        )
        score = found.predicted_iou * found.stability_score
        candidates.append(Candidate(record, score))
    labels = np.zeros(embedding.image_shape, np.int32)
    return AutomaticResult(labels, resolve(candidates, labels, settings))
