"""The compute type follows what is measured, and is refused where it cannot be."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch

from napari_sam.errors import ModelError
from napari_sam.nn import precision
from napari_sam.nn.precision import choose_dtype

CPU = torch.device("cpu")


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    precision._fastest.cache_clear()
    yield
    precision._fastest.cache_clear()


def pretend(monkeypatch: pytest.MonkeyPatch, reduced_seconds: float) -> None:
    """Let float32 take a second and bfloat16 the given time."""
    seconds = {torch.float32: 1.0, torch.bfloat16: reduced_seconds}
    monkeypatch.setattr(precision, "_candidate", lambda device: torch.bfloat16)
    monkeypatch.setattr(precision, "_measure", lambda dtype, device: seconds[dtype])


@pytest.mark.parametrize(
    ("reduced_seconds", "expected"),
    [(0.5, torch.bfloat16), (0.95, torch.float32), (2.0, torch.float32)],
)
def test_the_faster_type_is_chosen(
    monkeypatch: pytest.MonkeyPatch, reduced_seconds: float, expected: torch.dtype
) -> None:
    pretend(monkeypatch, reduced_seconds)
    assert choose_dtype("auto", CPU) == expected


def test_nothing_is_measured_where_there_is_no_choice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(precision, "_candidate", lambda device: torch.float32)
    monkeypatch.delattr(precision, "_measure")
    assert choose_dtype("auto", CPU) == torch.float32


def test_measuring_keeps_the_number_of_threads() -> None:
    threads = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        assert choose_dtype("auto", CPU) in precision.DTYPES.values()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(threads)


def test_a_named_type_is_taken_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend(monkeypatch, 0.5)
    assert choose_dtype("float32", CPU) == torch.float32
    assert choose_dtype("bfloat16", CPU) == torch.bfloat16


def test_types_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ModelError, match="'int8' is no dtype"):
        choose_dtype("int8", CPU)
    with pytest.raises(ModelError, match="float16 is not for CPUs"):
        choose_dtype("float16", CPU)
