"""The figures of ``napari-sam evaluate`` as a table for a terminal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import typer

from napari_sam.evaluation.report import look_up

_FIXED: tuple[tuple[str, str], ...] = (
    ("best of 3", "points.oracle"),
    ("box", "box.exact"),
    ("noisy", "box.noisy"),
    ("box+1", "box.clicks.1"),
    ("box+2", "box.clicks.2"),
    ("NoC85", "points.clicks_needed.0:85"),
    ("NoC90", "points.clicks_needed.0:9"),
    ("ends<.5", "points.failing.0:5"),
    ("bias", "calibration.all.bias"),
    ("click s", "seconds.click"),
)


def print_table(document: Mapping[str, Any]) -> None:
    """Print a line for each set and their mean."""
    for line in table_lines(document):
        typer.echo(line)


def table_lines(document: Mapping[str, Any]) -> list[str]:
    """Lay the figures out in columns.

    Parameters
    ----------
    document : mapping
        From `run_evaluation`.

    Returns
    -------
    list of str
        A heading, a line for each set, and the mean over sets.
    """
    rows = [*document["sets"].items(), ("mean over sets", document["mean_over_sets"])]
    mean = document["mean_over_sets"]
    counts = mean.get("points", {}).get("mean_iou", {})
    columns = [(f"{n} cl.", f"points.mean_iou.{n}") for n in counts] + [
        column for column in _FIXED if look_up(mean, column[1]) is not None
    ]
    width = max(len(name) for name, _ in rows)
    heads = " ".join(f"{head:>9}" for head, _ in columns)
    lines = [f"{'set':<{width}} {'objects':>8} {heads}"]
    for name, part in rows:
        figures = " ".join(f"{look_up(part, path):>9.3f}" for _, path in columns)
        lines.append(f"{name:<{width}} {part['objects']:>8.0f} {figures}")
    return lines
