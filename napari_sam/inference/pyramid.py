"""The bundled model's frame: a window of the image, at the scale that suits the object.

`pocket` sees square windows and is at its best where the object is some tens of pixels
wide. The image is a pyramid of levels, each half as fine as the one before; a prompt
chooses a level from what it says of the object's size (a box, a mask, or the size that
the dense head reads under a click), and a window around itself. Levels are encoded in
blocks, when they are first needed, and kept.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray
from torch import Tensor

from napari_sam.geometry import image_to_frame, mask_to_box, resample, resized_frame
from napari_sam.inference.framing import ImageEmbedding
from napari_sam.inference.postprocess import crop_logits, paste_logits
from napari_sam.nn.pocket import MASK_STRIDE, STRIDE, PocketFeatures
from napari_sam.structures import Frame, MaskPrediction, MaskPrompt, PromptSet

if TYPE_CHECKING:
    from napari_sam.nn.pocket import Pocket

# Level k shows the image 2**k times as large.
FINEST_LEVEL = 2
# The size, in window pixels, that a level is chosen to give the object.
WANTED_SIZE = 48.0
# A box's or mask's longest side may fill this much of the window.
LARGEST_SHARE = 0.8
# Levels are encoded in blocks, with a margin that holds half a window and context.
BLOCK = 512
MARGIN = 160
# About 20 MB each.
KEPT_BLOCKS = 24
# Windows decoded at a time.
CHUNK = 32
# Logit of a pixel of a mask that is given as yes or no.
SURE = 6.0


@dataclass(frozen=True)
class View:
    """A window: its level, and its upper left corner in that level's pixels."""

    level: int
    row: int
    col: int


@dataclass(frozen=True, eq=False)
class PyramidEmbedding(ImageEmbedding):
    """An image and the features of the blocks that were looked at.

    Attributes
    ----------
    pixels : ndarray of float32, shape (3, H, W)
        In 0..1.
    blocks : OrderedDict
        Features by (level, block row, block column), the least recently used first.
    lock : Lock
        Held while blocks are looked up or added.
    """

    pixels: NDArray[np.float32]
    blocks: OrderedDict[tuple[int, int, int], PocketFeatures] = field(
        default_factory=OrderedDict
    )
    lock: Lock = field(default_factory=Lock)


class PyramidFraming:
    """Run `pocket` on windows of an image pyramid.

    Parameters
    ----------
    model : Pocket
    """

    def __init__(self, model: Pocket) -> None:
        self._model = model
        self._window = model.window

    def encode(self, image: NDArray[np.float32]) -> PyramidEmbedding:
        """Keep an image (3, H, W) in 0..1, and encode it if one block holds it."""
        shape = (image.shape[1], image.shape[2])
        embedding = PyramidEmbedding(shape, self._model.name, image)
        level = 0
        while not _is_one_block(embedding, level):
            level -= 1
        self._block(embedding, (level, 0, 0))
        return embedding

    def decode(
        self,
        embedding: ImageEmbedding,
        prompts: Sequence[PromptSet],
        multimask_output: bool,
    ) -> list[MaskPrediction]:
        """Predict masks; see `Framing.decode`."""
        assert isinstance(embedding, PyramidEmbedding)
        # The model gives the single mask first, then the three.
        kept = slice(1, None) if multimask_output else slice(0, 1)
        results: dict[int, MaskPrediction] = {}
        for indices in _chunks(prompts):
            decoded = self._look(embedding, [prompts[i] for i in indices], kept)
            for index, view, logits, iou in zip(indices, *decoded, strict=True):
                results[index] = _prediction(
                    logits, iou, self._frame(view), embedding.image_shape
                )
        return [results[index] for index in range(len(prompts))]

    def _look(
        self,
        embedding: PyramidEmbedding,
        prompts: Sequence[PromptSet],
        kept: slice,
    ) -> tuple[list[View], list[Tensor], list[Tensor]]:
        """Decode, and again at a coarser level while an object leaves its window."""
        views = [self._view(embedding, each) for each in prompts]
        logits: list[Tensor] = [torch.empty(0)] * len(prompts)
        iou = list(logits)
        pending = list(range(len(prompts)))
        while pending:
            found = self._decode_views(
                embedding,
                [prompts[index] for index in pending],
                [views[index] for index in pending],
            )
            for index, masks, quality in zip(pending, *found, strict=True):
                logits[index], iou[index] = masks[kept], quality[kept]
            cut = [
                index
                for index in pending
                if self._is_cut(
                    embedding, views[index], _best(logits[index], iou[index])
                )
            ]
            for index in cut:
                views[index] = self._coarser(embedding, views[index])
            pending = cut
        return views, logits, iou

    def _is_cut(self, embedding: PyramidEmbedding, view: View, logits: Tensor) -> bool:
        """Whether a mask reaches the window's edge where the image goes on."""
        box = mask_to_box((logits > 0).numpy())
        if box is None or view.level <= self._coarsest(embedding):
            return False
        scale, last = 2.0**view.level, len(logits)
        for start, stop, corner, side in zip(
            box[:2], box[2:], (view.row, view.col), embedding.image_shape, strict=True
        ):
            if start == 0 and corner > 0:
                return True
            if stop == last and corner + self._window < side * scale:
                return True
        return False

    def _coarser(self, embedding: PyramidEmbedding, view: View) -> View:
        """The window of the next coarser level around the same place."""
        scale = 2.0**view.level
        row, col = (edge + self._window / 2 for edge in (view.row, view.col))
        return self._view_at(embedding, (row / scale, col / scale), view.level - 1)

    def _view(self, embedding: PyramidEmbedding, prompts: PromptSet) -> View:
        """Choose the level and window for one object's prompts."""
        box = _known_box(prompts)
        if box is None:
            return self._view_of_clicks(embedding, prompts)
        (row0, col0), (row1, col1) = box
        centre = (row0 + row1) / 2, (col0 + col1) / 2
        sides = max(row1 - row0, 1.0), max(col1 - col0, 1.0)
        level = self._level(embedding, math.sqrt(sides[0] * sides[1]), max(sides))
        return self._view_at(embedding, centre, level)

    def _view_of_clicks(self, embedding: PyramidEmbedding, prompts: PromptSet) -> View:
        """Let the dense head say how large the object under the clicks is."""
        chosen = [p.position for p in prompts.points if p.positive] or [
            p.position for p in prompts.points
        ]
        positions = np.array(chosen) + 0.5
        spread = float(np.ptp(positions, axis=0).max()) + 1
        centre = (positions.min(0) + positions.max(0)) / 2
        level, seen = min(self._level(embedding, spread, spread), 0), set[int]()
        while level not in seen:
            seen.add(level)
            size = self._read_size(embedding, positions, level)
            level = self._level(embedding, size, max(size, spread))
        return self._view_at(embedding, (float(centre[0]), float(centre[1])), level)

    def _read_size(
        self, embedding: PyramidEmbedding, positions: NDArray[np.float64], level: int
    ) -> float:
        """Size in image pixels that the dense head reads at image positions."""
        row, col = positions[0]
        view = self._view_at(embedding, (float(row), float(col)), level)
        dense = self._crop(embedding, view).dense[0, -1]
        inner = image_to_frame(positions, self._frame(view)).astype(int)
        rows, cols = np.clip(inner, 0, dense.shape[0] - 1).T
        log_size = 8 * float(dense[rows, cols].float().median())
        return math.pow(2.0, log_size - level)

    def _level(self, embedding: PyramidEmbedding, size: float, longest: float) -> int:
        """Level at which an object of ``size`` image pixels is seen best."""
        wanted = math.log2(WANTED_SIZE / size)
        fitting = math.log2(LARGEST_SHARE * self._window / longest)
        level = min(round(wanted), math.floor(fitting), FINEST_LEVEL)
        return max(level, self._coarsest(embedding))

    def _coarsest(self, embedding: PyramidEmbedding) -> int:
        """The level at which the whole image fits a window."""
        longest = max(embedding.image_shape)
        return min(0, math.floor(math.log2(self._window / longest)))

    def _view_at(
        self, embedding: PyramidEmbedding, centre: tuple[float, float], level: int
    ) -> View:
        """The window around an image position, on the grid of cells."""
        corner = []
        for position, length in zip(centre, embedding.image_shape, strict=True):
            start = position * 2.0**level - self._window / 2
            last = max(length * 2.0**level - self._window, 0.0)
            cells = round(min(max(start, 0.0), last) / STRIDE)
            corner.append(cells * STRIDE)
        return View(level, corner[0], corner[1])

    def _frame(self, view: View) -> Frame:
        """Where the window's mask logits lie in the image."""
        pixel = 2.0**-view.level
        side = self._window // MASK_STRIDE
        origin = (view.row * pixel, view.col * pixel)
        return Frame(origin, (MASK_STRIDE * pixel,) * 2, (side, side))

    def _crop(self, embedding: PyramidEmbedding, view: View) -> PocketFeatures:
        """The features of one window."""
        half = self._window // 2
        block_row, block_col = (
            min((edge + half) // BLOCK, _last_block(side, view.level))
            for edge, side in zip(
                (view.row, view.col), embedding.image_shape, strict=True
            )
        )
        features = self._block(embedding, (view.level, block_row, block_col))
        start = _block_start(block_row), _block_start(block_col)
        row, col = view.row - start[0], view.col - start[1]
        size = self._window
        return PocketFeatures(
            *(
                part[
                    :,
                    :,
                    row // step : (row + size) // step,
                    col // step : (col + size) // step,
                ]
                for part, step in (
                    (features.embedding, STRIDE),
                    (features.skip4, 4),
                    (features.skip2, 2),
                    (features.dense, 2),
                )
            )
        )

    def _block(
        self, embedding: PyramidEmbedding, key: tuple[int, int, int]
    ) -> PocketFeatures:
        """The features of one block, encoded at its first use."""
        with embedding.lock:
            if key not in embedding.blocks:
                embedding.blocks[key] = self._encode_block(embedding, key)
                while len(embedding.blocks) > KEPT_BLOCKS:
                    embedding.blocks.popitem(last=False)
            embedding.blocks.move_to_end(key)
            return embedding.blocks[key]

    @torch.no_grad()
    def _encode_block(
        self, embedding: PyramidEmbedding, key: tuple[int, int, int]
    ) -> PocketFeatures:
        level, *block = key
        pixels = embedding.pixels
        spans = [
            _block_span(index, side, level, self._window)
            for index, side in zip(block, embedding.image_shape, strict=True)
        ]
        rows, cols = (
            _image_indices(span, level, side)
            for span, side in zip(spans, embedding.image_shape, strict=True)
        )
        part = torch.from_numpy(pixels[:, rows[:, None], cols])[None]
        shape = (spans[0][1] - spans[0][0], spans[1][1] - spans[1][0])
        if part.shape[-2:] != shape:
            part = functional.interpolate(
                part, shape, mode="bilinear", antialias=True
            ).clamp(0, 1)
        with self._autocast():
            features = self._model.encode(part.to(self._model.device))
        return PocketFeatures(
            features.embedding.float(),
            features.skip4.float(),
            features.skip2.float(),
            features.dense.float(),
        )

    @torch.no_grad()
    def _decode_views(
        self,
        embedding: PyramidEmbedding,
        prompts: Sequence[PromptSet],
        views: Sequence[View],
    ) -> tuple[Tensor, Tensor]:
        """Logits (B, 4, h, w) and predicted IoU (B, 4) of one window a prompt."""
        crops = [self._crop(embedding, view) for view in views]
        features = PocketFeatures(
            *(
                torch.cat([getattr(crop, name) for crop in crops])
                for name in ("embedding", "skip4", "skip2", "dense")
            )
        )
        frames = [self._frame(view) for view in views]
        placed = list(zip(prompts, frames, strict=True))
        device = self._model.device
        with self._autocast():
            logits, iou = self._model.decode(
                features,
                _points(placed, device),
                _boxes(placed, device),
                _masks(placed, device),
            )
        return logits.float().cpu(), iou.float().cpu()

    def _autocast(self) -> torch.autocast:
        dtype = self._model.compute_dtype
        kind = self._model.device.type
        return torch.autocast(kind, dtype, enabled=dtype != torch.float32)


def _known_box(
    prompts: PromptSet,
) -> tuple[tuple[float, float], tuple[float, float]] | None:
    """The image box that a box or mask prompt gives, grown to hold the clicks on it."""
    if prompts.box is not None:
        corners = [prompts.box.start, prompts.box.stop]
    elif prompts.mask is not None:
        found = _mask_corners(prompts.mask)
        if found is None:
            return None
        corners = list(found)
    else:
        return None
    corners += [point.position for point in prompts.points if point.positive]
    array = np.array(corners, dtype=float)
    low, high = array.min(0), array.max(0)
    return (float(low[0]), float(low[1])), (float(high[0]), float(high[1]))


def _mask_corners(
    mask: MaskPrompt,
) -> tuple[tuple[float, float], tuple[float, float]] | None:
    box = mask_to_box(np.asarray(mask.values) > 0)
    if box is None:
        return None
    frame = mask.frame or Frame((0.0, 0.0), (1.0, 1.0), mask.values.shape)
    (row, col), (down, right) = frame.origin, frame.step
    start = (row + box[0] * down, col + box[1] * right)
    return start, (row + box[2] * down, col + box[3] * right)


def _chunks(prompts: Sequence[PromptSet]) -> Iterator[list[int]]:
    """Group prompts with equally many clicks: padding would be attended to."""
    groups: dict[int, list[int]] = {}
    for index, each in enumerate(prompts):
        groups.setdefault(len(each.points), []).append(index)
    for indices in groups.values():
        for start in range(0, len(indices), CHUNK):
            yield indices[start : start + CHUNK]


Placed = list[tuple[PromptSet, Frame]]


def _points(placed: Placed, device: torch.device) -> tuple[Tensor, Tensor] | None:
    if not placed[0][0].points:
        return None
    coords = [
        _to_window([point.position for point in prompts.points], frame, centre=0.5)
        for prompts, frame in placed
    ]
    labels = [[int(p.positive) for p in prompts.points] for prompts, _ in placed]
    return (
        torch.from_numpy(np.stack(coords)).to(device),
        torch.tensor(labels, device=device),
    )


def _boxes(placed: Placed, device: torch.device) -> Tensor:
    boxes = np.zeros((len(placed), 4), np.float32)
    for index, (prompts, frame) in enumerate(placed):
        if prompts.box is not None:
            corners = [prompts.box.start, prompts.box.stop]
            # `_to_window` gives pixel indices; a box lies on the edges between them.
            boxes[index] = _to_window(corners, frame, centre=0.0).ravel() + 0.5
    return torch.from_numpy(boxes).to(device)


def _to_window(
    positions: Sequence[tuple[float, float]], frame: Frame, centre: float
) -> NDArray[np.float32]:
    """Window pixel indices (x, y) of image positions (row, col)."""
    inner = image_to_frame(np.array(positions) + centre, frame) * MASK_STRIDE - 0.5
    return np.ascontiguousarray(inner[:, ::-1], dtype=np.float32)


def _masks(placed: Placed, device: torch.device) -> Tensor | None:
    if all(prompts.mask is None for prompts, _ in placed):
        return None
    drawn = np.zeros((len(placed), 1, *placed[0][1].shape), np.float32)
    for index, (prompts, frame) in enumerate(placed):
        if prompts.mask is not None:
            drawn[index, 0] = _mask_logits(prompts.mask, frame)
    return torch.from_numpy(drawn).to(device)


def _mask_logits(mask: MaskPrompt, frame: Frame) -> NDArray[np.float32]:
    if mask.frame == frame:
        return mask.values
    if mask.frame is not None:
        return resample(mask.values, mask.frame, frame, fill=-SURE)
    whole = resized_frame(mask.values.shape, mask.values.shape)
    share = resample(mask.values.astype(np.float32), whole, frame)
    return SURE * (2 * share - 1)


def _best(logits: Tensor, iou: Tensor) -> Tensor:
    return logits[int(iou.argmax())]


def _prediction(
    logits: Tensor, iou: Tensor, frame: Frame, shape: tuple[int, int]
) -> MaskPrediction:
    masks = np.zeros((len(logits), *shape), dtype=bool)
    stability = np.zeros(len(logits), dtype=np.float32)
    for index, each in enumerate(logits):
        cropped = crop_logits(each, frame)
        if cropped is None:
            continue
        inner, outer = paste_logits(*cropped, masks[index])
        stability[index] = inner / outer if outer else 0.0
    return MaskPrediction(
        masks, iou.clamp(0, 1).numpy(), stability, logits.numpy(), frame
    )


def _is_one_block(embedding: PyramidEmbedding, level: int) -> bool:
    return all(_fits_block(side, level) for side in embedding.image_shape)


def _fits_block(side: int, level: int) -> bool:
    return side * 2.0**level <= BLOCK + 2 * MARGIN


def _last_block(side: int, level: int) -> int:
    if _fits_block(side, level):
        return 0
    return math.ceil(side * 2.0**level / BLOCK) - 1


def _block_start(index: int) -> int:
    return max(index * BLOCK - MARGIN, 0)


def _block_span(index: int, side: int, level: int, window: int) -> tuple[int, int]:
    """Start and stop of a block along one axis, in level pixels, a multiple of 32."""
    length = max(math.ceil(side * 2.0**level), window)
    end = length if _fits_block(side, level) else (index + 1) * BLOCK + MARGIN
    stop = min(end, length)
    start = _block_start(index)
    return start, start + 32 * math.ceil((stop - start) / 32)


def _image_indices(span: tuple[int, int], level: int, side: int) -> NDArray[np.intp]:
    """Image rows or columns under a span; past the edge the last one goes on."""
    start, stop = (round(edge * 2.0**-level) for edge in span)
    return np.clip(np.arange(start, stop), 0, side - 1)
