"""A device without memory gets less at a time, then the CPU; each with a sentence."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from napari_sam.session.view import array_view
from napari_sam.session.worker import Worker
from napari_sam.structures import PointPrompt, PromptSet

from .fakes import SHAPE, DiscPredictor


class SmallDevice(DiscPredictor):
    """Decodes up to so many prompts at a time on its device, any number on a CPU."""

    def __init__(self, room: int = 0, device: str = "cuda:0") -> None:
        super().__init__()
        self.model.device, self.room = device, room
        self.framing = SimpleNamespace(batch=16)

    def set_image(self, image: Any, **_: Any) -> None:
        if self.model.device != "cpu" and self.room < 1:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB.")
        super().set_image(image)

    def decode(self) -> str:
        if self.model.device != "cpu" and self.framing.batch > self.room:
            raise RuntimeError("CUDA out of memory. Tried to allocate 2 GiB.")
        return f"{self.framing.batch} on {self.model.device}"


@pytest.fixture
def told() -> list[str]:
    return []


@pytest.fixture
def worker(told: list[str], monkeypatch: pytest.MonkeyPatch) -> Worker:
    made = Worker(told.append)
    monkeypatch.setattr(
        "napari_sam.nn.registry.create_model", lambda name, device: device
    )
    monkeypatch.setattr(
        "napari_sam.inference.predictor.SamPredictor",
        lambda device: SmallDevice(device=device),
    )
    return made


def test_batches_get_smaller_before_the_device_is_left(
    worker: Worker, told: list[str]
) -> None:
    worker.use(SmallDevice(room=5))  # type: ignore[arg-type]
    decode = lambda: worker.predictor.decode()  # type: ignore[attr-defined]  # noqa: E731
    assert worker.guarded(decode, batched=True) == "4 on cuda:0"
    assert told == [
        "discs: the device is out of memory, so it goes on with 4 at a time."
    ]
    assert worker.guarded(decode, batched=True) == "4 on cuda:0", "and it stays so"
    assert len(told) == 1


def test_the_cpu_is_the_last_resort(worker: Worker, told: list[str]) -> None:
    worker.use(SmallDevice(room=0))  # type: ignore[arg-type]
    decode = lambda: worker.predictor.decode()  # type: ignore[attr-defined]  # noqa: E731
    assert worker.guarded(decode, batched=True) == "16 on cpu"
    assert [each.rsplit(" ", 4)[-1] for each in told] == ["time.", "time.", "CPU."]


def test_a_click_goes_straight_to_the_cpu(worker: Worker, told: list[str]) -> None:
    worker.use(SmallDevice(room=0))  # type: ignore[arg-type]
    view = array_view(np.zeros(SHAPE, np.uint8))
    click = PromptSet(points=(PointPrompt((20.0, 30.0)),))
    assert worker.predict(view, click, True).masks.any()
    assert told == ["discs: the device is out of memory, so it goes on on the CPU."]


def test_other_errors_are_told(worker: Worker) -> None:
    worker.use(SmallDevice(device="cpu"))  # type: ignore[arg-type]
    for message in ("out of memory", "shapes differ"):

        def fail(message: str = message) -> None:
            raise RuntimeError(message)

        with pytest.raises(RuntimeError, match=message):
            worker.guarded(fail, batched=True)
