"""The options that subcommands share, and the light types they are parsed into."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, NamedTuple

import typer


class Point(NamedTuple):
    """A clicked pixel of the full image, or of one slice of a stack."""

    row: float
    col: float
    slice: float | None = None


class Box(NamedTuple):
    """A box of the full image, or of a slice, in pixels; its end is exclusive."""

    row0: float
    col0: float
    row1: float
    col1: float
    slice: float | None = None

    def holds(self, point: Point) -> bool:
        """Whether a point's pixel lies in the box."""
        rows = self.row0 <= point.row < self.row1
        return rows and self.col0 <= point.col < self.col1

    @property
    def area(self) -> float:
        """Area in pixels."""
        return (self.row1 - self.row0) * (self.col1 - self.col0)


class Multimask(StrEnum):
    """Which of a prompt's candidates are written."""

    best = "best"
    all = "all"


def parse_point(text: str) -> Point:
    """Read ``Y,X``, or ``Z,Y,X`` in a stack.

    Raises
    ------
    typer.BadParameter
        It is neither two nor three numbers.
    """
    if text.count(",") == 2:
        z, row, col = _numbers(text, "Z,Y,X", 3)
        return Point(row, col, z)
    return Point(*_numbers(text, "Y,X", 2))


def parse_box(text: str) -> Box:
    """Read ``Y0,X0,Y1,X1``, or ``Z,Y0,X0,Y1,X1`` in a stack.

    Raises
    ------
    typer.BadParameter
        It is neither four nor five numbers.
    """
    if text.count(",") == 4:
        z, row0, col0, row1, col1 = _numbers(text, "Z,Y0,X0,Y1,X1", 5)
        return Box(row0, col0, row1, col1, slice=z)
    return Box(*_numbers(text, "Y0,X0,Y1,X1", 4))


def _numbers(text: str, wanted: str, count: int) -> list[float]:
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    if len(numbers) != count:
        raise typer.BadParameter(f"{text!r} is not {wanted}: {count} numbers.")
    return numbers


ModelOption = Annotated[
    str, typer.Option("--model", help="A name of 'napari-sam models list'.")
]
DeviceOption = Annotated[
    str, typer.Option("--device", help="auto, cpu, cuda, cuda:N or mps.")
]
DtypeOption = Annotated[
    str, typer.Option("--dtype", help="auto, float32, bfloat16 or float16.")
]
JsonOption = Annotated[
    bool, typer.Option("--json", help="Print the result as JSON, for programs.")
]
ClipOption = Annotated[
    str,
    typer.Option(
        "--clip", help="clip_pocket, a folder, ARCHITECTURE:TAG or ARCHITECTURE:FILE."
    ),
]


class Method(StrEnum):
    """How objects are found without a prompt."""

    dense = "dense"
    grid = "grid"


MethodOption = Annotated[
    Method,
    typer.Option(
        "--method",
        help="With automatic segmentation: where the model's dense head suggests "
        "objects, or at every point of a grid.",
    ),
]


LABEL_SUFFIXES = (".tif", ".tiff")


class Format(StrEnum):
    """What ``--out`` holds."""

    labels = "labels"
    coco = "coco"
    sa1b = "sa1b"


def check_suffix(out: Path, kind: Format) -> None:
    """Refuse a name that does not fit the format.

    Raises
    ------
    typer.BadParameter
    """
    wanted = LABEL_SUFFIXES if kind is Format.labels else (".json",)
    if out.suffix.lower() not in wanted:
        raise typer.BadParameter(
            f"--out must end in {wanted[0]}, and {out.name} does not."
        )
