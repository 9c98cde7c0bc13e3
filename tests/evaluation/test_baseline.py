from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from napari_sam.evaluation.baseline import ClassicalPredictor
from napari_sam.evaluation.benchmark import run_benchmark
from napari_sam.evaluation.datasets import open_datasets
from napari_sam.evaluation.summary import summarise
from napari_sam.geometry import mask_iou
from napari_sam.structures import BoxPrompt, PointPrompt, PromptSet

from .conftest import write_set


def discs(*centres: tuple[int, int], radius: int = 9) -> np.ndarray:
    rows, cols = np.mgrid[:60, :80]
    return np.any([np.hypot(rows - r, cols - c) <= radius for r, c in centres], axis=0)


def test_clicks_and_boxes_find_plain_squares(tmp_path: Path) -> None:
    folder = write_set(tmp_path / "squares")
    [result] = run_benchmark(ClassicalPredictor(), open_datasets(folder))
    summary = summarise(result)
    assert min(summary["points"]["mean_iou"].values()) > 0.8
    assert summary["box"]["clicks"]["2"] > 0.8


@pytest.mark.parametrize("inverted", [False, True])
def test_touching_discs_are_told_apart(inverted: bool) -> None:
    truth = discs((30, 25))
    image = gaussian_filter(discs((30, 25), (30, 42)).astype(float), 1)
    predictor = ClassicalPredictor()
    predictor.set_image(1 - image if inverted else image, channel_axis=None)
    clicked = PromptSet(points=(PointPrompt((30, 25)),))
    [found] = predictor.predict_batch([clicked])
    assert mask_iou(found.masks[0], truth) > 0.85
    # The second candidate is both discs.
    assert mask_iou(found.masks[1], truth) < 0.6


def test_a_negative_click_takes_back_what_is_near_it() -> None:
    image = np.where(discs((30, 40), radius=20), 0.8, 0.1)
    predictor = ClassicalPredictor()
    predictor.set_image(image[..., None], channel_axis=2)
    positive, negative = PointPrompt((30, 30)), PointPrompt((30, 50), positive=False)
    [before] = predictor.predict_batch([PromptSet(points=(positive,))], False)
    [after] = predictor.predict_batch([PromptSet(points=(positive, negative))], False)
    assert before.masks[0, 30, 50] and not after.masks[0, 30, 50]
    assert after.masks[0, 30, 30]
    assert not (after.masks[0] & ~before.masks[0]).any()


def test_a_flat_image_is_answered() -> None:
    predictor = ClassicalPredictor()
    predictor.set_image(np.zeros((20, 30), np.uint8), channel_axis=None)
    box = PromptSet(box=BoxPrompt((2, 3), (8, 9)))
    click = PromptSet(points=(PointPrompt((4, 4)),))
    [boxed, clicked] = predictor.predict_batch([box, click], False)
    assert np.count_nonzero(boxed.masks) == 36
    assert clicked.masks[0, 4, 4]
