"""``napari-sam models``: the checkpoints on this machine and how to get more."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from napari_sam.cli.options import JsonOption

app = typer.Typer(no_args_is_help=True, help="List, fetch, check and import models.")

NameArgument = Annotated[str, typer.Argument(help="A name of 'models list'.")]
NamesArgument = Annotated[list[str], typer.Argument(help="Names of 'models list'.")]


@app.command("list")
def list_all(json: JsonOption = False) -> None:
    """List the models and which of them are on this machine."""
    from napari_sam.cli.model_reports import describe_all, print_models
    from napari_sam.cli.reports import print_json

    found = describe_all()
    if json:
        print_json(found)
    else:
        print_models(found)


@app.command()
def info(name: NameArgument, json: JsonOption = False) -> None:
    """Show a model's source, licence, hashes, conventions and place."""
    from napari_sam.cli.model_reports import describe_model, print_model
    from napari_sam.cli.reports import print_json

    found = describe_model(name)
    if json:
        print_json(found)
    else:
        print_model(found)


@app.command()
def download(
    names: NamesArgument,
    force: Annotated[
        bool, typer.Option("--force", help="Fetch again what is already here.")
    ] = False,
) -> None:
    """Fetch published models; an interrupted transfer goes on where it stopped.

    NAPARI_SAM_MIRROR names another server; proxies are taken from HTTPS_PROXY.
    """
    from napari_sam.cli.progress import progress_bar
    from napari_sam.nn.download import download_model

    for name in names:
        with progress_bar(f"Downloading {name}", in_bytes=True) as advance:
            path = download_model(name, force=force, progress=advance)
        typer.echo(f"{name}: {path}")


@app.command()
def verify(names: NamesArgument) -> None:
    """Check files against the published hashes, and that their weights are sound."""
    from napari_sam.cli.progress import progress_bar
    from napari_sam.nn.checkpoint import inspect_checkpoint

    for name in names:
        with progress_bar(f"Checking {name}", in_bytes=True) as advance:
            digests = inspect_checkpoint(name, progress=advance)
        typer.echo(f"{name}: good (sha256 {digests.sha256})")


@app.command("import")
def import_file(
    file: Annotated[Path, typer.Argument(help="A .safetensors, .pth or .pt file.")],
    name: Annotated[
        str | None,
        typer.Option("--name", help="Name to give a model that is not published."),
    ] = None,
    like: Annotated[
        str | None,
        typer.Option("--like", help="Model it was fine-tuned from, if it is unclear."),
    ] = None,
) -> None:
    """Add a file that you fetched or trained elsewhere; it is copied, not moved.

    A published file is recognised by its hash, any other by its layers.
    """
    from napari_sam.nn.import_file import import_checkpoint

    typer.echo(f"Imported as {import_checkpoint(file, name=name, like=like)}")


@app.command()
def path(
    name: Annotated[
        str | None, typer.Argument(help="A model; without it, the folder of models.")
    ] = None,
) -> None:
    """Print where models are kept, or where one model's file is or belongs."""
    from napari_sam.nn.download import checkpoint_path
    from napari_sam.nn.storage import models_folder

    typer.echo(models_folder() if name is None else checkpoint_path(name))
