"""Subcommands whose options are the fields of a dataclass."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import MISSING, fields
from inspect import Parameter, Signature
from typing import Any, TypeVar, get_type_hints

Options = TypeVar("Options")


def as_command(
    options: type[Options], work: Callable[[Options], None]
) -> Callable[..., None]:
    """Make a function that typer can read options from.

    Parameters
    ----------
    options : type
        A dataclass whose annotations say how typer parses each field.
    work : callable
        Takes an instance of it; its docstring is the command's help.

    Returns
    -------
    callable
        Takes the fields as keywords.
    """
    hints = get_type_hints(options, include_extras=True)

    def run(**given: Any) -> None:
        work(options(**given))

    run.__doc__ = work.__doc__
    run.__annotations__ = hints
    parameters = [
        Parameter(
            each.name,
            Parameter.KEYWORD_ONLY,
            default=Parameter.empty if each.default is MISSING else each.default,
            annotation=hints[each.name],
        )
        for each in fields(options)  # type: ignore[arg-type]
    ]
    run.__signature__ = Signature(parameters)  # type: ignore[attr-defined]
    return run
