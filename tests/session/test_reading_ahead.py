"""What is encoded ahead is what clicks need, and no more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_sam import SamPredictor, create_model
from napari_sam.inference.look_ahead import look_ahead
from napari_sam.session.runner import Cancelled, CancelToken
from napari_sam.session.view import array_view
from napari_sam.session.worker import Worker
from napari_sam.structures import PointPrompt, PromptSet

SIDE, PITCH = 420, 60


@pytest.fixture(scope="module")
def worker() -> Worker:
    made = Worker(say=lambda _: None)
    made.use(SamPredictor(create_model("pocket", dtype="float32")))
    return made


def draw_discs(radius: float) -> NDArray[np.uint8]:
    rows, cols = np.ogrid[:SIDE, :SIDE]
    near = (rows % PITCH - PITCH / 2) ** 2 + (cols % PITCH - PITCH / 2) ** 2
    noise = np.random.default_rng(0).normal(20, 4, (SIDE, SIDE))
    bright = np.where(near < radius**2, 160.0, 0.0)
    return (bright + noise).clip(0, 255).astype(np.uint8)


def looked_at(worker: Worker) -> Any:
    return worker.predictor.embedding.blocks  # type: ignore[attr-defined]


@pytest.mark.parametrize("radius", [6, 14])
def test_clicks_on_objects_encode_nothing_more(worker: Worker, radius: float) -> None:
    view = array_view(draw_discs(radius), key=radius)
    while worker.read_ahead(view):
        pass
    before = set(looked_at(worker))
    levels = {key.level for key in before}
    assert max(levels) >= 1, "small objects are seen larger"
    for row in range(PITCH // 2, SIDE, 2 * PITCH):
        click = PointPrompt((float(row), float(PITCH // 2)))
        next(worker.predict_steps(view, PromptSet(points=(click,)), True))
    assert set(looked_at(worker)) == before


def test_a_background_is_not_enlarged(worker: Worker) -> None:
    view = array_view(np.full((SIDE, SIDE), 20, np.uint8), key="flat")
    worker.embed(view)
    framing, seen = worker.predictor.framing, worker.predictor.embedding
    keys = list(look_ahead(framing, seen))  # type: ignore[arg-type]
    assert {key.level for key in keys} == {0}


def test_a_part_is_left_between_two_layers_and_looked_at_later(worker: Worker) -> None:
    view = array_view(draw_discs(14), key="left")
    assert worker.read_ahead(view)
    there, token, calls = set(looked_at(worker)), CancelToken(), 0

    def check() -> None:
        nonlocal calls
        calls += 1
        if calls == 20:
            token.cancel()
        token.check()

    def read_all(check: Callable[[], None]) -> None:
        while worker.read_ahead(view, check):
            pass

    with pytest.raises(Cancelled):
        read_all(check)
    assert calls == 20, "not a layer more"
    assert set(looked_at(worker)) == there
    read_all(lambda: None)
    assert len(looked_at(worker)) > len(there)
    model = worker.predictor.model
    assert not any(each._forward_pre_hooks for each in model.modules())
