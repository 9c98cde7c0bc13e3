from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_sam.evaluation.automatic import score_segmentation
from napari_sam.evaluation.datasets import open_datasets
from napari_sam.evaluation.labelled import LabelledImage

from .conftest import write_set


def test_images_are_averaged_and_pooled(tmp_path: Path) -> None:
    write_set(tmp_path / "one", rows=1, cols=1)
    write_set(tmp_path / "four", rows=2, cols=2)
    images = [image for each in open_datasets(tmp_path) for image in each]

    def only_first(image: LabelledImage) -> np.ndarray:
        labels = np.zeros(image.shape, int)
        labels[4:16, 4:16] = 9
        return labels

    summary = score_segmentation(only_first, images).summary()
    assert summary["ap50"] == summary["mean_sa"] == pytest.approx((1 + 1 / 4) / 2)
    assert summary["pooled_ap50"] == pytest.approx(2 / 5)
    assert summary["pooled_f1"] == pytest.approx(4 / 7)
    assert summary["count_error"] == -1.5
    assert summary["absolute_count_error"] == 1.5
