"""Show in napari what ``napari-sam demo`` wrote: ``python -m ... FOLDER``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import tifffile

from napari_sam.export import LabelsTiff

if TYPE_CHECKING:
    import napari

KINDS = ("point", "box", "mask")
COLUMNS = 3
GAP = 16


def add_results(viewer: napari.Viewer, folder: Path) -> None:
    """Lay out the images of a demo, with their labels of each kind of prompt.

    Parameters
    ----------
    viewer : napari.Viewer
    folder : Path
        That the demo was written to.
    """
    names = [
        file.stem.removesuffix("_box") for file in sorted(folder.glob("*_box.tif"))
    ]
    images = [tifffile.imread(folder / f"{name}.tif") for name in names]
    pitch = GAP + max((max(image.shape[:2]) for image in images), default=0)
    for number, (name, image) in enumerate(zip(names, images, strict=True)):
        row, col = divmod(number, COLUMNS)
        place = (row * pitch, col * pitch)
        viewer.add_image(image, name=name, rgb=image.ndim == 3, translate=place)
        for kind in KINDS:
            labels = LabelsTiff().read(folder / f"{name}_{kind}.tif")
            viewer.add_labels(
                labels, name=f"{name} {kind}", translate=place, visible=kind == "box"
            )
    viewer.reset_view()


def main(folder: Path) -> None:
    """Open a viewer with a demo's results and wait until it is closed."""
    import napari

    add_results(napari.Viewer(title="napari-sam demo"), folder)
    napari.run()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
