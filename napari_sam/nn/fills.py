"""Build a model without drawing the random weights that a load replaces anyway."""

from __future__ import annotations

from typing import Any

from torch.overrides import TorchFunctionMode

# Of torch.nn.init and of tensors; each returns the tensor that it fills.
_RANDOM_FILLS = frozenset(
    {
        "kaiming_normal_",
        "kaiming_uniform_",
        "normal_",
        "trunc_normal_",
        "uniform_",
        "xavier_normal_",
        "xavier_uniform_",
    }
)


class UnfilledWeights(TorchFunctionMode):
    """Context in which modules are built with whatever the memory holds.

    Only for models of which a strict load then sets every weight: drawing the 636
    million numbers of ViT-H takes longer than loading them.
    """

    def __torch_function__(
        self, func: Any, types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        """Leave the tensor as it is where it would be filled with random numbers."""
        kwargs = kwargs or {}
        if getattr(func, "__name__", "") in _RANDOM_FILLS:
            return args[0] if args else kwargs["tensor"]
        return func(*args, **kwargs)
