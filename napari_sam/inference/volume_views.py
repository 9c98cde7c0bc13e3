"""Where the bundled model looks for an object that comes from a neighbouring slice.

The model sees a window of one level of the image's pyramid. Left to itself it takes the
level that suits the object best, which may be another one in each slice and for each
object; every level more has to be encoded. From slice to slice an object is known
already, so that here it is looked for at the level that its slice has anyway, unless it
would be seen far too small or too large there.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from napari_sam.inference.blocks import PyramidEmbedding, View
from napari_sam.inference.framing import (
    ImageEmbedding,
    LowResMasks,
    chunks_of_a_kind,
)
from napari_sam.inference.pyramid import PyramidFraming
from napari_sam.inference.view_choice import (
    BOX_FILLING,
    FINEST_LEVEL,
    LARGEST_SHARE,
    WANTED_SIZE,
)
from napari_sam.inference.window_prompts import (
    Corners,
    known_box,
)
from napari_sam.structures import PromptSet

# An object may be seen so many octaves smaller or larger than suits the model best.
TOLERATED = 1.0


def first_level(embedding: ImageEmbedding) -> int | None:
    """The level that a slice was encoded at when it was opened.

    Parameters
    ----------
    embedding : ImageEmbedding
        Just made.

    Returns
    -------
    int or None
        None if it has no levels.
    """
    if not isinstance(embedding, PyramidEmbedding):
        return None
    return max(key[0] for key in embedding.blocks)


class WindowDecoder:
    """Looks for objects in windows of a slice, once each.

    Parameters
    ----------
    framing : PyramidFraming
    """

    def __init__(self, framing: PyramidFraming) -> None:
        self._framing = framing

    def decode(
        self, embedding: PyramidEmbedding, level: int, prompts: Sequence[PromptSet]
    ) -> list[LowResMasks]:
        """Predict one mask of each object.

        Parameters
        ----------
        embedding : PyramidEmbedding
        level : int
            That the slice is encoded at.
        prompts : sequence of PromptSet
            Each with a box or a mask, else it is unknown where to look.
        """
        views = [self._view(embedding, level, each) for each in prompts]
        found: dict[int, LowResMasks] = {}
        counts = (len(each.points) for each in prompts)
        for chunk in chunks_of_a_kind(counts, self._framing.batch):
            answers = self._decode(
                embedding, [prompts[n] for n in chunk], [views[n] for n in chunk]
            )
            found.update(zip(chunk, answers, strict=True))
        return [found[n] for n in range(len(prompts))]

    def _view(
        self, embedding: PyramidEmbedding, level: int, prompts: PromptSet
    ) -> View:
        box, window = known_box(prompts), self._framing.model.window
        assert box is not None
        lowest = self._framing.views.coarsest_level(embedding)
        chosen = max(_tolerable_level(box, window, level), lowest)
        (row0, col0), (row1, col1) = box
        centre = (row0 + row1) / 2, (col0 + col1) / 2
        return self._framing.views.view_at(embedding, centre, chosen)

    def _decode(
        self,
        embedding: PyramidEmbedding,
        prompts: Sequence[PromptSet],
        views: Sequence[View],
    ) -> list[LowResMasks]:
        """Decode prompts that make equally many tokens."""
        logits, iou = self._framing.decode_in(embedding, prompts, views, slice(0, 1))
        frames = [view.frame(self._framing.model.window) for view in views]
        return [LowResMasks(logits[n], iou[n], frame) for n, frame in enumerate(frames)]


def _tolerable_level(box: Corners, window: int, level: int) -> int:
    """The level nearest to ``level`` that an object in a box is seen well at."""
    (row0, col0), (row1, col1) = box
    height, width = max(row1 - row0, 1.0), max(col1 - col0, 1.0)
    wanted = math.log2(WANTED_SIZE / math.sqrt(BOX_FILLING * height * width))
    fitting = math.floor(math.log2(LARGEST_SHARE * window / max(height, width)))
    finest = min(math.floor(wanted + TOLERATED), FINEST_LEVEL, fitting)
    return min(max(level, math.ceil(wanted - TOLERATED)), finest)
