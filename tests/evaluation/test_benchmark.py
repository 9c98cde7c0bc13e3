from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_sam.errors import DataError
from napari_sam.evaluation.benchmark import BenchmarkSettings, run_benchmark
from napari_sam.evaluation.datasets import open_datasets
from napari_sam.evaluation.labelled import ImageSet
from napari_sam.evaluation.summary import summarise, summarise_all

from .conftest import KnowingPredictor, write_set

# Squares of 12 pixels, eroded twice, once, and not at all.
TWICE, ONCE = 8**2 / 12**2, 10**2 / 12**2


@pytest.fixture
def sets(tmp_path: Path) -> list[ImageSet]:
    return open_datasets(write_set(tmp_path / "squares", images=2))


def test_points_and_boxes_give_the_figures_they_should(
    knowing: KnowingPredictor, sets: list[ImageSet]
) -> None:
    [result] = run_benchmark(knowing, sets)
    summary = summarise(result)
    assert (summary["images"], summary["objects"]) == (2, 12)
    curve = summary["points"]["mean_iou"]
    assert curve == pytest.approx({"1": TWICE, "2": ONCE, "3": 1.0, "5": 1.0})
    assert summary["points"]["oracle"] == 1.0
    assert summary["points"]["failing"] == {"0.5": 0, "0.85": 0, "0.9": 0}
    assert summary["box"]["exact"] == pytest.approx(ONCE)
    assert summary["box"]["clicks"] == pytest.approx({"1": TWICE, "2": ONCE})
    assert summary["calibration"]["all"]["bias"] == pytest.approx(0, abs=1e-6)
    assert "clicks_needed" not in summary["points"]


def test_the_protocol_is_that_of_the_paper(
    knowing: KnowingPredictor, sets: list[ImageSet]
) -> None:
    settings = BenchmarkSettings(("points",), clicks=3, max_objects=1, limit=1)
    run_benchmark(knowing, sets, settings)
    # The click timed alone comes first.
    [(first, three), (second, single), (third, _)] = knowing.asked[1:]
    assert three and not single
    assert first.mask is None and len(first.points) == 1
    assert second.points[0] == first.points[0] and second.mask is not None
    # The candidate of highest predicted IoU is given back, not the oracle.
    assert np.count_nonzero(second.mask.values > 0) == 64
    assert len(third.points) == 3 and third.points[1].positive


def test_box_clicks_keep_the_box_and_the_mask(
    knowing: KnowingPredictor, sets: list[ImageSet]
) -> None:
    settings = BenchmarkSettings(("box",), box_clicks=1, max_objects=1, limit=1)
    [result] = run_benchmark(knowing, sets, settings)
    [(exact, _), (clicked, _), (noisy, _)] = knowing.asked[1:]
    assert exact.box == clicked.box != noisy.box
    assert clicked.mask is not None and len(clicked.points) == 1
    summary = summarise(result)
    assert "points" not in summary and "first_click" not in summary["calibration"]


def test_clicks_needed_are_reported_after_twenty(
    knowing: KnowingPredictor, sets: list[ImageSet]
) -> None:
    settings = BenchmarkSettings(("points",), clicks=20)
    [result] = run_benchmark(knowing, sets, settings)
    needed = summarise(result)["points"]["clicks_needed"]
    assert needed == {"0.85": 3.0, "0.9": 3.0}


def test_objects_that_are_never_good_count_as_twenty(sets: list[ImageSet]) -> None:
    class Stuck(KnowingPredictor):
        def predict_batch(self, prompts, multimask_output=True):  # type: ignore[no-untyped-def]
            firsts = [type(each)(points=each.points[:1]) for each in prompts]
            self.asked += [(each, multimask_output) for each in prompts]
            return [self._answer(each, multimask_output) for each in firsts]

    stuck = Stuck()
    settings = BenchmarkSettings(("points",), clicks=20, max_objects=1, limit=1)
    points = summarise(run_benchmark(stuck, sets, settings)[0])["points"]
    assert points["clicks_needed"]["0.85"] == 20
    assert points["failing"] == {"0.5": 1.0, "0.85": 1.0, "0.9": 1.0}
    assert len(stuck.asked[-1][0].points) == 20
    assert list(points["mean_iou"]) == ["1", "2", "3", "5", "8"]


def test_overconfidence_shows_as_bias(sets: list[ImageSet]) -> None:
    [result] = run_benchmark(KnowingPredictor(overrate=0.2), sets)
    found = summarise(result)["calibration"]
    assert found["all"]["bias"] == pytest.approx(0.2, abs=1e-6)
    assert found["all"]["expected_error"] == pytest.approx(0.2, abs=1e-6)


def test_an_object_is_measured_alike_whatever_else_is(sets: list[ImageSet]) -> None:
    def boxes(max_objects: int | None) -> dict[tuple[str, int], float]:
        settings = BenchmarkSettings(("box",), max_objects=max_objects)
        predictor = KnowingPredictor()
        run_benchmark(predictor, sets, settings)
        asked = [each for each, _ in predictor.asked if each.box and not each.points]
        return {each.box.start + each.box.stop for each in asked if each.box}  # type: ignore[return-value]

    assert boxes(2) < boxes(None)


def test_all_sets_together_weigh_by_objects_and_by_sets(
    knowing: KnowingPredictor, tmp_path: Path
) -> None:
    write_set(tmp_path / "all" / "one", rows=1, cols=1)
    write_set(tmp_path / "all" / "six")
    results = run_benchmark(knowing, open_datasets(tmp_path / "all"))
    results[0].records[0].points[0].__dict__["iou"] = 1.0
    summary = summarise_all(results)
    overall = summary["all_objects"]["points"]["mean_iou"]["1"]
    assert overall == pytest.approx((1 + 6 * TWICE) / 7)
    mean = summary["mean_over_sets"]["points"]["mean_iou"]["1"]
    assert mean == pytest.approx((1 + TWICE) / 2)


def test_examples_are_the_best_and_the_worst(
    knowing: KnowingPredictor, sets: list[ImageSet]
) -> None:
    settings = BenchmarkSettings(("points",), clicks=1, examples=2)
    [result] = run_benchmark(knowing, sets, settings)
    assert len(result.examples.best) == len(result.examples.worst) == 2
    example = result.examples.best[0]
    assert example.pixels.shape == (*example.truth.shape, 3)
    row, col, positive = example.clicks[0]
    assert positive and example.truth[int(row), int(col)]


@pytest.mark.parametrize(
    "wrong",
    [
        {"protocols": ("text",)},
        {"protocols": ()},
        {"clicks": 21},
        {"clicks": 0},
        {"limit": 0},
        {"box_clicks": -1},
    ],
)
def test_settings_out_of_range_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(DataError):
        BenchmarkSettings(**wrong)  # type: ignore[arg-type]


def test_a_set_without_objects_is_refused(
    knowing: KnowingPredictor, tmp_path: Path
) -> None:
    folder = write_set(tmp_path / "empty", rows=1, cols=1)
    np.save(folder / "labels" / "field0.npy", np.zeros((20, 20), int))
    (folder / "labels" / "field0.png").unlink()
    with pytest.raises(DataError, match="no labelled object"):
        run_benchmark(knowing, open_datasets(folder))
