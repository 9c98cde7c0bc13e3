"""Candidates for words: what the model takes for objects, whatever their kind."""

from __future__ import annotations

from napari_sam.inference.automatic import Method, segment_everything
from napari_sam.inference.blocks import PyramidEmbedding
from napari_sam.inference.instances import InstanceSettings
from napari_sam.inference.predictor import SamPredictor
from napari_sam.structures import MaskRecord

# Words sift afterwards, so that little is left out here.
SMALLEST = 15.0


def find_candidates(predictor: SamPredictor) -> list[MaskRecord]:
    """Find candidate masks of the predictor's image.

    Parameters
    ----------
    predictor : SamPredictor
        With its image set.

    Returns
    -------
    list of MaskRecord
        By the model's own dense head, or on a grid where it has none.

    Raises
    ------
    ImageError
        There is no image yet.
    """
    dense = isinstance(predictor.embedding, PyramidEmbedding)
    method: Method = "dense" if dense else "grid"
    settings = InstanceSettings(min_size=SMALLEST)
    return segment_everything(predictor, method=method, settings=settings).records
