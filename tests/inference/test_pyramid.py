"""The bundled model's windows: right scale, right place, same answer in blocks."""

from __future__ import annotations

from threading import Thread
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_sam.geometry import image_to_frame
from napari_sam.inference.blocks import BlockEncoder, PyramidEmbedding, View
from napari_sam.inference.predictor import SamPredictor
from napari_sam.inference.pyramid import PyramidFraming
from napari_sam.inference.tiling import Tiling
from napari_sam.inference.view_choice import FINEST_LEVEL, ViewChooser
from napari_sam.nn.pocket import Pocket
from napari_sam.structures import BoxPrompt, Frame, MaskPrompt, PointPrompt, PromptSet


def make_model() -> Pocket:
    torch.manual_seed(0)
    model = Pocket().eval()
    prompts = frozenset({"point", "box", "mask"})
    model.config = SimpleNamespace(normalisation="pocket", prompts=prompts)
    return model


MODEL = make_model()
FRAMING = PyramidFraming(MODEL)
BLOCKS = BlockEncoder(MODEL)


def blank(shape: tuple[int, int]) -> PyramidEmbedding:
    """An embedding of which no block was looked at."""
    return PyramidEmbedding(shape, "pocket", np.zeros((3, *shape), np.float32))


@settings(max_examples=60)
@given(
    shape=st.tuples(st.integers(20, 5000), st.integers(20, 5000)),
    start=st.tuples(st.floats(0, 0.9), st.floats(0, 0.9)),
    side=st.tuples(st.floats(0.02, 1), st.floats(0.02, 1)),
)
def test_a_box_lies_in_the_window_chosen_for_it(
    shape: tuple[int, int], start: tuple[float, float], side: tuple[float, float]
) -> None:
    low = np.multiply(start, shape)
    high = np.minimum(low + np.maximum(np.multiply(side, shape), 1), shape)
    box = BoxPrompt((low[0], low[1]), (high[0], high[1]))
    embedding = blank(shape)
    view = FRAMING.views.choose(embedding, PromptSet(box=box))
    frame = view.frame(MODEL.window)
    inner = image_to_frame(np.array([low, high]), frame)
    # Windows lie on a grid of 8 pixels, 4 samples, of the level.
    assert (inner >= -4).all()
    assert (inner <= np.array(frame.shape) + 4).all()


@pytest.mark.parametrize("size", [4, 8, 20, 60, 150, 400, 900])
def test_objects_are_seen_at_a_comfortable_size(size: int) -> None:
    box = BoxPrompt((100.0, 100.0), (100.0 + size, 100.0 + size))
    view = FRAMING.views.choose(blank((1200, 1200)), PromptSet(box=box))
    seen = size * 2.0**view.level
    assert 16 <= seen <= 210


def test_a_masks_own_frame_gives_the_same_window() -> None:
    predictor = SamPredictor(MODEL)
    predictor.set_image(np.random.default_rng(0).random((300, 400)))
    logits = np.full((128, 128), -5, np.float32)
    logits[40:60, 50:80] = 5
    view = FRAMING.views.choose(
        predictor.embedding, PromptSet(box=BoxPrompt((9, 9), (60, 60)))
    )
    mask = MaskPrompt(logits, view.frame(MODEL.window))
    again = predictor.predict(PromptSet(mask=mask), multimask_output=False)
    assert again.masks.shape == (1, 300, 400)
    assert again.frame.shape == (128, 128)


@pytest.mark.parametrize(("shape", "level"), [((1100, 900), 0), ((500, 400), 1)])
def test_a_window_is_the_same_in_one_block_and_in_many(
    monkeypatch: pytest.MonkeyPatch, shape: tuple[int, int], level: int
) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.random((3, *shape), dtype=np.float32)
    embedding = PyramidEmbedding(shape, "pocket", pixels)
    # Its centre is just inside the second block's core, its corner is in the first's.
    edge = 257 * 2.0**-level
    view = FRAMING.views.view_at(embedding, (edge, edge), level)
    cut = BLOCKS.crop(embedding, view)
    for name in ("CORE", "SMALL_CORE"):
        monkeypatch.setattr(f"napari_sam.inference.tiling.{name}", 4096)
    whole = BLOCKS.crop(PyramidEmbedding(shape, "pocket", pixels), view)
    inner = slice(4, -4)
    difference = (cut.embedding - whole.embedding)[:, :, inner, inner].abs()
    assert difference.mean() < 0.02 * whole.embedding.std()
    assert list(embedding.blocks) == [(level, 1, 1, False)]


def test_a_first_click_on_a_small_object_encodes_little() -> None:
    embedding = blank((1024, 1024))
    for level in (0, 1, 2):
        embedding.blocks.clear()
        BLOCKS.crop(embedding, FRAMING.views.view_at(embedding, (500.0, 500.0), level))
        (features,) = embedding.blocks.values()
        side = max(features.dense.shape[-2:]) * 2
        assert side <= 576, f"level {level}"


def test_looking_at_all_of_an_image_encodes_wide_blocks() -> None:
    embedding = blank((1024, 1024))
    for level in (0, 1, 2):
        everywhere = BLOCKS.wanted_blocks(embedding, level, lambda _box: True)
        assert {key.is_wide for key in everywhere} == {True}
        pixels = sum(
            Tiling.of(level, (1024, 1024), is_wide=True).pixels(key, MODEL.window)
            for key in everywhere
        )
        assert pixels <= 1.75 * (1024 * 2**level) ** 2
        (here,) = BLOCKS.wanted_blocks(
            embedding, level, lambda box: bool(box[0].max() == 0)
        )
        assert here == (level, 0, 0, False)


def test_a_window_is_cut_out_of_a_wide_block_that_is_there() -> None:
    shape = (600, 900)
    pixels = np.random.default_rng(0).random((3, *shape), dtype=np.float32)
    embedding = PyramidEmbedding(shape, "pocket", pixels)
    view = FRAMING.views.view_at(embedding, (300.0, 600.0), 1)
    small = BLOCKS.crop(embedding, view)
    embedding.blocks.clear()
    for key in BLOCKS.wanted_blocks(embedding, 1, lambda _box: True):
        BLOCKS.dense_block(embedding, key)
    keys = list(embedding.blocks)
    wide = BLOCKS.crop(embedding, view)
    assert sorted(embedding.blocks) == sorted(keys)
    inner = slice(4, -4)
    difference = (small.embedding - wide.embedding)[:, :, inner, inner].abs()
    assert difference.mean() < 0.02 * wide.embedding.std()


def test_many_prompts_do_not_encode_a_level_for_one() -> None:
    rng = np.random.default_rng(3)
    embedding = FRAMING.encode(rng.random((3, 300, 300), dtype=np.float32))
    tiny = [PromptSet(box=BoxPrompt((100, 100), (125, 125)))]
    FRAMING.decode_low_res(embedding, tiny, False)
    assert max(key.level for key in embedding.blocks) == 0
    FRAMING.decode(embedding, tiny, False)
    assert max(key.level for key in embedding.blocks) == 1
    # Once it is there, it serves.
    view = FRAMING.views.choose(embedding, tiny[0])
    assert FRAMING.views.spare(embedding, view) == view
    assert view.level == 1


@pytest.mark.parametrize(("rating", "asked"), [(0.5, 2), (0.95, 1)])
def test_an_unsure_answer_to_a_box_is_asked_once_more_with_itself_as_mask(
    monkeypatch: pytest.MonkeyPatch, rating: float, asked: int
) -> None:
    masks: list[torch.Tensor | None] = []
    answers: list[torch.Tensor] = []
    inner = MODEL.decode

    def decode(features: Any, points: Any, boxes: Any, given: Any) -> Any:
        masks.append(given)
        logits, _ = inner(features, points, boxes, given)
        # In the middle of the window, so that it is not cut.
        logits = torch.full_like(logits, -3.0)
        logits[..., 50:80, 50:80] = 1.0 + len(masks)
        answers.append(logits)
        return logits, torch.full(logits.shape[:2], rating)

    monkeypatch.setattr(MODEL, "decode", decode)
    embedding = FRAMING.encode(np.zeros((3, 300, 300), np.float32))
    prompts = [PromptSet(box=BoxPrompt((120, 120), (170, 170)))]
    (found,) = FRAMING.decode_low_res(embedding, prompts, False)
    assert len(masks) == asked
    assert masks[0] is None
    if asked == 2:
        assert masks[1] is not None
        torch.testing.assert_close(masks[1][0, 0], answers[0][0, 0])
    torch.testing.assert_close(found.logits[0], answers[-1][0, 0])


def test_blocks_are_counted_and_the_oldest_given_up(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    embedding = blank((1024, 1024))
    empty = embedding.nbytes
    assert empty == embedding.pixels.nbytes
    views = [
        FRAMING.views.view_at(embedding, (row, 500.0), 1) for row in (100, 500, 900)
    ]
    BLOCKS.crop(embedding, views[0])
    one = embedding.nbytes - empty
    assert one > 1_000_000
    monkeypatch.setattr("napari_sam.inference.blocks.KEPT_BYTES", 2.5 * one)
    for view in views:
        BLOCKS.crop(embedding, view)
        assert embedding.nbytes - empty <= 2.5 * one
    kept = list(embedding.blocks)
    BLOCKS.crop(embedding, views[-1])
    assert list(embedding.blocks) == kept


def test_prompts_of_a_batch_equal_prompts_one_by_one() -> None:
    predictor = SamPredictor(MODEL)
    predictor.set_image(np.random.default_rng(1).random((300, 1000)))
    prompts = [
        PromptSet(points=(PointPrompt((30, 40)),)),
        PromptSet(box=BoxPrompt((5, 900), (45, 980))),
        PromptSet(points=(PointPrompt((200, 500)), PointPrompt((9, 9), False))),
        PromptSet(points=(PointPrompt((250, 700)),)),
    ]
    together = predictor.predict_batch(prompts)
    for each, expected in zip(prompts, together, strict=True):
        alone = predictor.predict(each)
        assert alone.frame == expected.frame
        np.testing.assert_allclose(
            alone.low_res_masks, expected.low_res_masks, atol=1e-3
        )


def test_tiny_and_long_images_are_taken() -> None:
    predictor = SamPredictor(MODEL)
    for shape in ((8, 8), (3, 700), (1, 1)):
        predictor.set_image(np.random.default_rng(2).random(shape))
        middle = (shape[0] // 2, shape[1] // 2)
        found = predictor.predict(points=[middle])
        assert found.masks.shape == (3, *shape)


def test_an_object_larger_than_a_window_is_seen_whole() -> None:
    class Flooding(Pocket):
        """Says that everything is object."""

        def decode(self, features, points=None, boxes=None, masks=None):  # type: ignore[no-untyped-def]
            logits, iou = super().decode(features, points, boxes, masks)
            return torch.full_like(logits, 5.0), iou

    model = Flooding().eval()
    model.config = MODEL.config
    predictor = SamPredictor(model)
    predictor.set_image(np.zeros((1000, 1000)))
    found = predictor.predict(points=[(500, 500)])
    assert found.masks.all()


class Pulsing(Pocket):
    """Finds a square in the middle of each window, of another size every time."""

    sides: list[int]

    def decode(self, features, points=None, boxes=None, masks=None):  # type: ignore[no-untyped-def]
        logits, iou = super().decode(features, points, boxes, masks)
        half = self.sides.pop(0) // 2
        square = torch.full_like(logits, -5.0)
        square[..., 64 - half : 64 + half, 64 - half : 64 + half] = 5.0
        return square, iou * 0 + 0.95


def test_the_window_stays_while_a_mask_is_refined() -> None:
    model = Pulsing().eval()
    model.config, model.sides = MODEL.config, [24, 36, 14, 60, 30]
    predictor = SamPredictor(model)
    predictor.set_image(np.random.default_rng(6).random((1000, 1000)))
    clicks = [(500, 500)]
    first = found = predictor.predict(points=clicks)
    while model.sides:
        clicks.append((500 + len(clicks), 498))
        found = predictor.predict(points=clicks, mask_input=found.mask_prompt())
        assert found.frame == first.frame


def mask_in(view: View, start: tuple[int, int], side: int) -> MaskPrompt:
    """A square mask; ``start`` and ``side`` in samples of the view."""
    logits = np.full((128, 128), -5, np.float32)
    logits[start[0] : start[0] + side, start[1] : start[1] + side] = 5
    return MaskPrompt(logits, view.frame(MODEL.window))


def test_the_window_follows_an_object_that_leaves_it_or_is_tiny_in_it() -> None:
    embedding = blank((1000, 1000))
    view = FRAMING.views.view_at(embedding, (500.0, 500.0), 0)
    far = PointPrompt((800.0, 800.0))
    reaching = PromptSet(points=(far,), mask=mask_in(view, (50, 50), 24))
    wider = FRAMING.views.choose(embedding, reaching)
    inner = image_to_frame(np.array([far.position]), wider.frame(MODEL.window))
    assert wider.level < 0
    assert inner.min() > 0
    assert inner.max() < 128
    tiny = FRAMING.views.choose(embedding, PromptSet(mask=mask_in(view, (60, 60), 6)))
    assert tiny.level == 2


def test_a_mask_from_elsewhere_chooses_its_own_window() -> None:
    shape = (1000, 1000)
    # Of a window beyond the edge of this image, and of a grid between two levels.
    beyond = View(0, 1200, 0).frame(MODEL.window)
    between = Frame((0.0, 0.0), (3.0, 3.0), (128, 128))
    logits = np.full((128, 128), 5, np.float32)
    for frame in (beyond, between):
        prompts = PromptSet(mask=MaskPrompt(logits, frame))
        assert FRAMING.views._earlier_view(blank(shape), prompts) is None


class Rated(Pocket):
    """Finds a spot in the middle of each window, and rates its masks as it is told."""

    ratings: tuple[float, float, float, float]
    seen: list[int]

    def decode(self, features, points=None, boxes=None, masks=None):  # type: ignore[no-untyped-def]
        logits, iou = super().decode(features, points, boxes, masks)
        spot = torch.full_like(logits, -5.0)
        spot[..., 60:68, 60:68] = 5.0
        self.seen.append(len(logits))
        return spot, iou * 0 + torch.tensor(self.ratings)


# An unsure answer is asked for in three mirrors too.
@pytest.mark.parametrize(("rating", "looks"), [(0.95, {1}), (0.5, {5, 6})])
def test_only_an_unsure_click_is_looked_at_again(
    rating: float, looks: set[int]
) -> None:
    model = Rated().eval()
    model.config, model.seen = MODEL.config, []
    model.ratings = (rating, 0.1, 0.2, 0.3)
    predictor = SamPredictor(model)
    predictor.set_image(np.random.default_rng(5).random((1000, 1000)))
    found = predictor.predict(points=[(500, 500)])
    # Once, or at this level and its neighbours, which are no better.
    assert sum(model.seen) in looks
    # The single mask is the best rated; the worst of the four is not offered.
    assert found.predicted_iou.tolist() == pytest.approx([rating, 0.2, 0.3])
    model.seen.clear()
    predictor.predict(box=(400, 400, 500, 500))
    # A box says how large the object is; its answer is refined, and mirrored.
    assert sum(model.seen) == (1 if rating > 0.85 else 5)


def test_someone_who_waits_sees_the_first_scale_first() -> None:
    rng = np.random.default_rng(2)
    predictor = SamPredictor(MODEL)
    predictor.set_image(rng.integers(0, 255, (300, 280), dtype=np.uint8))
    click = PromptSet(points=(PointPrompt((120.0, 90.0)),))
    asked: list[int] = []
    decode = FRAMING.__class__._decode_views

    def counting(self: PyramidFraming, *args: Any) -> Any:
        asked.append(len(args[2]))
        return decode(self, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(PyramidFraming, "_decode_views", counting)
        patch.setattr("napari_sam.inference.pyramid.SURE", 2.0)
        steps = predictor.predict_steps(click)
        first = next(steps)
        assert asked == [1]
        last = [first, *steps][-1]
        whole = predictor.predict(click)
    assert sum(asked) > 2
    np.testing.assert_array_equal(last.masks, whole.masks)
    np.testing.assert_array_equal(last.predicted_iou, whole.predicted_iou)


def test_a_quick_answer_encodes_nothing_finer_than_the_image() -> None:
    predictor = SamPredictor(MODEL)
    predictor.set_image(np.random.default_rng(5).random((900, 900)))
    blocks = predictor.embedding.blocks  # type: ignore[attr-defined]
    click = PromptSet(points=(PointPrompt((450.0, 450.0)),))
    with pytest.MonkeyPatch.context() as patch:
        # Everything is read as tiny, so that a click is answered at the finest level.
        patch.setattr(ViewChooser, "_read_size", lambda *_: 2.0)
        patch.setattr("napari_sam.inference.pyramid.SURE", 2.0)
        (quick,) = predictor.predict_steps(click, quick=True)
        assert max(key.level for key in blocks) <= 0
        assert quick.frame.step == (2.0, 2.0)
        predictor.predict(click)
        assert max(key.level for key in blocks) == FINEST_LEVEL
        (again,) = predictor.predict_steps(click, quick=True)
    assert again.frame.step == (0.5, 0.5), "what is there is used"


def test_threads_may_read_one_embedding() -> None:
    predictor = SamPredictor(MODEL)
    predictor.set_image(np.random.default_rng(3).random((1000, 1000)))
    boxes = [(y, y, y + 60, y + 60) for y in (10, 300, 600, 900)]
    expected = [predictor.predict(box=box).low_res_masks for box in boxes]
    fresh = SamPredictor(MODEL)
    fresh.set_image(np.random.default_rng(3).random((1000, 1000)))
    results: dict[int, np.ndarray] = {}

    def work(index: int) -> None:
        results[index] = fresh.predict(box=boxes[index]).low_res_masks

    threads = [Thread(target=work, args=(index,)) for index in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for index, wanted in enumerate(expected):
        np.testing.assert_allclose(results[index], wanted, atol=1e-3)
