"""Turn measurements of objects into the figures a person compares."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from napari_sam.evaluation.benchmark import MAX_CLICKS, ObjectRecord, SetResult
from napari_sam.evaluation.metrics import calibration, clicks_needed
from napari_sam.evaluation.trials import Step, Stopwatch

REPORTED_CLICKS = (1, 2, 3, 5, 8)
FAILING = 0.5
NOC_TARGETS = (0.85, 0.90)

Summary = dict[str, Any]


def summarise(result: SetResult) -> Summary:
    """Sum one set up.

    Parameters
    ----------
    result : SetResult

    Returns
    -------
    dict
        ``images`` and ``objects`` (counts); ``points`` with ``mean_iou`` by number of
        clicks, ``oracle`` (best of three candidates at the first click), ``failing``
        (share of objects that end below .5, or never reach .85 or .90) and, after 20
        clicks, ``clicks_needed``; ``box`` with ``exact``, ``noisy`` and ``clicks``
        (after the exact box and so many clicks); ``calibration`` of the predicted
        IoU; ``seconds``. A protocol that was not run has no entry.
    """
    records = result.records
    summary: Summary = {"images": result.images, "objects": len(records)}
    if records[0].points:
        summary["points"] = _points(records, result.clicks)
    if records[0].box:
        summary["box"] = _box(records)
    summary["calibration"] = _calibration(records)
    summary["seconds"] = _seconds(result)
    return summary


def _points(records: Sequence[ObjectRecord], clicks: int) -> Summary:
    reported = [n for n in REPORTED_CLICKS if n <= clicks]
    last = min(clicks, REPORTED_CLICKS[-1])
    if last not in reported:
        reported.append(last)
    runs = [[step.iou for step in record.points] for record in records]
    summary: Summary = {
        "mean_iou": {str(n): _mean(run[n - 1] for run in runs) for n in reported},
        "oracle": _mean(record.oracle for record in records),
        "failing": {
            "0.5": _mean(run[-1] < FAILING for run in runs),
            **{str(t): _mean(max(run) < t for run in runs) for t in NOC_TARGETS},
        },
    }
    if clicks >= MAX_CLICKS:
        summary["clicks_needed"] = {
            str(target): _mean(clicks_needed(run, target, MAX_CLICKS) for run in runs)
            for target in NOC_TARGETS
        }
    return summary


def _box(records: Sequence[ObjectRecord]) -> Summary:
    clicks = len(records[0].box_points)
    return {
        "exact": _mean(record.box.iou for record in records if record.box),
        "noisy": _mean(record.noisy_box.iou for record in records if record.noisy_box),
        "clicks": {
            str(n + 1): _mean(record.box_points[n].iou for record in records)
            for n in range(clicks)
        },
    }


def _calibration(records: Sequence[ObjectRecord]) -> Summary:
    """Compare predicted with true IoU over all prompts, and for each kind."""
    kinds: dict[str, Callable[[ObjectRecord], Sequence[Step | None]]] = {
        "all": _all_steps,
        "first_click": lambda record: record.points[:1],
        "last_click": lambda record: record.points[-1:],
        "box": lambda record: (record.box,),
    }
    summary: Summary = {}
    for kind, steps_of in kinds.items():
        steps = [step for record in records for step in steps_of(record) if step]
        if steps:
            summary[kind] = _compare(steps)
    return summary


def _all_steps(record: ObjectRecord) -> tuple[Step | None, ...]:
    return (*record.points, record.box, record.noisy_box, *record.box_points)


def _compare(steps: Sequence[Step]) -> Summary:
    predicted = [step.predicted_iou for step in steps]
    found = calibration(predicted, [step.iou for step in steps])
    return {
        "expected_error": found.expected_error,
        "bias": found.bias,
        "bins": [list(each) for each in found.bins],
    }


def _seconds(result: SetResult) -> Summary:
    clicks = result.click_seconds
    return {
        "encode": _mean(result.encode_seconds),
        "click": _mean(clicks),
        "click_p95": float(np.percentile(clicks, 95)),
        "prompt_in_batch": result.batch.seconds / max(result.batch.prompts, 1),
    }


def _mean(values: Any) -> float:
    return float(np.mean(list(values)))


def summarise_all(results: Sequence[SetResult]) -> Summary:
    """Sum up each set and all of them.

    Parameters
    ----------
    results : sequence of SetResult
        At least one.

    Returns
    -------
    dict
        ``sets`` (by name), ``all_objects`` (every object weighs the same) and
        ``mean_over_sets`` (every set weighs the same), each as from `summarise`.
    """
    sets = {result.name: summarise(result) for result in results}
    return {
        "sets": sets,
        "all_objects": summarise(pool(results, "all objects")),
        "mean_over_sets": _mean_of(list(sets.values())),
    }


def pool(results: Sequence[SetResult], name: str) -> SetResult:
    """Put the measurements of several sets together; examples are left out."""
    images = sum(result.images for result in results)
    pooled = SetResult(name, results[0].clicks, images)
    for result in results:
        pooled.records += result.records
        pooled.encode_seconds += result.encode_seconds
        pooled.click_seconds += result.click_seconds
    pooled.batch = Stopwatch(
        sum(result.batch.seconds for result in results),
        sum(result.batch.prompts for result in results),
    )
    return pooled


def _mean_of(parts: Sequence[Any]) -> Any:
    """Average equally built nested summaries; bins of a histogram are left out."""
    if isinstance(parts[0], Mapping):
        return {
            key: _mean_of([part[key] for part in parts])
            for key in parts[0]
            if key != "bins"
        }
    return _mean(parts)
