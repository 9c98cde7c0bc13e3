"""Check that the wheel in a folder holds what users need, and nothing of the tests.

Usage: ``python tests/check_wheel.py FOLDER``
"""

from __future__ import annotations

import sys
import zipfile
from pathlib import Path

WANTED = {
    "napari_sam/napari.yaml",
    "napari_sam/py.typed",
    "napari_sam/weights/pocket.safetensors",
}
FOLDERS = ("napari_sam/", "napari_sam_clip-")
KINDS = (("napari_sam/_sample_data/", ".tif"), ("napari_sam/weights/", ".md"))


def faults(names: set[str]) -> list[str]:
    """Name all that is missing from, or should not be in, a wheel of these files."""
    found = [f"{name} is missing" for name in sorted(WANTED - names)]
    for folder, end in KINDS:
        if not any(name.startswith(folder) and name.endswith(end) for name in names):
            found.append(f"there is no {end} file in {folder}")
    strangers = sorted(name for name in names if not name.startswith(FOLDERS))
    return found + [f"{name} does not belong there" for name in strangers]


def main(folder: Path) -> int:
    wheels = sorted(folder.glob("*.whl"))
    found = [] if wheels else [f"there is no wheel in {folder}"]
    for wheel in wheels:
        with zipfile.ZipFile(wheel) as archive:
            found += faults(set(archive.namelist()))
    for fault in found:
        print(fault, file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
