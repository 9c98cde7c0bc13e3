"""A CLIP of three dimensions, whose phrases lie where a test puts them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from napari_sam.text.vocabulary import Concept, Vocabulary

NUCLEI, CELLS, NOTHING = np.eye(3, dtype=np.float32)


def between(one: np.ndarray, other: np.ndarray, share: float) -> np.ndarray:
    mixed = one * share + other * (1 - share)
    return (mixed / np.linalg.norm(mixed)).astype(np.float32)


@dataclass
class FakeClip:
    """Answers as `Clip` does."""

    vocabulary: Vocabulary | None = field(
        default_factory=lambda: Vocabulary(
            (
                Concept("nuclei", ("nuclei", "cell nuclei"), ("DAPI",)),
                Concept("cells", ("cells",), ()),
            ),
            ("nothing",),
        )
    )
    identity: str = "fake"
    name: str = "fake"
    logit_scale: float = 20.0
    asked: int = 0

    def embed_text(self, phrases: Sequence[str]) -> np.ndarray:
        self.asked += 1
        known = {
            "nuclei": NUCLEI,
            "cell nuclei": NUCLEI,
            "cells": CELLS,
            "DAPI": between(NUCLEI, NOTHING, 0.8),
            "both": between(NUCLEI, CELLS, 0.5),
            "far": between(-NUCLEI, -CELLS, 0.5),
        }
        return np.stack([known.get(phrase, NOTHING) for phrase in phrases])
