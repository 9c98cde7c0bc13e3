"""The report's plots, as PNG images in text."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from napari_sam.errors import ExportError
from napari_sam.evaluation.benchmark import ObjectRecord, SetResult
from napari_sam.evaluation.examples import Example
from napari_sam.evaluation.summary import Summary

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TRUTH_COLOUR = "#ffd400"
PREDICTED_COLOUR = "#00c8ff"
_MAIN = "#1f5fa8"
_MUTED = "#9aa4b0"
_DOTS_PER_INCH = 110


def new_figure(width: float, height: float) -> Figure:
    """Make an empty figure, in inches, without touching any window system.

    Raises
    ------
    ExportError
        If matplotlib is not installed.
    """
    try:
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ExportError(
            'The report needs matplotlib: pip install "napari-sam-clip[report]".'
        ) from error
    return Figure(figsize=(width, height), layout="constrained")


def to_png_text(figure: Figure) -> str:
    """Return a figure as a ``data:`` address of a PNG image."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DOTS_PER_INCH)
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def plot_clicks(summary: Summary, baseline: Summary | None) -> str:
    """Plot mean IoU against clicks: each set thin, their mean thick."""
    figure = new_figure(6.0, 3.8)
    axes = figure.subplots()
    for part in summary["sets"].values():
        axes.plot(*_click_curve(part), color=_MUTED, linewidth=0.9)
    curve = _click_curve(summary["mean_over_sets"])
    axes.plot(*curve, color=_MAIN, linewidth=2.5, marker="o", label="mean over sets")
    if baseline and "points" in baseline["mean_over_sets"]:
        curve = _click_curve(baseline["mean_over_sets"])
        axes.plot(*curve, "k--", marker="s", markersize=4, label="classical baseline")
    axes.set(xlabel="clicks", ylabel="mean IoU", ylim=(0, 1), xticks=curve[0])
    axes.set_title("Each further click should help", loc="left")
    _finish(axes)
    return to_png_text(figure)


def _click_curve(part: Summary) -> tuple[list[int], list[float]]:
    curve = part["points"]["mean_iou"]
    return [int(clicks) for clicks in curve], list(curve.values())


def plot_calibration(summary: Summary) -> str:
    """Plot true against predicted IoU, dots as large as they have prompts."""
    figure = new_figure(4.6, 3.8)
    axes = figure.subplots()
    found = summary["all_objects"]["calibration"]["all"]
    predicted, true, counts = np.array(found["bins"]).T
    axes.plot([0, 1], [0, 1], color=_MUTED, linewidth=1)
    axes.plot(predicted, true, color=_MAIN, linewidth=1)
    axes.scatter(predicted, true, s=10 + 240 * counts / counts.max(), color=_MAIN)
    axes.set(xlabel="predicted IoU", ylabel="true IoU", xlim=(0, 1), ylim=(0, 1))
    title = f"Does its confidence hold? (error {found['expected_error']:.3f})"
    axes.set_title(title, loc="left")
    _finish(axes)
    return to_png_text(figure)


def plot_sizes(results: Sequence[SetResult]) -> str:
    """Plot the mean IoU against object size, by quantiles of the size."""
    figure = new_figure(6.0, 3.8)
    axes = figure.subplots()
    records = [record for result in results for record in result.records]
    sides = np.sqrt([record.area for record in records])
    edges = np.unique(np.quantile(sides, np.linspace(0, 1, 11)))
    group = np.clip(np.searchsorted(edges, sides, side="right") - 1, 0, None)
    group = np.minimum(group, max(len(edges) - 2, 0))
    for label, style, ious in _size_curves(records):
        filled = np.unique(group)
        x = [float(np.median(sides[group == g])) for g in filled]
        y = [float(ious[group == g].mean()) for g in filled]
        axes.plot(x, y, style, label=label)
    axes.set(xscale="log", xlabel="square root of the area (pixels)", ylim=(0, 1))
    axes.set_ylabel("mean IoU")
    axes.set_title("Small and large objects", loc="left")
    _finish(axes)
    return to_png_text(figure)


def _size_curves(
    records: Sequence[ObjectRecord],
) -> list[tuple[str, str, np.ndarray[Any, Any]]]:
    curves = []
    if records[0].points:
        first = np.array([record.points[0].iou for record in records])
        last = np.array([record.points[-1].iou for record in records])
        count = max(len(record.points) for record in records)
        curves = [("1 click", "o-", first), (f"{count} clicks", "s-", last)]
    if records[0].box:
        boxed = [record.box.iou for record in records if record.box]
        curves.append(("box", "^-", np.array(boxed)))
    return curves


def _finish(axes: Axes) -> None:
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
    if axes.get_legend_handles_labels()[0]:
        axes.legend(frameon=False, loc="best")


def plot_examples(examples: Sequence[Example]) -> str:
    """Draw objects with the outlines of truth and prediction, and their clicks."""
    figure = new_figure(2.1 * len(examples), 2.45)
    panels = figure.subplots(1, len(examples), squeeze=False)[0]
    for axes, example in zip(panels, examples, strict=True):
        _draw_example(axes, example)
    return to_png_text(figure)


def _draw_example(axes: Axes, example: Example) -> None:
    height, width = example.truth.shape
    # Clicks and outlines are in pixel corners, hence this extent.
    axes.imshow(example.pixels, extent=(0, width, height, 0), interpolation="nearest")
    outlines = ((example.truth, TRUTH_COLOUR), (example.predicted, PREDICTED_COLOUR))
    for mask, colour in outlines:
        _outline(axes, mask, colour)
    for row, col, positive in example.clicks:
        marker, colour = ("P", "#2ee66b") if positive else ("X", "#ff3b30")
        axes.plot(col, row, marker, color=colour, markeredgecolor="k", markersize=7)
    axes.set(xticks=[], yticks=[], xlim=(0, width), ylim=(height, 0))
    iou, predicted = example.step.iou, example.step.predicted_iou
    name = f"{example.image[:20]} #{example.identifier}"
    axes.set_title(f"{name}\nIoU {iou:.2f}, predicted {predicted:.2f}", fontsize=7.5)


def _outline(axes: Axes, mask: np.ndarray[Any, Any], colour: str) -> None:
    """Draw the outline of a mask; one that is empty or everywhere has none."""
    # The frame closes outlines at the edge of the cut-out.
    padded = np.pad(mask, 1).astype(float)
    if not mask.any():
        return
    rows = np.arange(padded.shape[0]) - 0.5
    cols = np.arange(padded.shape[1]) - 0.5
    axes.contour(cols, rows, padded, levels=[0.5], colors=[colour], linewidths=1.3)
