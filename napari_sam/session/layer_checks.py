"""A long run of a model is left between two of its layers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn


@contextmanager
def checked_layers(model: nn.Module, check: Callable[[], None]) -> Iterator[None]:
    """Call a function before each layer of a model, on the thread that runs it.

    Parameters
    ----------
    model : Module
    check : callable
        What it raises ends the run.
    """

    def before(*_: object) -> None:
        check()

    layers = getattr(model, "running_layers", model.modules)
    with ExitStack() as hooks:
        for layer in layers():
            hooks.callback(layer.register_forward_pre_hook(before).remove)
        yield
