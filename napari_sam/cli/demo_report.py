"""What ``napari-sam demo`` prints."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Table

from napari_sam.cli.reports import print_json

if TYPE_CHECKING:
    from napari_sam.cli.demonstration import DemoRow


def print_demo(rows: list[DemoRow], out: Path, as_json: bool) -> None:
    """Print the figures of each sample, and where the files are."""
    if as_json:
        print_json({"out": str(out), "samples": [_describe(row) for row in rows]})
        return
    console = Console()
    console.print(_table(rows))
    console.print(
        f"Labels (.tif) and pictures (.png) are in {out}; begin with overview.png.",
        highlight=False,
        soft_wrap=True,
    )


def _table(rows: list[DemoRow]) -> Table:
    table = Table(title="Mean IoU with the truth, by kind of prompt")
    table.add_column("sample")
    for heading in ("objects", "point", "box", "mask", "mask given", "seconds"):
        table.add_column(heading, justify="right")
    for row in rows:
        table.add_row(
            row.sample,
            str(row.objects),
            *(f"{row.iou[kind]:.2f}" for kind in ("point", "box", "mask")),
            f"{row.given_iou:.2f}",
            f"{row.seconds:.1f}",
        )
    return table


def _describe(row: DemoRow) -> dict[str, object]:
    return {
        "sample": row.sample,
        "objects": row.objects,
        "iou": {kind: round(value, 4) for kind, value in row.iou.items()},
        "mask_given_iou": round(row.given_iou, 4),
        "seconds": round(row.seconds, 3),
    }
