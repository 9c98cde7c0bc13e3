"""A report that a person reads: one HTML page that needs no other file."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any

from napari_sam.evaluation.benchmark import SetResult
from napari_sam.evaluation.examples import Example
from napari_sam.evaluation.plots import (
    PREDICTED_COLOUR,
    TRUTH_COLOUR,
    plot_calibration,
    plot_clicks,
    plot_examples,
    plot_sizes,
)
from napari_sam.evaluation.summary import Summary

PAGE_NAME = "index.html"
JSON_NAME = "evaluation.json"
# Column heading, where the figure is in a set's summary, decimals, unit factor.
_COLUMNS: tuple[tuple[str, str, int, float], ...] = (
    ("images", "images", 0, 1),
    ("objects", "objects", 0, 1),
    *(
        (f"{n} click{'s' * (n > 1)}", f"points.mean_iou.{n}", 3, 1)
        for n in range(1, 21)
    ),
    ("best of 3", "points.oracle", 3, 1),
    ("box", "box.exact", 3, 1),
    ("noisy box", "box.noisy", 3, 1),
    *((f"box + {n}", f"box.clicks.{n}", 3, 1) for n in range(1, 21)),
    ("clicks to .85", "points.clicks_needed.0:85", 1, 1),
    ("clicks to .90", "points.clicks_needed.0:9", 1, 1),
    ("ends < .5", "points.failing.0:5", 3, 1),
    ("never .85", "points.failing.0:85", 3, 1),
    ("never .90", "points.failing.0:9", 3, 1),
    ("confidence bias", "calibration.all.bias", 3, 1),
    ("confidence error", "calibration.all.expected_error", 3, 1),
    ("encode (ms)", "seconds.encode", 0, 1000),
    ("click (ms)", "seconds.click", 0, 1000),
    ("click p95 (ms)", "seconds.click_p95", 0, 1000),
)
_SHADED = ("points.mean_iou", "points.oracle", "box.")
_STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#1c2430;margin:2rem auto;
max-width:1440px;padding:0 1rem}
h1{font-size:1.5rem;margin-bottom:.2rem}h2{font-size:1.15rem;margin-top:2rem}
h3{font-size:1rem;margin:1.4rem 0 .3rem}
.muted{color:#5b6675}.cards{display:flex;flex-wrap:wrap;gap:.8rem;margin:1rem 0}
.card{border:1px solid #d6dce4;border-radius:8px;padding:.6rem 1rem}
.card b{display:block;font-size:1.5rem}
.wide{overflow-x:auto}table{border-collapse:collapse;font-size:13px}
th,td{padding:.25rem .5rem;text-align:right;border-bottom:1px solid #e4e8ee;
font-variant-numeric:tabular-nums}th{vertical-align:bottom;font-weight:600}
th:first-child,td:first-child{text-align:left;white-space:nowrap}
tr.total td{font-weight:600;border-top:2px solid #8a94a2}
img{max-width:100%;height:auto}.plots{display:flex;flex-wrap:wrap;gap:1rem}
.plots img{max-height:400px}.examples{display:flex;flex-wrap:wrap;gap:1.5rem}
.key{padding:0 .4em;border-radius:3px;color:#000}
"""
_HOW = """
<p>A simulated annotator clicks the middle of each labelled object; the candidate
with the highest predicted IoU answers. Every further click goes to the middle of the
largest error, and the model also gets its previous mask. Boxes are exact, or off by a
tenth of their side (at most 20 pixels). <b>IoU</b> is the overlap of mask and label:
shared area / joint area. <b>Best of 3</b> is the best of the first click's candidates.
<b>Ends &lt; .5</b> is the share of objects still below .5 after the last click,
<b>never .85</b> the share that never got there. <b>Confidence bias</b> is mean
predicted minus mean true IoU over all prompts, <b>confidence error</b> the expected
calibration error. <b>Click</b> is the time one click on one object takes.</p>
"""


def write_report(
    folder: str | Path,
    document: Mapping[str, Any],
    results: Sequence[SetResult],
) -> Path:
    """Write the page and the figures as JSON.

    Parameters
    ----------
    folder : str or Path
        Made if it does not exist; ``index.html`` and ``evaluation.json`` in it are
        replaced.
    document : mapping
        The summary of `summarise_all`, with ``model`` and other facts about the run;
        under ``baseline``, if there, a second summary to compare with.
    results : sequence of SetResult
        What the summary was made of.

    Returns
    -------
    Path
        The page.

    Raises
    ------
    ExportError
        If matplotlib is not installed.
    """
    html = render_page(document, results)
    place = Path(folder)
    place.mkdir(parents=True, exist_ok=True)
    (place / JSON_NAME).write_text(json.dumps(document, indent=2), encoding="utf-8")
    page = place / PAGE_NAME
    page.write_text(html, encoding="utf-8")
    return page


def render_page(document: Mapping[str, Any], results: Sequence[SetResult]) -> str:
    """Return the whole page as HTML; see `write_report`."""
    title = f"{document['model']}: segmentation quality"
    parts = [
        f"<h1>{escape(title)}</h1>",
        f'<p class="muted">{escape(_facts(document))}</p>',
        _cards(document),
        "<h2>By set</h2>",
        _table(document),
        _baseline(document),
        "<h2>Plots</h2>",
        _plots(document, results),
        "<h2>Best and worst objects</h2>",
        _examples(results),
        "<h2>How this was measured</h2>",
        _HOW,
    ]
    head = f'<meta charset="utf-8"><title>{escape(title)}</title>'
    style = f"<style>{_STYLE}</style>"
    body = "\n".join(part for part in parts if part)
    return (
        f'<!doctype html><html lang="en"><head>{head}{style}</head>'
        f"<body>{body}</body></html>\n"
    )


def _facts(document: Mapping[str, Any]) -> str:
    facts = ("checkpoint", "device", "dtype", "version", "date")
    said = [f"{fact} {document[fact]}" for fact in facts if document.get(fact)]
    settings = document.get("settings", {})
    said += [f"{key.replace('_', ' ')} {value}" for key, value in settings.items()]
    return " · ".join(said)


def look_up(summary: Summary, path: str) -> float | None:
    """Find a figure by keys joined with dots; a colon stands for a key's own dot."""
    found: Any = summary
    for key in path.split("."):
        if not isinstance(found, Mapping) or key.replace(":", ".") not in found:
            return None
        found = found[key.replace(":", ".")]
    return float(found)


def _cards(document: Mapping[str, Any]) -> str:
    mean = document["mean_over_sets"]
    clicks = list(mean.get("points", {}).get("mean_iou", {}))
    wanted = [
        *(
            (f"IoU, {n} click{'s' * (n != '1')}", f"points.mean_iou.{n}")
            for n in clicks
        ),
        ("IoU, box", "box.exact"),
        ("confidence bias", "calibration.all.bias"),
    ]
    figures = [(words, look_up(mean, path)) for words, path in wanted]
    cards = [
        (words, f"{figure:.3f}") for words, figure in figures if figure is not None
    ]
    milliseconds = 1000 * mean["seconds"]["click"]
    cards.append(("one click", f"{milliseconds:.0f} ms"))
    boxes = "".join(
        f'<div class="card"><b>{figure}</b>{escape(words)}</div>'
        for words, figure in cards
    )
    return f'<div class="cards">{boxes}</div><p class="muted">Means over sets.</p>'


def _table(document: Mapping[str, Any]) -> str:
    everything = document["all_objects"]
    columns = [each for each in _COLUMNS if look_up(everything, each[1]) is not None]
    head = "".join(f"<th>{escape(heading)}</th>" for heading, *_ in columns)
    rows = [_row(name, part, columns) for name, part in document["sets"].items()]
    counts = ("images", "objects")
    mean = {k: v for k, v in document["mean_over_sets"].items() if k not in counts}
    rows.append(_row("mean over sets", mean, columns, True))
    rows.append(_row("all objects", everything, columns, True))
    table = f"<table><tr><th>set</th>{head}</tr>{''.join(rows)}</table>"
    return f'<div class="wide">{table}</div>'


def _row(
    name: str,
    summary: Summary,
    columns: Iterable[tuple[str, str, int, float]],
    total: bool = False,
) -> str:
    cells = "".join(_cell(summary, *column[1:]) for column in columns)
    kind = ' class="total"' if total else ""
    return f"<tr{kind}><td>{escape(name)}</td>{cells}</tr>"


def _cell(summary: Summary, path: str, decimals: int, factor: float) -> str:
    figure = look_up(summary, path)
    if figure is None:
        return "<td></td>"
    shade = ""
    if path.startswith(_SHADED):
        # From white at .3 to green at 1.
        strength = min(max((figure - 0.3) / 0.7, 0.0), 1.0)
        shade = f' style="background:rgba(46,160,90,{0.55 * strength:.2f})"'
    return f"<td{shade}>{figure * factor:.{decimals}f}</td>"


def _baseline(document: Mapping[str, Any]) -> str:
    """Compare with the classical method, set by set."""
    baseline = document.get("baseline")
    if not baseline:
        return ""
    paths = [
        (heading, path)
        for heading, path, *_ in _COLUMNS
        if path.startswith(_SHADED)
        and look_up(baseline["all_objects"], path) is not None
    ]
    head = "".join(f"<th>{escape(heading)}</th>" for heading, _ in paths)
    pairs = [(name, part, baseline["sets"][name]) for name, part in _sets(document)]
    ours, theirs = document["mean_over_sets"], baseline["mean_over_sets"]
    pairs.append(("mean over sets", ours, theirs))
    rows = "".join(
        f"<tr><td>{escape(name)}</td>"
        + "".join(_gain(part, other, path) for _, path in paths)
        + "</tr>"
        for name, part, other in pairs
    )
    return (
        "<h2>Against a classical baseline</h2><p>Otsu's threshold and a watershed, "
        "prompted by the same annotator: its IoU, and what the model gains.</p>"
        f'<div class="wide"><table><tr><th>set</th>{head}</tr>{rows}</table></div>'
    )


def _sets(document: Mapping[str, Any]) -> list[tuple[str, Summary]]:
    return list(document["sets"].items())


def _gain(ours: Summary, theirs: Summary, path: str) -> str:
    mine, other = look_up(ours, path), look_up(theirs, path)
    if mine is None or other is None:
        return "<td></td>"
    colour = "#1a7f42" if mine >= other else "#b3261e"
    gain = f'<span style="color:{colour}">{mine - other:+.2f}</span>'
    return f"<td>{other:.2f} {gain}</td>"


def _plots(document: Mapping[str, Any], results: Sequence[SetResult]) -> str:
    summary = dict(document)
    plots = []
    if "points" in summary["all_objects"]:
        text = "Mean IoU against clicks"
        plots.append((text, plot_clicks(summary, document.get("baseline"))))
    plots.append(("True against predicted IoU", plot_calibration(summary)))
    plots.append(("Mean IoU against object size", plot_sizes(results)))
    images = "".join(f'<img src="{data}" alt="{words}">' for words, data in plots)
    return f'<div class="plots">{images}</div>'


def _examples(results: Sequence[SetResult]) -> str:
    key = (
        f"<p>Outlines: {_swatch('label', TRUTH_COLOUR)} "
        f"{_swatch('prediction', PREDICTED_COLOUR)}; "
        "green plus: click on the object, red cross: click off it.</p>"
    )
    shown = [_set_examples(result) for result in results]
    return key + "".join(shown)


def _swatch(words: str, colour: str) -> str:
    return f'<span class="key" style="background:{colour}">{words}</span>'


def _set_examples(result: SetResult) -> str:
    best = result.examples.best
    taken = {(example.image, example.identifier) for example in best}
    worst = [
        example
        for example in result.examples.worst
        if (example.image, example.identifier) not in taken
    ]
    groups = (("Best", best), ("Worst", worst))
    images = "".join(_group(words, group) for words, group in groups if group)
    if not images:
        return ""
    return f'<h3>{escape(result.name)}</h3><div class="examples">{images}</div>'


def _group(words: str, examples: Sequence[Example]) -> str:
    image = f'<img alt="{words} objects" src="{plot_examples(examples)}">'
    return f'<div><div class="muted">{words}</div>{image}</div>'
