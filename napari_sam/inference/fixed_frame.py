"""SAM's own frame: the whole image, its longest side resized to 1024 pixels.

SAM's (x, y) coordinates in that frame exist only here. Resizing, padding and prompt
scaling follow Kirillov et al., "Segment Anything" (2023), so that official weights see
exactly what they were trained on.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from napari_sam.geometry import (
    longest_side_shape,
    resample,
    resized_frame,
    swap_xy,
)
from napari_sam.inference.framing import (
    ImageEmbedding,
    LowResMasks,
    chunks_of_a_kind,
)
from napari_sam.inference.postprocess import (
    STABILITY_OFFSET,
    DrawnMask,
    crop_logits,
    draw_mask,
    enlarge_logits,
    paste_logits,
)
from napari_sam.structures import Frame, MaskPrediction, MaskPrompt, PromptSet

if TYPE_CHECKING:
    from napari_sam.nn.sam import ImageContext, Sam

# SAM's decoder gives one logit for 4 x 4 pixels of its input.
MASK_STRIDE = 4
# Objects handed to the model at a time; it divides them further to fit its device.
CHUNK = 64
# A mask drawn by hand is as sure as this fraction, short of an infinite logit.
CERTAINTY = 0.999
BACKGROUND_LOGIT = float(-np.log(CERTAINTY / (1 - CERTAINTY)))


@dataclass(frozen=True, eq=False)
class FixedEmbedding(ImageEmbedding):
    """The embedding of a whole image.

    Attributes
    ----------
    context : ImageContext
        The image encoder's features and what the decoder derives from them.
    input_shape : tuple of int
        (height, width) of the resized image, before padding.
    input_size : int
        Side of the padded frame.
    """

    context: ImageContext
    input_shape: tuple[int, int]
    input_size: int

    @property
    def low_res_frame(self) -> Frame:
        """The frame of SAM's mask logits; it reaches past the image's short side."""
        step = resized_frame(self.image_shape, self.input_shape).step
        side = self.input_size // MASK_STRIDE
        coarse = (step[0] * MASK_STRIDE, step[1] * MASK_STRIDE)
        return Frame((0.0, 0.0), coarse, (side, side))

    @property
    def nbytes(self) -> int:
        """Bytes of the features and of what the decoder derived from them."""
        context = self.context
        first = context.projections
        parts = (context.embedding, context.unmasked, context.position)
        return sum(x.nbytes for x in (*parts, first.key, first.value, first.query))


class FixedFraming:
    """Run a SAM on the whole image at once.

    Parameters
    ----------
    model : Sam

    Attributes
    ----------
    batch : int
        Prompts decoded at a time.
    """

    def __init__(self, model: Sam) -> None:
        self._model = model
        self.batch = CHUNK

    @torch.no_grad()
    def encode(self, image: NDArray[np.float32]) -> FixedEmbedding:
        """Embed an image (3, H, W) of whole numbers in 0..255."""
        image_shape = (image.shape[1], image.shape[2])
        input_shape = longest_side_shape(image_shape, self._model.image_size)
        pixels = self._tensor(_resize(image, input_shape))
        features = self._model.encode_image(self._model.preprocess(pixels)[None])
        return self.restore(features, image_shape)

    @torch.no_grad()
    def restore(self, features: Tensor, image_shape: tuple[int, int]) -> FixedEmbedding:
        """Return the embedding of an image whose features were kept.

        Parameters
        ----------
        features : Tensor
            (1, C, h, w), the ``context.embedding`` of an earlier embedding.
        image_shape : tuple of int
            (height, width) of the full image.
        """
        model = self._model
        context = model.image_context(features.to(model.pixel_mean.device))
        size = model.image_size
        input_shape = longest_side_shape(image_shape, size)
        return FixedEmbedding(image_shape, model.name, context, input_shape, size)

    def pack(self, embedding: ImageEmbedding) -> dict[str, Tensor]:
        """Return the features; the rest is soon made of them; see `Framing.pack`."""
        assert isinstance(embedding, FixedEmbedding)
        return {"features": embedding.context.embedding}

    def unpack(
        self, image: NDArray[np.float32], packed: Mapping[str, Tensor]
    ) -> FixedEmbedding:
        """Return an image's embedding from its features; see `Framing.unpack`."""
        return self.restore(packed["features"], (image.shape[1], image.shape[2]))

    def decode(
        self,
        embedding: ImageEmbedding,
        prompts: Sequence[PromptSet],
        multimask_output: bool,
    ) -> list[MaskPrediction]:
        """Predict masks; see `Framing.decode`."""
        assert isinstance(embedding, FixedEmbedding)
        found = self.decode_low_res(embedding, prompts, multimask_output)
        return [_prediction(each, embedding) for each in found]

    def decode_steps(
        self,
        embedding: ImageEmbedding,
        prompts: PromptSet,
        multimask_output: bool,
        quick: bool = False,
    ) -> Iterator[MaskPrediction]:
        """Predict masks at the one scale there is; see `Framing.decode_steps`."""
        yield from self.decode(embedding, [prompts], multimask_output)

    @torch.no_grad()
    def decode_low_res(
        self,
        embedding: ImageEmbedding,
        prompts: Sequence[PromptSet],
        multimask_output: bool,
    ) -> list[LowResMasks]:
        """Predict masks on SAM's coarse grid; see `Framing.decode_low_res`."""
        assert isinstance(embedding, FixedEmbedding)
        results: dict[int, LowResMasks] = {}
        for indices in chunks_of_a_kind(map(_kind, prompts), self.batch):
            chunk = [prompts[index] for index in indices]
            logits, iou = self._model.decode(
                embedding.context,
                points=self._points(chunk, embedding),
                boxes=self._boxes(chunk, embedding),
                masks=self._masks(chunk, embedding),
                multimask_output=multimask_output,
            )
            for index, each, quality in zip(indices, logits, iou, strict=True):
                results[index] = LowResMasks(
                    each.float(), quality.float(), embedding.low_res_frame
                )
        return [results[index] for index in range(len(prompts))]

    def decode_levels(
        self, embedding: ImageEmbedding, prompts: PromptSet
    ) -> list[LowResMasks]:
        """Predict masks at the one scale there is; see `Framing.decode_levels`."""
        return self.decode_low_res(embedding, [prompts], True)

    def draw(
        self, embedding: ImageEmbedding, logits: Tensor, frame: Frame, offset: float
    ) -> DrawnMask | None:
        """Draw one mask; see `Framing.draw`."""
        assert isinstance(embedding, FixedEmbedding)
        fine = _enlarged(logits, frame, embedding, offset)
        return fine and draw_mask(*fine, embedding.image_shape, offset)

    def _points(
        self, chunk: Sequence[PromptSet], embedding: FixedEmbedding
    ) -> tuple[Tensor, Tensor] | None:
        if not chunk[0].points:
            return None
        positions = [[point.position for point in each.points] for each in chunk]
        labels = [[int(point.positive) for point in each.points] for each in chunk]
        coords = self._tensor(_to_input_xy(np.array(positions), embedding))
        return coords, torch.tensor(labels, device=coords.device)

    def _boxes(
        self, chunk: Sequence[PromptSet], embedding: FixedEmbedding
    ) -> Tensor | None:
        boxes = [each.box for each in chunk if each.box is not None]
        if not boxes:
            return None
        corners = np.array([(box.start, box.stop) for box in boxes])
        return self._tensor(_to_input_xy(corners, embedding).reshape(-1, 4))

    def _masks(
        self, chunk: Sequence[PromptSet], embedding: FixedEmbedding
    ) -> Tensor | None:
        masks = [each.mask for each in chunk if each.mask is not None]
        if not masks:
            return None
        logits = [_to_low_res(mask, embedding) for mask in masks]
        return self._tensor(np.stack(logits)[:, None])

    def _tensor(self, values: NDArray[Any]) -> Tensor:
        single = np.ascontiguousarray(values, dtype=np.float32)
        return torch.from_numpy(single).to(self._model.pixel_mean.device)


def _resize(image: NDArray[np.float32], shape: tuple[int, int]) -> NDArray[np.float32]:
    """Resize (3, H, W) with the 8-bit antialiased filter that SAM was trained with."""
    pixels = Image.fromarray(image.astype(np.uint8).transpose(1, 2, 0))
    resized = pixels.resize((shape[1], shape[0]), Image.Resampling.BILINEAR)
    return np.asarray(resized).transpose(2, 0, 1).astype(np.float32)


def _kind(prompts: PromptSet) -> tuple[int, bool, bool]:
    return len(prompts.points), prompts.box is not None, prompts.mask is not None


def _to_input_xy(
    positions: NDArray[Any], embedding: FixedEmbedding
) -> NDArray[np.float64]:
    """Turn (row, col) pixels into (x, y) pixels of the model's input.

    Only scaled: SAM adds half a pixel after scaling, in its prompt encoder.
    """
    scale = np.divide(embedding.input_shape, embedding.image_shape)
    return swap_xy(positions * scale)


def _to_low_res(mask: MaskPrompt, embedding: FixedEmbedding) -> NDArray[np.float32]:
    """Return a mask prompt's logits on the low resolution frame."""
    target = embedding.low_res_frame
    if mask.frame is None:
        whole = resized_frame(embedding.image_shape, embedding.image_shape)
        coverage = resample(mask.values, whole, target)
        sure = np.clip(coverage, 1 - CERTAINTY, CERTAINTY)
        logits: NDArray[np.float32] = np.log(sure / (1 - sure))
        return logits
    if mask.frame == target:
        return mask.values
    return resample(mask.values, mask.frame, target, fill=BACKGROUND_LOGIT)


def _prediction(found: LowResMasks, embedding: FixedEmbedding) -> MaskPrediction:
    """Turn one object's logits (K, h, w) into masks of the full image."""
    logits = found.logits
    masks = np.zeros((len(logits), *embedding.image_shape), dtype=bool)
    stability = [
        _write_mask(each, embedding, mask)
        for each, mask in zip(logits, masks, strict=True)
    ]
    return MaskPrediction(
        masks=masks,
        predicted_iou=found.predicted_iou.cpu().numpy(),
        stability_score=np.array(stability, dtype=np.float32),
        low_res_masks=logits.cpu().numpy(),
        frame=found.frame,
    )


def _write_mask(
    logits: Tensor, embedding: FixedEmbedding, out: NDArray[np.bool_]
) -> float:
    """Write one mask (h, w) into ``out`` (H, W); return its stability score."""
    fine = _enlarged(logits, embedding.low_res_frame, embedding, STABILITY_OFFSET)
    if fine is None:
        return 0.0
    inner, outer = paste_logits(*fine, out)
    return inner / outer if outer else 0.0


def _enlarged(
    logits: Tensor, frame: Frame, embedding: FixedEmbedding, offset: float
) -> tuple[Tensor, Frame] | None:
    """Interpolate a mask to the pixels of the model's input, where it matters.

    The first of SAM's two steps; the second is from there to the image's pixels.
    """
    cropped = crop_logits(logits, frame, offset)
    if cropped is None:
        return None
    return _without_padding(*enlarge_logits(*cropped, MASK_STRIDE), embedding)


def _without_padding(
    fine: Tensor, frame: Frame, embedding: FixedEmbedding
) -> tuple[Tensor, Frame]:
    """Cut off what lies beyond the image."""
    ends = np.divide(embedding.image_shape, frame.step) - np.divide(
        frame.origin, frame.step
    )
    height, width = (
        max(0, min(side, round(float(end))))
        for side, end in zip(frame.shape, ends, strict=True)
    )
    return fine[:height, :width], Frame(frame.origin, frame.step, (height, width))
