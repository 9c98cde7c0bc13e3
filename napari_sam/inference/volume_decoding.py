"""What the model answers in one slice: to prompts, and to masks of the slice before."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage

from napari_sam.geometry import mask_iou, mask_to_box
from napari_sam.inference.blocks import PyramidEmbedding
from napari_sam.inference.framing import LowResMasks
from napari_sam.inference.postprocess import EIGHT_NEIGHBOURS, STABILITY_OFFSET
from napari_sam.inference.predictor import SamPredictor
from napari_sam.inference.pyramid import PyramidFraming
from napari_sam.inference.volume_colour import ColourModel, refine_in_box
from napari_sam.inference.volume_motion import (
    SURE_LOGIT,
    Flow,
    carried_logits,
    cut_out,
    flow_between,
    logits_in,
    region_around,
    region_frame,
)
from napari_sam.inference.volume_planes import Plane, VolumePlanes
from napari_sam.inference.volume_result import SliceMask
from napari_sam.inference.volume_steps import (
    Bulk,
    Follower,
    PropagationSettings,
    bulk_of,
    first_contrast,
    projected_prompts,
)
from napari_sam.inference.volume_views import WindowDecoder
from napari_sam.structures import (
    BoxPrompt,
    MaskPrediction,
    MaskRecord,
    PointPrompt,
    PromptSet,
    Provenance,
)

# Prompts of one slice decoded at a time: their full-size candidates are in memory.
CHUNK = 16
# Parts of a mask that are smaller than this share of its largest one are specks, which
# get this logit.
LEAST_PART, STRAY_LOGIT = 0.1, np.float32(1.0)
# What a mask counts that has nothing in common with the object's in the next slice.
NOT_LIKE = 0.01
# In a box, which shows what is not the object, colours count so many times more.
BOX_COLOUR = 2.5


class SliceDecoder:
    """Asks the model about single slices of a volume.

    Parameters
    ----------
    predictor : SamPredictor
        Its own image is replaced.
    planes : VolumePlanes
    settings : PropagationSettings
    """

    def __init__(
        self,
        predictor: SamPredictor,
        planes: VolumePlanes,
        settings: PropagationSettings,
    ) -> None:
        self._predictor = predictor
        self._planes = planes
        self._settings = settings
        framing = predictor.framing
        self._windows = None
        if isinstance(framing, PyramidFraming):
            self._windows = WindowDecoder(framing)
        self._name = predictor.model.name, predictor.model.checkpoint_sha256 or ""

    # Anchors

    def anchors(
        self,
        index: int,
        asked: Mapping[int, PromptSet],
        beside: Mapping[int, SliceMask],
    ) -> dict[int, Follower | None]:
        """Decode the prompts of one slice; None where they give nothing.

        Parameters
        ----------
        index : int
        asked : mapping of int to PromptSet
            By object id.
        beside : mapping of int to SliceMask
            What is known of some objects in the slice before or after.
        """
        found: dict[int, Follower | None] = {}
        plane = self._planes.get(index)
        self._predictor.set_embedding(plane.embedding)
        for ambiguous in (True, False):
            kind = [n for n, each in asked.items() if is_ambiguous(each) is ambiguous]
            for start in range(0, len(kind), CHUNK):
                part = {n: asked[n] for n in kind[start : start + CHUNK]}
                for n, answer in self._asked(part, ambiguous).items():
                    others = [each for m, each in asked.items() if m != n]
                    best: int | None = answer.best
                    if ambiguous:
                        best = best_without(answer, others, beside.get(n))
                    if best is None:
                        apart = {n: told_apart(asked[n], others)}
                        answer = self._asked(apart, False)[n]
                        best = answer.best
                    found[n] = self._prompted(answer, best, asked[n], plane)
        return found

    def _asked(
        self, prompts: Mapping[int, PromptSet], ambiguous: bool
    ) -> dict[int, MaskPrediction]:
        answers = self._predictor.predict_batch(
            list(prompts.values()), multimask_output=ambiguous
        )
        return dict(zip(prompts, answers, strict=True))

    def _prompted(
        self, answer: MaskPrediction, best: int, prompts: PromptSet, plane: Plane
    ) -> Follower | None:
        record = _record(
            answer.masks[best],
            float(answer.predicted_iou[best]),
            float(answer.stability_score[best]),
            Provenance(*self._name, prompts, "prompt"),
        )
        if record is None:
            return None
        seen = SliceMask(record, record.predicted_iou, rank=1)
        found = Follower(seen, answer.low_res_masks[best], answer.frame)
        if (
            prompts.box is not None
            and self._settings.colour
            and plane.colours is not None
        ):
            return self._coloured(found, prompts.box, plane)
        return found

    def _coloured(self, found: Follower, box: BoxPrompt, plane: Plane) -> Follower:
        """Sharpen the answer to a box by its colours."""
        assert plane.colours is not None
        shape = plane.brightness.shape
        boxed = _box_region(box, shape)
        region = region_around([boxed], shape)
        inside = np.zeros(shape, dtype=bool)
        inside[boxed] = True
        values = refine_in_box(
            plane.colours[region],
            logits_in(found.seen, found.logits, found.frame, region),
            inside[region],
            BOX_COLOUR * self._settings.colour,
        )
        record = cut_out(found.seen.record, values, region)
        if record is None:
            return found
        seen = replace(found.seen, record=record)
        return replace(found, seen=seen, logits=values, frame=region_frame(region))

    def confirmed(self, mask: NDArray[np.bool_]) -> Follower | None:
        """Take over a person's mask; None if it is empty."""
        record = _record(mask, 1.0, 1.0, Provenance("", "", None))
        return None if record is None else Follower(SliceMask(record, 1.0, rank=2))

    def ready(self, found: Follower, index: int) -> Follower:
        """Note how an object looks where it sets out: its contrast and colours.

        Parameters
        ----------
        found : Follower
        index : int
            Of the slice that it is in.
        """
        by_contrast = self._settings.by_contrast
        if not (by_contrast or self._settings.colour):
            return found
        plane = self._planes.get(index)
        contrast, bulk, known = 0.0, None, None
        if by_contrast:
            contrast = self.contrast(found.seen, index)
            most = bulk_of(found.seen, contrast, contrast)
            bulk = Bulk(most, most, index)
        if self._settings.colour and plane.colours is not None:
            region = region_around([found.seen.region], plane.brightness.shape)
            values = logits_in(found.seen, found.logits, found.frame, region)
            known = ColourModel.learn(plane.colours[region], values)
        return replace(found, contrast=contrast, bulk=bulk, colours=known)

    def contrast(self, seen: SliceMask, index: int) -> float:
        """How much a mask of slice ``index`` stands out; see `first_contrast`."""
        return first_contrast(seen, self._planes.get(index).brightness)

    # Steps

    def carry(
        self, index: int, before: int, followers: Mapping[int, Follower]
    ) -> dict[int, Follower]:
        """Move objects on by the motion seen between two frames.

        Parameters
        ----------
        index, before : int
            Of the frame that is entered, and of the one left.
        followers : mapping of int to Follower
            By object id; one that would leave the image stays as it is.
        """
        if self._settings.motion != "flow" or not followers:
            return dict(followers)
        left, entered = self._planes.get(before), self._planes.get(index)
        shape = entered.brightness.shape
        whole = region_around([each.seen.region for each in followers.values()], shape)
        flow = flow_between(left.brightness, entered.brightness, whole)
        return {n: _carried(each, flow, shape) for n, each in followers.items()}

    def followers(
        self, index: int, followers: Mapping[int, Follower]
    ) -> dict[int, Follower]:
        """Ask for objects in a slice by what was seen of them in the one before.

        Parameters
        ----------
        index : int
        followers : mapping of int to Follower
            By object id.

        Returns
        -------
        dict of int to Follower
            What the model sees of them; those of which it sees nothing are missing.
        """
        plane = self._planes.get(index)
        shape = plane.brightness.shape
        asked: dict[int, PromptSet] = {}
        for identifier, follower in followers.items():
            prompts = projected_prompts(follower, shape, self._settings)
            if prompts is not None and not prompts.is_empty:
                asked[identifier] = prompts
        decoded = self._decode(plane, list(asked.values()))
        answers: dict[int, Follower] = {}
        for identifier, each in zip(asked, decoded, strict=True):
            answer = self._answer(each, followers[identifier], plane)
            if answer is not None:
                answers[identifier] = answer
        return answers

    def _decode(self, plane: Plane, prompts: list[PromptSet]) -> list[LowResMasks]:
        """Decode prompts that were made from a neighbouring slice."""
        embedding = plane.embedding
        can_choose = all(each.box or each.mask for each in prompts)
        if self._windows is None or plane.level is None or not can_choose:
            return self._predictor.framing.decode_low_res(embedding, prompts, False)
        assert isinstance(embedding, PyramidEmbedding)
        return self._windows.decode(embedding, plane.level, prompts)

    def _answer(
        self, decoded: LowResMasks, follower: Follower, plane: Plane
    ) -> Follower | None:
        rating = float(decoded.predicted_iou[0].clamp(0, 1))
        logits = without_strays(decoded.logits[0].cpu().numpy())
        drawn = self._predictor.framing.draw(
            plane.embedding, torch.from_numpy(logits), decoded.frame, STABILITY_OFFSET
        )
        if drawn is None:
            return None
        record = MaskRecord(
            drawn.mask,
            (drawn.box[0], drawn.box[1]),
            rating,
            drawn.stability_score,
            Provenance(*self._name, None, "propagate"),
        )
        answer = Follower(SliceMask(record, rating), logits, decoded.frame)
        if self._settings.inertia or follower.colours is not None:
            return self._fused(answer, follower, plane)
        return answer

    def _fused(
        self, answer: Follower, follower: Follower, plane: Plane
    ) -> Follower | None:
        """Weigh the model's answer with the mask carried here and with its colours."""
        region = region_around([follower.seen.region], plane.brightness.shape)
        kept, new = (
            logits_in(each.seen, each.logits, each.frame, region)
            for each in (follower, answer)
        )
        values = new + np.float32(self._settings.inertia) * (kept - new)
        if follower.colours is not None and plane.colours is not None:
            seen = follower.colours.evidence(plane.colours[region])
            values += np.float32(self._settings.colour) * seen
        values = values.clip(-SURE_LOGIT, SURE_LOGIT)
        record = cut_out(answer.seen.record, values, region)
        if record is None:
            return None
        fused = replace(answer.seen, record=record)
        return replace(
            answer,
            seen=fused,
            logits=values,
            frame=region_frame(region),
            colours=follower.colours,
        )


def without_strays(logits: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return logits without specks: parts that are far smaller than the largest one.

    A speck would grow from slice to slice, and draw the object's box out to it.

    Parameters
    ----------
    logits : ndarray of float32, shape (h, w)
    """
    parts, count = ndimage.label(logits > 0, structure=EIGHT_NEIGHBOURS)
    if count < 2:
        return logits
    areas = np.bincount(parts.ravel())
    is_stray = areas < LEAST_PART * areas[1:].max()
    is_stray[0] = False
    cleaned: NDArray[np.float32] = np.where(is_stray[parts], -STRAY_LOGIT, logits)
    return cleaned


def best_without(
    answer: MaskPrediction,
    others: Sequence[PromptSet],
    beside: SliceMask | None = None,
) -> int | None:
    """Index of the best-rated mask that holds no click on another object.

    Where the object is known in the next slice, a mask counts by how like it is too.

    Parameters
    ----------
    answer : MaskPrediction
    others : sequence of PromptSet
        Of other objects in the same slice.
    beside : SliceMask, optional
        The object in the slice before or after.

    Returns
    -------
    int or None
        None if each mask holds one.
    """
    places = np.array(_clicks(others), dtype=float).reshape(-1, 2).astype(int)
    is_wider = answer.masks[:, places[:, 0], places[:, 1]].any(axis=1)
    free = np.flatnonzero(~is_wider)
    if not free.size:
        return None
    likeness = np.ones(free.size)
    if beside is not None:
        rows, cols = answer.masks.shape[1:]
        known = beside.full((rows, cols))
        # Of masks that are all elsewhere none is likelier for it.
        likeness = NOT_LIKE + np.array([mask_iou(answer.masks[n], known) for n in free])
    return int(free[(answer.predicted_iou[free] * likeness).argmax()])


def told_apart(prompts: PromptSet, others: Sequence[PromptSet]) -> PromptSet:
    """Return a click with those on other objects as negative ones.

    Only the nearest: of those farther off the object is told apart by itself.

    Parameters
    ----------
    prompts : PromptSet
        With one click.
    others : sequence of PromptSet
        Of other objects in the same slice, with a click at least.
    """
    own = np.array(prompts.points[0].position)
    nearest = min(_clicks(others), key=lambda place: np.hypot(*(own - place)))
    apart = PointPrompt(nearest, positive=False)
    return replace(prompts, points=(*prompts.points, apart))


def _clicks(prompts: Sequence[PromptSet]) -> list[tuple[float, float]]:
    """Positions of all positive clicks."""
    return [each.position for one in prompts for each in one.points if each.positive]


def is_ambiguous(prompts: PromptSet) -> bool:
    """Whether prompts are a single click, which may mean a part or the whole."""
    return len(prompts.points) == 1 and prompts.box is None and prompts.mask is None


def _record(
    mask: NDArray[np.bool_], rating: float, stability: float, provenance: Provenance
) -> MaskRecord | None:
    """Cut a mask to its box; None if it is empty."""
    box = mask_to_box(mask)
    if box is None:
        return None
    row0, col0, row1, col1 = box
    part = mask[row0:row1, col0:col1].copy()
    return MaskRecord(part, (row0, col0), rating, stability, provenance)


def _box_region(box: BoxPrompt, shape: tuple[int, ...]) -> tuple[slice, slice]:
    rows, cols = (
        slice(max(round(low), 0), min(max(round(high), round(low) + 1), side))
        for low, high, side in zip(box.start, box.stop, shape, strict=True)
    )
    return rows, cols


def _carried(follower: Follower, flow: Flow, shape: tuple[int, int]) -> Follower:
    """Move one object along a flow; as it was if nothing of it stays in the image."""
    region = region_around([follower.seen.region], shape)
    values = logits_in(follower.seen, follower.logits, follower.frame, region)
    moved = carried_logits(values, flow.at(region))
    record = cut_out(follower.seen.record, moved, region)
    if record is None:
        return follower
    return replace(
        follower,
        seen=replace(follower.seen, record=record),
        logits=moved,
        frame=region_frame(region),
        shift=(0.0, 0.0),
    )
