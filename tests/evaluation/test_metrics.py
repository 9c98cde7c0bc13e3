from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from napari_sam.errors import DataError
from napari_sam.evaluation.metrics import (
    MEAN_SA_THRESHOLDS,
    InstanceScore,
    calibration,
    clicks_needed,
    instance_ious,
    match_instances,
    score_labels,
)


def squares() -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """IoUs: 9/11, .6, 1/3, two halves of .5 each, and one from nowhere."""
    truth, predicted = np.zeros((2, 40, 50), np.int32)
    truth[2:12, 2:12], predicted[2:12, 3:13] = 1, 4
    truth[2:12, 20:30], predicted[2:12, 20:26] = 2, 9
    truth[20:30, 2:12], predicted[25:35, 2:12] = 7, 2
    truth[20:30, 20:30], predicted[20:30, 20:25] = 5, 3
    predicted[20:30, 25:30] = 6
    predicted[36:39, 40:45] = 11
    return truth, predicted


# From stardist.matching of StarDist 0.9 on the same arrays: TP, FP, FN, accuracy, F1
# and panoptic quality at each threshold.
STARDIST = {
    0.5: (3, 3, 1, 0.42857142857142855, 0.6, 0.38363637924194335),
    0.55: (2, 4, 2, 0.25, 0.4, 0.28363637924194335),
    0.6: (2, 4, 2, 0.25, 0.4, 0.28363637924194335),
    0.65: (1, 5, 3, 0.1111111111111111, 0.2, 0.16363636255264283),
    0.8: (1, 5, 3, 0.1111111111111111, 0.2, 0.16363636255264283),
    0.85: (0, 6, 4, 0.0, 0.0, 0.0),
}


@pytest.mark.parametrize("threshold", STARDIST)
def test_agrees_with_stardist(threshold: float) -> None:
    [score] = match_instances(instance_ious(*squares()), [threshold])
    counts = score.true_positives, score.false_positives, score.false_negatives
    ratios = score.average_precision, score.f1, score.panoptic_quality
    assert counts == STARDIST[threshold][:3]
    assert ratios == pytest.approx(STARDIST[threshold][3:], abs=1e-7)


def test_mean_sa_is_the_mean_over_ten_thresholds() -> None:
    score = score_labels(*squares())
    by_hand = (3 / 7 + 2 * (2 / 8) + 4 * (1 / 9)) / 10
    assert score.mean_sa == pytest.approx(by_hand)
    assert score.as_dict()["count_error"] == 2
    assert score.average_precision(0.75) == pytest.approx(1 / 9)


def brute_force_ap(
    truth: NDArray[np.int32], predicted: NDArray[np.int32], threshold: float
) -> float:
    """AP above .5, where no object can match twice, from masks alone."""
    true_ids, ids = (sorted(set(x.ravel()) - {0}) for x in (truth, predicted))
    hits = 0
    for one in true_ids:
        for other in ids:
            a, b = truth == one, predicted == other
            hits += (a & b).sum() / (a | b).sum() >= threshold
    return float(hits / (len(true_ids) + len(ids) - hits))


@pytest.mark.parametrize("seed", range(5))
def test_agrees_with_brute_force_on_random_scenes(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth, predicted = np.zeros((2, 60, 60), np.int32)
    for identifier in range(1, 9):
        row, col, height, width = rng.integers((0, 0, 6, 6), (50, 50, 14, 14))
        truth[row : row + height, col : col + width] = identifier * 3
        row, col = np.maximum(np.add((row, col), rng.integers(-2, 3, 2)), 0)
        predicted[row : row + height, col : col + width] = 50 - identifier
    score = score_labels(truth, predicted)
    for threshold in MEAN_SA_THRESHOLDS[1:]:
        expected = brute_force_ap(truth, predicted, threshold)
        assert score.average_precision(threshold) == pytest.approx(expected)


def test_below_one_half_an_object_matches_only_once() -> None:
    truth, predicted = np.zeros((2, 4, 30), int)
    truth[:, :20], predicted[:, :8], predicted[:, 8:20] = 1, 1, 2
    [score] = match_instances(instance_ious(truth, predicted), [0.3])
    assert (score.true_positives, score.false_positives) == (1, 1)
    assert score.matched_iou == pytest.approx(0.6)


def test_volumes_are_scored_as_images_are() -> None:
    truth, predicted = squares()
    volume = score_labels(np.stack([truth] * 3), np.stack([predicted] * 3))
    assert volume == score_labels(truth, predicted)


def test_nothing_there_and_nothing_found_is_perfect() -> None:
    empty, one = np.zeros((5, 5), int), np.eye(5, dtype=int)
    assert score_labels(empty, empty).mean_sa == 1.0
    assert score_labels(empty, one).mean_sa == 0.0
    assert score_labels(one, empty).as_dict()["count_error"] == -1


def test_scores_of_images_pool_by_their_counts() -> None:
    total = sum(
        [InstanceScore(0.5, 3, 1, 0, 2.7), InstanceScore(0.5, 1, 0, 3, 0.6)],
        InstanceScore.empty(0.5),
    )
    assert total == InstanceScore(0.5, 4, 1, 3, pytest.approx(3.3))
    assert total.panoptic_quality == pytest.approx(3.3 / 6)


def test_labels_that_do_not_fit_are_refused() -> None:
    with pytest.raises(DataError, match="same shape"):
        instance_ious(np.zeros((3, 3), int), np.zeros((3, 4), int))
    with pytest.raises(DataError, match="integers"):
        instance_ious(np.zeros((3, 3), int), np.zeros((3, 3)))


def test_clicks_needed_counts_the_first_that_reaches() -> None:
    assert clicks_needed([0.2, 0.9, 0.7], 0.85) == 2
    assert clicks_needed([0.2, 0.4], 0.85) == 20
    assert clicks_needed([0.1] * 9 + [0.99], 0.85, limit=9) == 9


def test_calibration_by_hand() -> None:
    found = calibration([0.12, 0.18, 0.95, 1.3], [0.2, 0.3, 0.55, 0.7])
    # Bins: (.15, .25, 2) is off by .1, (1.125, .625, 2) by .5.
    assert found.expected_error == pytest.approx(0.3)
    assert found.bias == pytest.approx((2.55 - 1.75) / 4)
    assert [count for _, _, count in found.bins] == [2, 2]
    with pytest.raises(DataError, match="at least one"):
        calibration([], [])
