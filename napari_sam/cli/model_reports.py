"""What ``napari-sam models`` prints about models."""

from __future__ import annotations

from typing import Any

from napari_sam.nn.download import checkpoint_path, download_url
from napari_sam.nn.registry import PretrainedConfig, list_models, model_config

_PROMPTS = ("point", "box", "mask", "text")


def describe_all() -> list[dict[str, Any]]:
    """Return the JSON of ``models list``: `describe_model` of every model."""
    return [describe_model(name) for name in list_models()]


def describe_model(name: str) -> dict[str, Any]:
    """Return the JSON of ``models info``.

    Raises
    ------
    ModelError
        There is no model of this name.
    """
    config, path = model_config(name), checkpoint_path(name)
    present = path.is_file()
    return {
        "name": name,
        "state": _state(config) if present else "not here",
        "available": present,
        "path": str(path),
        "bytes": path.stat().st_size if present else config.size,
        "url": download_url(config),
        "sha256": config.sha256,
        "xxh128": config.xxh128,
        "licence": config.licence,
        "source": config.source,
        "architecture": config.architecture,
        "image_size": config.image_size,
        "normalisation": config.normalisation,
        "prompts": [kind for kind in _PROMPTS if kind in config.prompts],
        "decoder_url": config.decoder_url,
        "decoder_xxh128": config.decoder_xxh128,
    }


def _state(config: PretrainedConfig) -> str:
    if config.bundled:
        return "bundled"
    return "downloaded" if config.url else "imported"


def print_models(found: list[dict[str, Any]]) -> None:
    """Print a table of models."""
    from rich.console import Console
    from rich.table import Table

    table = Table()
    for column in ("name", "state", "size", "prompts", "licence"):
        table.add_column(column, no_wrap=True)
    for each in found:
        table.add_row(
            each["name"],
            each["state"],
            _size(each["bytes"]),
            " ".join(each["prompts"]),
            each["licence"],
        )
    Console().print(table)


def print_model(found: dict[str, Any]) -> None:
    """Print what is known of one model, a line for each fact."""
    import typer

    for key, value in found.items():
        if isinstance(value, list):
            value = ", ".join(value)
        if key == "bytes":
            key, value = "size", _size(value)
        if value not in (None, ""):
            typer.echo(f"{key}: {value}")


def _size(count: int | None) -> str:
    return "" if count is None else f"{count / 1e6:,.0f} MB"
