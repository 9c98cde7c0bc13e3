"""The command line; each subcommand imports what it needs when it runs."""

from napari_sam.cli.program import main

__all__ = ["main"]
