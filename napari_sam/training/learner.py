"""What can be trained: the bundled model, and SAMs in the same interface."""

from __future__ import annotations

from typing import TypeAlias

from napari_sam.nn.pocket import Pocket
from napari_sam.nn.pocket_encoder import PocketFeatures
from napari_sam.training.sam_learner import SamFeatures, SamLearner

Learner: TypeAlias = Pocket | SamLearner
Features: TypeAlias = PocketFeatures | SamFeatures
