"""Progress on stderr, so that stdout stays for results."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)

Advance = Callable[[int, int | None], None]


@contextmanager
def progress_bar(words: str, *, in_bytes: bool = False) -> Iterator[Advance]:
    """Show a bar while the body runs; it goes away afterwards.

    Nothing is shown where stderr is no terminal.

    Parameters
    ----------
    words : str
        What is being done.
    in_bytes : bool
        The amounts are bytes, not counts.

    Yields
    ------
    callable
        To be called with the amount done and the total, None if not known. Until it is
        first called, the bar only shows that something goes on.
    """
    amount: ProgressColumn = DownloadColumn() if in_bytes else MofNCompleteColumn()
    console = Console(stderr=True)
    with Progress(
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        amount,
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as progress:
        task = progress.add_task(words, total=None)

        def advance(done: int, total: int | None) -> None:
            progress.update(task, completed=done, total=total)

        yield advance
