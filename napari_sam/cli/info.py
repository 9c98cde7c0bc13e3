"""``napari-sam info``: what a bug report needs."""

from __future__ import annotations

from napari_sam.cli.options import JsonOption


def info(json: JsonOption = False) -> None:
    """Show versions, devices, folders and bundled models: paste it in a bug report."""
    from napari_sam.cli.diagnosis import diagnose, print_diagnosis
    from napari_sam.cli.reports import print_json

    found = diagnose()
    if json:
        print_json(found)
    else:
        print_diagnosis(found)
