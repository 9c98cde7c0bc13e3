"""``napari-sam demo``: the main job on the sample images, with figures."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_sam.cli.options import DeviceOption, DtypeOption, JsonOption, ModelOption

FolderOption = Annotated[
    Path, typer.Option("--out", metavar="DIR", help="Folder for labels and pictures.")
]
ViewerOption = Annotated[
    bool | None,
    typer.Option(
        "--viewer/--no-viewer",
        help="Show the results in napari; by default if there is a display.",
    ),
]


def demo(
    out: FolderOption = Path("napari-sam-demo"),
    model: ModelOption = "pocket",
    viewer: ViewerOption = None,
    device: DeviceOption = "auto",
    dtype: DtypeOption = "auto",
    json: JsonOption = False,
) -> None:
    """Segment the sample images by point, box and mask, and compare with their truth.

    Needs no download. Writes label TIFFs, pictures and an overview into a folder.
    """
    from napari_sam.cli.demo_report import print_demo
    from napari_sam.cli.demonstration import run_demo
    from napari_sam.cli.screen import show_demo, wants_viewer

    rows = run_demo(out, model, device, dtype)
    print_demo(rows, out, as_json=json)
    if wants_viewer(viewer):
        show_demo(out)
