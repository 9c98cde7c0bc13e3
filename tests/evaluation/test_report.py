from __future__ import annotations

import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from napari_sam.errors import ExportError
from napari_sam.evaluation.baseline import ClassicalPredictor
from napari_sam.evaluation.benchmark import (
    BenchmarkSettings,
    SetResult,
    run_benchmark,
)
from napari_sam.evaluation.datasets import open_datasets
from napari_sam.evaluation.report import look_up, render_page, write_report
from napari_sam.evaluation.summary import summarise_all

from .conftest import KnowingPredictor, write_set


class Page(HTMLParser):
    """Collects the cells, the images' addresses and the tags left open."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.sources: list[str] = []
        self.cells: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "img":
            self.sources.append(dict(attrs)["src"] or "")
        elif tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self.open and self.open[-1] == "td":
            self.cells.append(data)


def measure(folder: Path, protocols: tuple[str, ...]) -> tuple[dict, list[SetResult]]:
    sets = open_datasets(folder)
    settings = BenchmarkSettings(protocols, examples=1)
    results = run_benchmark(KnowingPredictor(), sets, settings)
    classical = run_benchmark(ClassicalPredictor(), sets, settings)
    document = {"model": "<knowing>", **summarise_all(results)}
    document["baseline"] = summarise_all(classical)
    return document, results


@pytest.mark.parametrize("protocols", [("points", "box"), ("points",), ("box",)])
def test_the_page_needs_no_other_file(
    tmp_path: Path, protocols: tuple[str, ...]
) -> None:
    document, results = measure(write_set(tmp_path / "a&b"), protocols)
    path = write_report(tmp_path / "report", document, results)
    html = path.read_text(encoding="utf-8")
    page = Page(html)
    assert not page.open
    plots = 3 if "points" in protocols else 2
    # All objects are alike: the best one is the worst one too, and shown once.
    assert len(page.sources) == plots + 1
    assert all(source.startswith("data:image/png;base64,") for source in page.sources)
    assert not re.search(r'(src|href)="(?!data:)', html)
    assert "&lt;knowing&gt;" in html and "a&amp;b" in html
    saved = json.loads((path.parent / "evaluation.json").read_text())
    assert saved["sets"] == json.loads(json.dumps(document["sets"]))


def test_the_table_holds_the_figures(tmp_path: Path) -> None:
    document, results = measure(write_set(tmp_path / "squares"), ("points",))
    cells = Page(render_page(document, results)).cells
    assert cells[:8] == [
        "squares", "1", "6", "0.444", "0.694", "1.000", "1.000", "1.000"
    ]  # fmt: skip


def test_figures_are_found_by_their_path() -> None:
    summary = {"points": {"failing": {"0.5": 0.25}}}
    assert look_up(summary, "points.failing.0:5") == 0.25
    assert look_up(summary, "points.failing.0:9") is None
    assert look_up(summary, "box.exact") is None


def test_without_matplotlib_it_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document, results = measure(write_set(tmp_path / "squares"), ("points",))
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ExportError, match=r"napari-sam-clip\[report\]"):
        write_report(tmp_path / "report", document, results)
    assert not (tmp_path / "report").exists()
