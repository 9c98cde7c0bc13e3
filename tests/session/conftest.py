from __future__ import annotations

import numpy as np
import pytest

from napari_sam.session import Session

from .fakes import SHAPE, DiscPredictor


@pytest.fixture
def predictor() -> DiscPredictor:
    return DiscPredictor()


@pytest.fixture
def session(predictor: DiscPredictor) -> Session:
    session = Session(predictor)
    session.set_image(np.zeros(SHAPE, np.uint8))
    return session
