"""How a predictor talks to a model: the image's frame in, masks of the full image out.

A framing decides at which scale, and on which part of the image, a model works. The
predictor does the rest: it reads the array, checks the prompts and keeps the embedding.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from napari_sam.structures import Frame, MaskPrediction, PromptSet

if TYPE_CHECKING:
    from torch import Tensor

    from napari_sam.inference.postprocess import DrawnMask


@dataclass(frozen=True, eq=False)
class LowResMasks:
    """One object's candidates as the model gives them, not yet drawn in the image.

    Attributes
    ----------
    logits : Tensor
        (K, h, w) float32.
    predicted_iou : Tensor
        (K,) float32, in 0..1 or a little outside.
    frame : Frame
        Where the logits lie in the full image.
    """

    logits: Tensor
    predicted_iou: Tensor
    frame: Frame


@dataclass(frozen=True, eq=False)
class ImageEmbedding:
    """What a model keeps of one image; made once, read by any number of threads.

    Attributes
    ----------
    image_shape : tuple of int
        (height, width) of the full image.
    model_name : str
        Registered name of the model that made it.
    """

    image_shape: tuple[int, int]
    model_name: str

    @property
    def low_res_frame(self) -> Frame | None:
        """Where mask logits given without a frame lie; None if they need one."""
        return None

    @property
    def nbytes(self) -> int:
        """Bytes of memory that it takes now; it may grow as it is used."""
        return 0


class Framing(Protocol):
    """The scale policy of one kind of model.

    Attributes
    ----------
    batch : int
        Prompts decoded at a time: fewer need less memory.
    """

    batch: int

    def encode(self, image: NDArray[np.float32]) -> ImageEmbedding:
        """Embed an image.

        Parameters
        ----------
        image : ndarray of float32, shape (3, H, W)
            In the range that `to_model_image` gives for the model's normalisation.
        """
        ...

    def pack(self, embedding: ImageEmbedding) -> dict[str, Tensor]:
        """Return what of an embedding is worth keeping in a file, by name."""
        ...

    def unpack(
        self, image: NDArray[np.float32], packed: Mapping[str, Tensor]
    ) -> ImageEmbedding:
        """Return the embedding of an image from what `pack` kept of it.

        Parameters
        ----------
        image : ndarray of float32, shape (3, H, W)
            As given to `encode`.
        packed : mapping of str to Tensor
            On any device.
        """
        ...

    def decode(
        self,
        embedding: ImageEmbedding,
        prompts: Sequence[PromptSet],
        multimask_output: bool,
    ) -> list[MaskPrediction]:
        """Predict masks for prompts that were checked against the image.

        Parameters
        ----------
        embedding : ImageEmbedding
            Made by the same framing.
        prompts : sequence of PromptSet
            One object each. Boxes are clipped to the image. A mask is either bool
            (H, W) with no frame, or finite float logits with one.
        multimask_output : bool
            Three candidates an object, or one.
        """
        ...

    def decode_steps(
        self,
        embedding: ImageEmbedding,
        prompts: PromptSet,
        multimask_output: bool,
        quick: bool = False,
    ) -> Iterator[MaskPrediction]:
        """Predict one object's masks, the sooner ones perhaps to be improved.

        For someone who waits: what comes last is what `decode` returns.

        Parameters
        ----------
        embedding, prompts, multimask_output
            As for `decode`.
        quick : bool
            A single answer, and rather a coarse one than that more of the image is
            encoded for it.
        """
        ...

    def decode_low_res(
        self,
        embedding: ImageEmbedding,
        prompts: Sequence[PromptSet],
        multimask_output: bool,
    ) -> list[LowResMasks]:
        """Predict masks as `decode` does, but leave them on the model's coarse grid.

        For many prompts of which few masks will be wanted: they can be sifted before
        `draw` makes pixels of them.
        """
        ...

    def decode_levels(
        self, embedding: ImageEmbedding, prompts: PromptSet
    ) -> list[LowResMasks]:
        """Predict one object's masks at every scale that its prompts leave open.

        For what knows better than the model's own rating which of them is meant.

        Parameters
        ----------
        embedding : ImageEmbedding
        prompts : PromptSet
            As for `decode`.
        """
        ...

    def draw(
        self, embedding: ImageEmbedding, logits: Tensor, frame: Frame, offset: float
    ) -> DrawnMask | None:
        """Draw one mask of `decode_low_res` in image pixels, as `decode` would.

        Parameters
        ----------
        embedding : ImageEmbedding
        logits : Tensor
            (h, w), one candidate.
        frame : Frame
            Its `LowResMasks.frame`.
        offset : float
            Of the stability score.

        Returns
        -------
        DrawnMask or None
            None if no pixel is on the mask.
        """
        ...


def chunks_of_a_kind(kinds: Iterable[Hashable], size: int) -> Iterator[list[int]]:
    """Group the indices of prompts that make equally many tokens.

    Padding a shorter prompt would change its result, as the padding is attended to.

    Parameters
    ----------
    kinds : iterable of hashable
        Of each prompt; prompts of one kind may be decoded together.
    size : int
        Most indices in one chunk.

    Yields
    ------
    list of int
    """
    groups: dict[Hashable, list[int]] = {}
    for index, kind in enumerate(kinds):
        groups.setdefault(kind, []).append(index)
    for indices in groups.values():
        for start in range(0, len(indices), size):
            yield indices[start : start + size]
