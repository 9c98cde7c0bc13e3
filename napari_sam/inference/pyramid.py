"""The bundled model's frame: a window of the image, at the scale that suits the object.

`pocket` sees square windows and is at its best where the object is some tens of pixels
wide. The image is a pyramid of levels, each half as fine as the one before; a prompt
chooses a level from what it says of the object's size (a box, a mask, or the size that
the dense head reads under a click), and a window around itself. Levels are encoded in
blocks, when they are first needed, and kept.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_sam.geometry import image_to_frame, mask_to_box
from napari_sam.inference.blocks import (
    BlockEncoder,
    PyramidEmbedding,
    View,
    pack_blocks,
    unpack_blocks,
)
from napari_sam.inference.framing import (
    ImageEmbedding,
    LowResMasks,
    chunks_of_a_kind,
)
from napari_sam.inference.postprocess import (
    DrawnMask,
    crop_logits,
    draw_mask,
    paste_logits,
)
from napari_sam.inference.window_prompts import (
    Corners,
    known_box,
    window_boxes,
    window_masks,
    window_points,
)
from napari_sam.nn.pocket_encoder import stack_features
from napari_sam.nn.pocket_prompts import STRIDE
from napari_sam.structures import Frame, MaskPrediction, MaskPrompt, PromptSet

if TYPE_CHECKING:
    from napari_sam.nn.pocket import Pocket

# Smaller objects than this level suits are seen smaller.
FINEST_LEVEL = 2
# The size, in window pixels, that a level is chosen to give the object.
WANTED_SIZE = 48.0
# The share of its box that an object covers; a disc covers .79, a slanted rod .3.
BOX_FILLING = 0.55
# A box's or mask's longest side may fill this much of the window.
LARGEST_SHARE = 0.8
# A mask is refined where it was found unless it wants a level finer by more than this.
LARGEST_MISMATCH = 1.5
# A click's answer that rates itself higher is not compared with those of other levels.
SURE = 0.85
# Levels on each side of a click's own at which something else may be meant.
REACH = 2
# Masks offered for an ambiguous click.
OFFERED = 3
# Prompts decoded at a time: more fall out of a CPU's caches.
CHUNK = 16


@dataclass(frozen=True, eq=False)
class Look:
    """What the model sees in one view.

    Attributes
    ----------
    view : View
    logits : Tensor
        (K, h, w), of the view's window.
    iou : Tensor
        (K,), predicted.
    is_cut : bool
        Whether the best-rated mask reaches the view's edge where the image goes on.
    """

    view: View
    logits: Tensor
    iou: Tensor
    is_cut: bool

    def as_prompt(self, window: int) -> MaskPrompt:
        """The first mask, as a prompt of windows so many pixels wide."""
        return MaskPrompt(self.logits[0].numpy(), self.view.frame(window))

    @property
    def rating(self) -> tuple[bool, float]:
        """Whole objects before cut ones; of those the best rated, of these the widest.

        Larger is better.
        """
        if self.is_cut:
            return False, -self.view.level
        return True, float(self.iou.max())


class PyramidFraming:
    """Run `pocket` on windows of an image pyramid.

    Parameters
    ----------
    model : Pocket

    Attributes
    ----------
    batch : int
        Prompts decoded at a time.
    """

    def __init__(self, model: Pocket) -> None:
        self._model = model
        self._window = model.window
        self.batch = CHUNK
        self._blocks = BlockEncoder(model)

    @property
    def model(self) -> Pocket:
        """The model that is run."""
        return self._model

    @property
    def blocks(self) -> BlockEncoder:
        """Gives the features, and what the dense head says, of parts of an image."""
        return self._blocks

    def encode(self, image: NDArray[np.float32]) -> PyramidEmbedding:
        """Keep an image (3, H, W) in 0..1 and take a first look at it."""
        shape = (image.shape[1], image.shape[2])
        embedding = PyramidEmbedding(shape, self._model.name, image)
        self._blocks.prepare(embedding)
        return embedding

    def pack(self, embedding: ImageEmbedding) -> dict[str, Tensor]:
        """Return the blocks encoded so far; see `Framing.pack`."""
        assert isinstance(embedding, PyramidEmbedding)
        return pack_blocks(embedding)

    def unpack(
        self, image: NDArray[np.float32], packed: Mapping[str, Tensor]
    ) -> PyramidEmbedding:
        """Return an image's embedding with some blocks; see `Framing.unpack`."""
        shape = (image.shape[1], image.shape[2])
        blocks = unpack_blocks(packed, self._model.device)
        return PyramidEmbedding(shape, self._model.name, image, blocks)

    def decode(
        self,
        embedding: ImageEmbedding,
        prompts: Sequence[PromptSet],
        multimask_output: bool,
    ) -> list[MaskPrediction]:
        """Predict masks; see `Framing.decode`."""
        found = self._decode_all(embedding, prompts, multimask_output, False)
        return [_prediction(each, embedding.image_shape) for each in found]

    def decode_low_res(
        self,
        embedding: ImageEmbedding,
        prompts: Sequence[PromptSet],
        multimask_output: bool,
    ) -> list[LowResMasks]:
        """Predict masks on their windows' grids; see `Framing.decode_low_res`.

        Among many prompts there are always some for a level that nothing else needs.
        They are seen a little smaller, rather than that it is encoded for them.
        """
        return self._decode_all(embedding, prompts, multimask_output, True)

    def _decode_all(
        self,
        embedding: ImageEmbedding,
        prompts: Sequence[PromptSet],
        multimask_output: bool,
        sparing: bool,
    ) -> list[LowResMasks]:
        assert isinstance(embedding, PyramidEmbedding)
        # The model gives the single mask first. Of an ambiguous click it is often the
        # best one, so that the three best-rated of all four are offered.
        kept = slice(0, None) if multimask_output else slice(0, 1)
        results: dict[int, LowResMasks] = {}
        for indices in chunks_of_a_kind(
            (len(each.points) for each in prompts), self.batch
        ):
            some = [prompts[index] for index in indices]
            views = [self._view(embedding, each) for each in some]
            if sparing:
                views = [self._spare(embedding, view) for view in views]
            *_, looks = self._look(embedding, some, views, kept)
            for index, look in zip(indices, looks, strict=True):
                results[index] = self._offered(look)
        return [results[index] for index in range(len(prompts))]

    def decode_steps(
        self,
        embedding: ImageEmbedding,
        prompts: PromptSet,
        multimask_output: bool,
        quick: bool = False,
    ) -> Iterator[MaskPrediction]:
        """Predict masks, after each scale looked at; see `Framing.decode_steps`."""
        assert isinstance(embedding, PyramidEmbedding)
        kept = slice(0, None) if multimask_output else slice(0, 1)
        last: Look | None = None
        choose = self._quick_view if quick else self._view
        views = [choose(embedding, prompts)]
        for (look,) in self._look(embedding, [prompts], views, kept):
            if look is not last:
                yield _prediction(self._offered(look), embedding.image_shape)
            if quick:
                return
            last = look

    def _offered(self, look: Look) -> LowResMasks:
        """Return the best rated masks of a view."""
        chosen = look.iou.topk(min(OFFERED, len(look.iou))).indices.sort().values
        frame = look.view.frame(self._window)
        return LowResMasks(look.logits[chosen], look.iou[chosen], frame)

    def decode_levels(
        self, embedding: ImageEmbedding, prompts: PromptSet
    ) -> list[LowResMasks]:
        """Predict masks of one object at some scales; see `Framing.decode_levels`."""
        assert isinstance(embedding, PyramidEmbedding)
        first = self._view(embedding, prompts)
        views = {(0, first.level): first}
        if known_box(prompts) is None:
            centre = _centre_of_clicks(prompts)
            lowest = max(first.level - REACH, self.coarsest_level(embedding))
            highest = min(first.level + REACH, FINEST_LEVEL)
            for level in range(lowest, highest + 1):
                views[0, level] = self.view_at(embedding, centre, level)
        looks = self._decode_views(embedding, [prompts], views, slice(0, None))
        return [
            LowResMasks(each.logits, each.iou, each.view.frame(self._window))
            for each in looks.values()
        ]

    def draw(
        self, embedding: ImageEmbedding, logits: Tensor, frame: Frame, offset: float
    ) -> DrawnMask | None:
        """Draw one mask; see `Framing.draw`."""
        cropped = crop_logits(logits, frame, offset)
        return cropped and draw_mask(*cropped, embedding.image_shape, offset)

    def _look(
        self,
        embedding: PyramidEmbedding,
        prompts: Sequence[PromptSet],
        first: Sequence[View],
        kept: slice,
    ) -> Iterator[list[Look]]:
        """Decode in one view each, and in more where that answer is cut or unsure.

        After each round the best look at each object is yielded.
        """
        views = {(index, view.level): view for index, view in enumerate(first)}
        seen: list[dict[int, Look]] = [{} for _ in prompts]
        while views:
            found = self._decode_views(embedding, prompts, views, kept)
            for (index, level), look in found.items():
                seen[index][level] = look
            yield [_best_look(looks) for looks in seen]
            views = {
                (index, view.level): view
                for index in {index for index, _ in found}
                for view in self._further_views(embedding, prompts[index], seen[index])
            }
        looks = [_best_look(each) for each in seen]
        if refined := self._look_again(embedding, prompts, looks, kept):
            yield [refined.get(index, look) for index, look in enumerate(looks)]

    def _look_again(
        self,
        embedding: PyramidEmbedding,
        prompts: Sequence[PromptSet],
        looks: Sequence[Look],
        kept: slice,
    ) -> dict[int, Look]:
        """Decode unsure answers to boxes once more, each with itself as mask prompt."""
        asked = {
            index: replace(each, mask=look.as_prompt(self._window))
            for index, (each, look) in enumerate(zip(prompts, looks, strict=True))
            if each.box is not None
            and each.mask is None
            and float(look.iou.max()) < SURE
        }
        if not asked:
            return {}
        views = {(index, looks[index].view.level): looks[index].view for index in asked}
        found = self._decode_views(embedding, asked, views, kept)
        return {index: look for (index, _), look in found.items()}

    def _further_views(
        self, embedding: PyramidEmbedding, prompts: PromptSet, looks: Mapping[int, Look]
    ) -> list[View]:
        """Views not yet seen, one level from the best, that might answer better."""
        best = _best_look(looks)
        level, centre = best.view.level, best.view.centre(self._window)
        levels = {level - 1} if best.is_cut else set()
        if known_box(prompts) is None:
            centre = _centre_of_clicks(prompts)
            # A click doesn't say how large the object is, and reading it can go wrong.
            if float(best.iou.max()) < SURE:
                levels = {level - 1, level + 1}
        return [
            self.view_at(embedding, centre, each)
            for each in sorted(levels - set(looks))
            if self.coarsest_level(embedding) <= each <= FINEST_LEVEL
        ]

    def _is_cut(self, embedding: PyramidEmbedding, view: View, logits: Tensor) -> bool:
        """Whether a mask (h, w) reaches the view's edge where the image goes on."""
        box = mask_to_box((logits > 0).numpy())
        if box is None:
            return False
        last = logits.shape[0]
        scale = 2.0**view.level
        return any(
            (start == 0 and corner > 0)
            or (stop == last and corner + self._window < side * scale)
            for start, stop, corner, side in zip(
                box[:2],
                box[2:],
                (view.row, view.col),
                embedding.image_shape,
                strict=True,
            )
        )

    def _view(self, embedding: PyramidEmbedding, prompts: PromptSet) -> View:
        """Choose the level and window for one object's prompts."""
        box = known_box(prompts)
        if box is None:
            return self._view_of_clicks(embedding, prompts)
        earlier = self._earlier_view(embedding, prompts)
        if earlier is not None and self._still_suits(earlier, box):
            return earlier
        (row0, col0), (row1, col1) = box
        centre = (row0 + row1) / 2, (col0 + col1) / 2
        size, longest = _sizes(box)
        return self.view_at(embedding, centre, self._level(embedding, size, longest))

    def _spare(self, embedding: PyramidEmbedding, view: View) -> View:
        """The view, or one of the next coarser level if only that is encoded here."""
        if view.level <= 0 or self._blocks.holds(embedding, view):
            return view
        centre = view.centre(self._window)
        coarser = self.view_at(embedding, centre, view.level - 1)
        return coarser if self._blocks.holds(embedding, coarser) else view

    def _earlier_view(
        self, embedding: PyramidEmbedding, prompts: PromptSet
    ) -> View | None:
        """The view that a mask prompt was predicted in, if it is one of this image."""
        if prompts.mask is None or prompts.mask.frame is None:
            return None
        view = View.of_frame(prompts.mask.frame, self._window)
        if view is None or not (
            self.coarsest_level(embedding) <= view.level <= FINEST_LEVEL
        ):
            return None
        known = self.view_at(embedding, view.centre(self._window), view.level)
        return view if view == known else None

    def _still_suits(self, view: View, box: Corners) -> bool:
        """Whether an object may be seen again where it was seen before.

        A mask differs a little with every click. If the window followed each change of
        its size, the object would be drawn anew at another scale, and a click could
        make it worse; so it stays until the object leaves it or is far too small in it.
        """
        inner = np.array(box) * 2.0**view.level - (view.row, view.col)
        if inner.min() < 0 or inner.max() > self._window:
            return False
        finer = math.log2(WANTED_SIZE / _sizes(box)[0]) - view.level
        return view.level == FINEST_LEVEL or finer <= LARGEST_MISMATCH

    def _view_of_clicks(self, embedding: PyramidEmbedding, prompts: PromptSet) -> View:
        """Let the dense head say how large the object under the clicks is."""
        positions = _clicked(prompts)
        spread = float(np.ptp(positions, axis=0).max()) + 1
        level, seen = min(self._level(embedding, spread, spread), 0), set[int]()
        while level not in seen:
            seen.add(level)
            size = self._read_size(embedding, positions, level)
            level = self._level(embedding, size, max(size, spread))
        return self.view_at(embedding, _centre_of_clicks(prompts), level)

    def _quick_view(self, embedding: PyramidEmbedding, prompts: PromptSet) -> View:
        """The finest level that is encoded around clicks, up to the one that suits."""
        if known_box(prompts) is not None:
            return self._view(embedding, prompts)
        centre = _centre_of_clicks(prompts)
        first = max(0, self.coarsest_level(embedding))
        size = self._read_size(embedding, _clicked(prompts), first)
        level = self._level(embedding, size, size)
        for finer in range(level, first, -1):
            view = self.view_at(embedding, centre, finer)
            if self._blocks.holds(embedding, view):
                return view
        return self.view_at(embedding, centre, min(level, first))

    def _read_size(
        self, embedding: PyramidEmbedding, positions: NDArray[np.float64], level: int
    ) -> float:
        """Size in image pixels that the dense head reads at image positions."""
        row, col = positions[0]
        view = self.view_at(embedding, (float(row), float(col)), level)
        dense = self._blocks.crop(embedding, view).dense[0, -1]
        inner = image_to_frame(positions, view.frame(self._window)).astype(int)
        rows, cols = np.clip(inner, 0, dense.shape[0] - 1).T
        log_size = 8 * float(dense[rows, cols].float().median())
        return math.pow(2.0, log_size - level)

    def _level(self, embedding: PyramidEmbedding, size: float, longest: float) -> int:
        """Level at which an object of ``size`` image pixels is seen best."""
        wanted = math.log2(WANTED_SIZE / size)
        fitting = math.log2(LARGEST_SHARE * self._window / longest)
        level = min(round(wanted), math.floor(fitting), FINEST_LEVEL)
        return max(level, self.coarsest_level(embedding))

    def coarsest_level(self, embedding: PyramidEmbedding) -> int:
        """The level at which the whole image fits a window."""
        longest = max(embedding.image_shape)
        return min(0, math.floor(math.log2(self._window / longest)))

    def view_at(
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

    @torch.no_grad()
    def decode_in(
        self,
        embedding: PyramidEmbedding,
        prompts: Sequence[PromptSet],
        views: Sequence[View],
        kept: slice,
    ) -> tuple[Tensor, Tensor]:
        """Decode each prompt in its view.

        Parameters
        ----------
        embedding : PyramidEmbedding
        prompts : sequence of PromptSet
            N that make equally many tokens.
        views : sequence of View
        kept : slice
            Of the model's four masks; the first is the single one.

        Returns
        -------
        tuple of Tensor
            Logits (N, K, h, w) and predicted IoU (N, K), on the CPU.
        """
        crops = [self._blocks.crop(embedding, view) for view in views]
        frames = [view.frame(self._window) for view in views]
        placed = list(zip(prompts, frames, strict=True))
        device = self._model.device
        # In float32: a shorter type makes so small products no faster.
        logits, iou = self._model.decode(
            stack_features(crops),
            window_points(placed, device),
            window_boxes(placed, device),
            window_masks(placed, device),
        )
        return logits[:, kept].cpu(), iou[:, kept].cpu()

    def _decode_views(
        self,
        embedding: PyramidEmbedding,
        prompts: Sequence[PromptSet] | Mapping[int, PromptSet],
        views: Mapping[tuple[int, int], View],
        kept: slice,
    ) -> dict[tuple[int, int], Look]:
        """Decode prompts in views, named by the prompt's index and the view's level."""
        asked = [prompts[index] for index, _ in views]
        logits, iou = self.decode_in(embedding, asked, list(views.values()), kept)
        return {
            key: Look(
                view,
                masks,
                quality,
                self._is_cut(embedding, view, masks[int(quality.argmax())]),
            )
            for (key, view), masks, quality in zip(
                views.items(), logits, iou, strict=True
            )
        }


def _best_look(looks: Mapping[int, Look]) -> Look:
    return max(looks.values(), key=lambda look: look.rating)


def _sizes(box: Corners) -> tuple[float, float]:
    """Size of the object in a box, and the box's longest side, at least one pixel."""
    (row0, col0), (row1, col1) = box
    sides = max(row1 - row0, 1.0), max(col1 - col0, 1.0)
    return math.sqrt(BOX_FILLING * sides[0] * sides[1]), max(sides)


def _clicked(prompts: PromptSet) -> NDArray[np.float64]:
    """Image positions (N, 2) of the positive clicks, or of all if there is none."""
    chosen = [point.position for point in prompts.points if point.positive]
    return np.array(chosen or [point.position for point in prompts.points]) + 0.5


def _centre_of_clicks(prompts: PromptSet) -> tuple[float, float]:
    positions = _clicked(prompts)
    row, col = (positions.min(0) + positions.max(0)) / 2
    return float(row), float(col)


def _prediction(found: LowResMasks, shape: tuple[int, int]) -> MaskPrediction:
    masks = np.zeros((len(found.logits), *shape), dtype=bool)
    stability = np.zeros(len(found.logits), dtype=np.float32)
    for index, each in enumerate(found.logits):
        cropped = crop_logits(each, found.frame)
        if cropped is None:
            continue
        inner, outer = paste_logits(*cropped, masks[index])
        stability[index] = inner / outer if outer else 0.0
    return MaskPrediction(
        masks,
        found.predicted_iou.clamp(0, 1).numpy(),
        stability,
        found.logits.numpy(),
        found.frame,
    )
