"""Notice when weights are written, for what is derived from them."""

from __future__ import annotations

from collections.abc import Iterable

from torch import Tensor


class Versions:
    """How often torch had seen each of some tensors written when this was made.

    Parameters
    ----------
    tensors : iterable of Tensor
    """

    def __init__(self, tensors: Iterable[Tensor]) -> None:
        self._tensors = list(tensors)
        self._seen = self._now()

    def are_current(self) -> bool:
        """Whether none of the tensors has been written since."""
        return self._seen == self._now()

    def _now(self) -> list[int]:
        return [each._version for each in self._tensors]
