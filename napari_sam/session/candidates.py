"""The masks a model offers for one draft, in samples of the view."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from napari_sam.errors import PromptError
from napari_sam.geometry import Box, frame_to_image, mask_to_box, resample
from napari_sam.session.labels import PlacedMask
from napari_sam.session.view import ImageView, logits_frame
from napari_sam.structures import Frame, MaskPrediction, MaskPrompt

# A mask seen at an overview level and drawn pixel by pixel must fit in memory.
LARGEST_MASK = 100_000_000


@dataclass(frozen=True, eq=False)
class Candidates:
    """Masks for one set of prompts.

    Attributes
    ----------
    view : ImageView
        That they were made in.
    prediction : MaskPrediction
        In samples of the view.
    chosen : int
        Which one is shown and would be committed.
    hovering : bool
        Whether they are for the place under the pointer, with no prompt set.
    """

    view: ImageView
    prediction: MaskPrediction
    chosen: int
    hovering: bool = False

    def __len__(self) -> int:
        return len(self.prediction.masks)

    @property
    def mask(self) -> NDArray[np.bool_]:
        """The chosen mask, in samples of the view."""
        mask: NDArray[np.bool_] = self.prediction.masks[self.chosen]
        return mask

    @property
    def box(self) -> Box | None:
        """Box of the chosen mask, in samples of the view; None if it is empty."""
        return mask_to_box(self.mask)

    def place(self) -> PlacedMask:
        """Return the chosen mask in pixels of the plane.

        Raises
        ------
        PromptError
            If it is empty, or far too large to draw pixel by pixel.
        """
        if self.box is None:
            raise PromptError("The mask is empty: change the prompts first.")
        box, frame = self.box, self.view.frame
        if self.view.is_full_resolution:
            origin = int(box[0] + frame.origin[0]), int(box[1] + frame.origin[1])
            cut = self.mask[box[0] : box[2], box[1] : box[3]]
            return PlacedMask(self.view.plane, origin, cut.copy())
        return self._resampled(box)

    def _resampled(self, box: Box) -> PlacedMask:
        """Interpolate the logits at the pixels of the plane."""
        corners = frame_to_image(np.reshape(box, (2, 2)), self.view.frame)
        low = np.floor(corners[0]).astype(int)
        high = np.minimum(np.ceil(corners[1]).astype(int), self.view.plane.size)
        height, width = (high - low).tolist()
        if height * width > LARGEST_MASK:
            raise PromptError(
                f"The mask covers {height} x {width} pixels: zoom in before you commit."
            )
        target = Frame((float(low[0]), float(low[1])), (1.0, 1.0), (height, width))
        logits = self.prediction.low_res_masks[self.chosen]
        source = logits_frame(self.prediction, self.view)
        inside = resample(logits, source, target, fill=-32.0) > 0
        return PlacedMask(self.view.plane, (int(low[0]), int(low[1])), inside)

    def mask_prompt(self) -> MaskPrompt:
        """Return the chosen mask as a prompt, its logits placed in the plane."""
        logits = self.prediction.low_res_masks[self.chosen]
        return MaskPrompt(logits, logits_frame(self.prediction, self.view))
