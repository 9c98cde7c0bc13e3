"""What every way to segment a file is told."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from napari_sam.cli.options import Format


@dataclass(frozen=True, eq=False)
class Job:
    """The options that all kinds of ``napari-sam segment`` share; see its --help."""

    image: Path
    out: Path
    model: str = "pocket"
    device: str = "auto"
    dtype: str = "auto"
    table: Path | None = None


@dataclass(frozen=True, eq=False)
class PictureJob(Job):
    """And those of one picture, not a stack."""

    channel_axis: int | None = None
    kind: Format = Format.labels
    overlay: Path | None = None

    @property
    def outputs(self) -> tuple[Path | None, ...]:
        """The files to write; None where one is not asked for."""
        return self.out, self.table, self.overlay
