"""What a model finds by itself in a labelled image, named by what it meets there.

Words are asked of a model's own masks: parts, clumps and shadows among them. A head
that was taught with true objects alone takes each of those for some kind of object.
"""

from __future__ import annotations

from collections.abc import Sequence

from napari_sam.structures import MaskRecord
from napari_sam.training.matching import best_match
from napari_sam.training.text_scenes import OTHER, NamedImage

# From this IoU on a mask is the object, and below the other it is no object; between
# them nobody can say.
SAME, DIFFERENT = 0.5, 0.35


def name_found(
    records: Sequence[MaskRecord], image: NamedImage
) -> tuple[list[MaskRecord], list[str]]:
    """Name masks by the true objects they meet.

    Parameters
    ----------
    records : sequence of MaskRecord
        Of this image.
    image : NamedImage
        With its ``truth``.

    Returns
    -------
    list of MaskRecord
        Those that can be named.
    list of str
        The word of each; "" for what is no object.
    """
    kept, words = [], []
    for record in records:
        word = _word_of(record, image)
        if word is not None:
            kept.append(record)
            words.append(word)
    return kept, words


def _word_of(record: MaskRecord, image: NamedImage) -> str | None:
    """The word of a mask; None if it cannot be told."""
    best, word = 0.0, ""
    for labels, names in image.truth:
        iou, index = best_match(record, labels)
        best, word = max((best, word), (iou, names[index] if index else ""))
    if best >= SAME:
        return word
    if all(each in ("", OTHER) for each in image.words):
        return OTHER
    return "" if image.complete and best < DIFFERENT else None
