"""The program ``napari-sam``: its subcommands, and how errors reach the user."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

import typer

from napari_sam.cli import models
from napari_sam.cli.demo import demo
from napari_sam.cli.evaluate import evaluate
from napari_sam.cli.info import info
from napari_sam.cli.segment import segment
from napari_sam.cli.track import track
from napari_sam.cli.train import train
from napari_sam.cli.train_text import train_text
from napari_sam.errors import NapariSamError

USER_ERROR = 1

app = typer.Typer(
    name="napari-sam",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    # Plain help starts sooner, and errors stay one line.
    rich_markup_mode=None,
)
app.command("segment")(segment)
app.command("track")(track)
app.add_typer(models.app, name="models")
app.command("demo")(demo)
app.command("info")(info)
app.command("evaluate")(evaluate)
app.command("train")(train)
app.command("train-text")(train_text)


def _print_version(wanted: bool) -> None:
    if wanted:
        from napari_sam import __version__

        typer.echo(f"napari-sam-clip {__version__}")
        raise typer.Exit


@app.callback()
def _start(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Show and exit."
        ),
    ] = False,
) -> None:
    """Segment microscopy images by points, boxes and masks.

    Exit codes: 0 done, 1 something given cannot be used (one sentence says what), 2
    wrong usage.
    """
    from napari_sam.conflict import rival_warning

    warning = rival_warning()
    if warning:
        typer.echo(f"Warning: {warning}", err=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program.

    Parameters
    ----------
    arguments : sequence of str, optional
        Those of the process by default.

    Returns
    -------
    int
        0 done, 1 a file, prompt or model cannot be used, 2 wrong usage.
    """
    try:
        app(args=None if arguments is None else list(arguments))
    except SystemExit as stop:
        return stop.code if isinstance(stop.code, int) else USER_ERROR
    except NapariSamError as error:
        return _fail(str(error))
    except MemoryError:
        return _fail("Not enough memory for this image: crop it or take a part of it.")
    except RuntimeError as error:
        if type(error).__name__ != "OutOfMemoryError":
            raise
        return _fail("The device has not enough memory: use --device cpu.")
    return 0


def _fail(sentence: str) -> int:
    typer.echo(f"Error: {sentence}", err=True)
    return USER_ERROR
