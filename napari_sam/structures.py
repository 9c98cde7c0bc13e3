"""The frozen dataclasses that all layers share; numpy only.

Every position is in array order, (row, col), in pixels of the full image. A pixel
covers the half-open square [r, r + 1) x [c, c + 1), so the centre of pixel (3, 5) is
the position (3.5, 5.5); prompts name pixels, so ``PointPrompt((3, 5))`` means that
pixel and its centre.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class Frame:
    """Where a grid of samples lies in the full image.

    Sample (i, j) of the grid covers image rows ``origin[0] + i * step[0]`` to
    ``origin[0] + (i + 1) * step[0]``, and columns likewise.

    Attributes
    ----------
    origin : tuple of float
        (row, col) of the grid's upper left corner, in image pixels.
    step : tuple of float
        (rows, cols) of image pixels that one sample covers.
    shape : tuple of int
        (height, width) of the grid, in samples.
    """

    origin: tuple[float, float]
    step: tuple[float, float]
    shape: tuple[int, int]


@dataclass(frozen=True)
class PointPrompt:
    """A click.

    Attributes
    ----------
    position : tuple of float
        (row, col) in pixels of the full image; (3, 5) is the pixel in row 3, col 5.
    positive : bool
        True where the object is, False where it is not.
    """

    position: tuple[float, float]
    positive: bool = True


@dataclass(frozen=True)
class BoxPrompt:
    """A box around one object.

    Attributes
    ----------
    start, stop : tuple of float
        (row, col) of the upper left and the lower right corner, in pixels; ``stop``
        is exclusive, as in a slice: the box of pixel (3, 5) alone is (3, 5), (4, 6).
    """

    start: tuple[float, float]
    stop: tuple[float, float]


@dataclass(frozen=True, eq=False)
class MaskPrompt:
    """A mask to refine.

    Attributes
    ----------
    values : ndarray
        (H, W) bool in the full image, or float logits (above 0 is object) on ``frame``.
    frame : Frame or None
        Where the logits lie; None for a mask of the full image.
    """

    values: NDArray
    frame: Frame | None = None


@dataclass(frozen=True)
class TextPrompt:
    """A phrase naming what to segment."""

    phrase: str


@dataclass(frozen=True, eq=False)
class PromptSet:
    """All prompts of one object.

    Attributes
    ----------
    points : tuple of PointPrompt
    box : BoxPrompt or None
    mask : MaskPrompt or None
    text : TextPrompt or None
    """

    points: tuple[PointPrompt, ...] = ()
    box: BoxPrompt | None = None
    mask: MaskPrompt | None = None
    text: TextPrompt | None = None

    @property
    def is_empty(self) -> bool:
        """Whether there is no prompt at all."""
        others = (self.box, self.mask, self.text)
        return not self.points and all(each is None for each in others)


@dataclass(frozen=True, eq=False)
class MaskPrediction:
    """The candidate masks for one set of prompts, best first only if asked.

    Attributes
    ----------
    masks : ndarray of bool, shape (K, H, W)
        In the full image.
    predicted_iou : ndarray of float32, shape (K,)
        The model's own estimate of each mask's IoU with the object.
    stability_score : ndarray of float32, shape (K,)
        IoU of the mask cut at two logit thresholds around the model's own.
    low_res_masks : ndarray of float32, shape (K, h, w)
        Logits on ``frame``; give one back as a mask prompt to refine it.
    frame : Frame
        Where ``low_res_masks`` lies in the full image.
    """

    masks: NDArray[np.bool_]
    predicted_iou: NDArray[np.float32]
    stability_score: NDArray[np.float32]
    low_res_masks: NDArray[np.float32]
    frame: Frame

    @property
    def best(self) -> int:
        """Index of the mask with the highest predicted IoU."""
        return int(np.argmax(self.predicted_iou))

    def mask_prompt(self, index: int | None = None) -> MaskPrompt:
        """One candidate as a mask prompt for the next call.

        Parameters
        ----------
        index : int, optional
            Which candidate; the best one by default.
        """
        chosen = self.best if index is None else index
        return MaskPrompt(self.low_res_masks[chosen], self.frame)


@dataclass(frozen=True)
class Provenance:
    """What made a mask.

    Attributes
    ----------
    model : str
        Registered model name.
    checkpoint : str
        SHA256 of the weights, or "".
    prompts : PromptSet or None
        The prompts it was made from.
    method : str
        "prompt", "grid", "dense", "text" or "propagate".
    """

    model: str
    checkpoint: str = ""
    prompts: PromptSet | None = None
    method: str = "prompt"


@dataclass(frozen=True, eq=False)
class MaskRecord:
    """One finished object.

    Attributes
    ----------
    mask : ndarray of bool, shape (h, w)
        The mask inside its box.
    origin : tuple of int
        (row, col) of the box's upper left corner in the full image.
    predicted_iou, stability_score : float
    provenance : Provenance
    """

    mask: NDArray[np.bool_]
    origin: tuple[int, int]
    predicted_iou: float
    stability_score: float
    provenance: Provenance = field(default_factory=lambda: Provenance(""))
