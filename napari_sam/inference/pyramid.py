"""The bundled model's frame: a window of the image, at the scale that suits the object.

`pocket` sees square windows and is at its best where the object is some tens of pixels
wide. The image is a pyramid of levels, each half as fine as the one before; a prompt
chooses a level from what it says of the object's size (a box, a mask, or the size that
the dense head reads under a click), and a window around itself. Levels are encoded in
blocks, when they are first needed, and kept.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from napari_sam.geometry import mask_to_box
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
from napari_sam.inference.mask_doubt import doubt_mask
from napari_sam.inference.mirrored import MirroredViews
from napari_sam.inference.postprocess import (
    DrawnMask,
    crop_logits,
    draw_mask,
    paste_logits,
)
from napari_sam.inference.view_choice import (
    FINEST_LEVEL,
    ViewChooser,
    centre_of_clicks,
)
from napari_sam.inference.window_prompts import known_box, place_prompts
from napari_sam.nn.pocket_encoder import stack_features
from napari_sam.structures import Frame, MaskPrediction, MaskPrompt, PromptSet

if TYPE_CHECKING:
    from napari_sam.nn.pocket import Pocket

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
    def is_sure(self) -> bool:
        """Whether its best-rated mask need not be compared with others."""
        return float(self.iou.max()) >= SURE

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
        self._views = ViewChooser(model.window, self._blocks)
        self._mirrored = MirroredViews(model)

    @property
    def model(self) -> Pocket:
        """The model that is run."""
        return self._model

    @property
    def blocks(self) -> BlockEncoder:
        """Gives the features, and what the dense head says, of parts of an image."""
        return self._blocks

    @property
    def views(self) -> ViewChooser:
        """Says where to look for an object."""
        return self._views

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
        prompts = [doubt_mask(each) for each in prompts]
        # The model gives the single mask first. Of an ambiguous click it is often the
        # best one, so that the three best-rated of all four are offered.
        kept = slice(0, None) if multimask_output else slice(0, 1)
        results: dict[int, LowResMasks] = {}
        for indices in chunks_of_a_kind(
            (len(each.points) for each in prompts), self.batch
        ):
            some = [prompts[index] for index in indices]
            views = [self._views.choose(embedding, each) for each in some]
            if sparing:
                views = [self._views.spare(embedding, view) for view in views]
            *_, looks = self._look(embedding, some, views, kept)
            looks = self._look_harder(embedding, some, looks, kept, sparing)
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
        prompts = doubt_mask(prompts)
        kept = slice(0, None) if multimask_output else slice(0, 1)
        last: Look | None = None
        choose = self._views.choose_quickly if quick else self._views.choose
        views = [choose(embedding, prompts)]
        for (look,) in self._look(embedding, [prompts], views, kept):
            if look is not last:
                yield _prediction(self._offered(look), embedding.image_shape)
            if quick:
                return
            last = look
        (look,) = self._look_harder(embedding, [prompts], [look], kept)
        if look is not last:
            yield _prediction(self._offered(look), embedding.image_shape)

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
        prompts = doubt_mask(prompts)
        first = self._views.choose(embedding, prompts)
        views = {(0, first.level): first}
        if known_box(prompts) is None:
            centre = centre_of_clicks(prompts)
            lowest = max(first.level - REACH, self._views.coarsest_level(embedding))
            highest = min(first.level + REACH, FINEST_LEVEL)
            for level in range(lowest, highest + 1):
                views[0, level] = self._views.view_at(embedding, centre, level)
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

    def _look_harder(
        self,
        embedding: PyramidEmbedding,
        prompts: Sequence[PromptSet],
        looks: Sequence[Look],
        kept: slice,
        sparing: bool = False,
    ) -> list[Look]:
        """Look again at what is unsure: at a box's answer, and in the mirror.

        A box is asked for once more with its own answer as mask prompt.
        """
        prompts, looks = list(prompts), list(looks)
        refined: dict[tuple[int, int], View] = {}
        for index in _unsure(looks):
            if prompts[index].box is not None and prompts[index].mask is None:
                look = looks[index]
                mask = look.as_prompt(self._window)
                prompts[index] = replace(prompts[index], mask=mask)
                refined[index, look.view.level] = look.view
        if refined:
            found = self._decode_views(embedding, prompts, refined, kept)
            for (index, _), look in found.items():
                looks[index] = look
        # Mirrors are encoded for one object alone, which would take long for many.
        return looks if sparing else self._ask_mirrors(embedding, prompts, looks, kept)

    def _ask_mirrors(
        self,
        embedding: PyramidEmbedding,
        prompts: Sequence[PromptSet],
        looks: list[Look],
        kept: slice,
    ) -> list[Look]:
        """Replace unsure looks by their mean with those at the mirrored windows."""
        if not (unsure := _unsure(looks)):
            return looks
        asked = [prompts[index] for index in unsure]
        views = [looks[index].view for index in unsure]
        logits, iou = self._mirrored.decode(embedding, asked, views, kept)
        looks = list(looks)
        for place, index in enumerate(unsure):
            look = looks[index]
            looks[index] = self._seen(
                embedding,
                look.view,
                torch.cat([look.logits[None], logits[:, place]]).mean(0),
                torch.cat([look.iou[None], iou[:, place]]).mean(0),
            )
        return looks

    def _further_views(
        self, embedding: PyramidEmbedding, prompts: PromptSet, looks: Mapping[int, Look]
    ) -> list[View]:
        """Views not yet seen, one level from the best, that might answer better."""
        best = _best_look(looks)
        level, centre = best.view.level, best.view.centre(self._window)
        levels = {level - 1} if best.is_cut else set()
        if known_box(prompts) is None:
            centre = centre_of_clicks(prompts)
            # A click doesn't say how large the object is, and reading it can go wrong.
            if not best.is_sure:
                levels = {level - 1, level + 1}
        return [
            self._views.view_at(embedding, centre, each)
            for each in sorted(levels - set(looks))
            if self._views.coarsest_level(embedding) <= each <= FINEST_LEVEL
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
        placed = place_prompts(prompts, frames, self._model.device)
        # In float32: a shorter type makes so small products no faster.
        logits, iou = self._model.decode(stack_features(crops), *placed)
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
            key: self._seen(embedding, view, masks, quality)
            for (key, view), masks, quality in zip(
                views.items(), logits, iou, strict=True
            )
        }

    def _seen(
        self, embedding: PyramidEmbedding, view: View, logits: Tensor, iou: Tensor
    ) -> Look:
        best = logits[int(iou.argmax())]
        return Look(view, logits, iou, self._is_cut(embedding, view, best))


def _unsure(looks: Sequence[Look]) -> list[int]:
    return [index for index, look in enumerate(looks) if not look.is_sure]


def _best_look(looks: Mapping[int, Look]) -> Look:
    return max(looks.values(), key=lambda look: look.rating)


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
