"""Output of commands: tables, JSON documents and progress bars."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from nearline.common.progress import Progress, no_progress

if TYPE_CHECKING:
    from rich.console import Console

# Width in characters of tables that are not written to a terminal.
FILE_WIDTH = 160


def printable(text: str, keep: str = "") -> str:
    """Escape characters that are not printable, since IDs may contain any character."""
    return "".join(
        char if char.isprintable() or char in keep else repr(char)[1:-1] for char in text
    )


def as_json_text(value: object) -> str:
    """Return `value` (plain values, msgspec structs or dataclasses) as indented JSON."""
    import msgspec

    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def write_json(value: object) -> None:
    """Write `value` as a JSON document to standard output."""
    click.echo(as_json_text(value))


def write_document(value: object, path: Path) -> None:
    """Write `value` as a JSON document to a file."""
    path.write_text(as_json_text(value) + "\n", encoding="utf-8")


def write_table(rows: Sequence[Sequence[str]], *, numbers: Sequence[int] = ()) -> None:
    """Write a table whose first row is the header; columns in `numbers` are right-aligned."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, collapse_padding=True)
    header, *body = rows
    for at, name in enumerate(header):
        table.add_column(Text(name), justify="right" if at in numbers else "left")
    for row in body:
        table.add_row(*(Text(printable(cell, keep="\n")) for cell in row))
    _console().print(table)


@contextmanager
def progress_bars() -> "Iterator[Progress]":
    """Yield a callback that draws progress bars on standard error if it is a terminal."""
    if not _is_terminal(sys.stderr):
        yield no_progress
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    times = (TimeElapsedColumn(), TimeRemainingColumn())
    with Bars(*columns, *times, console=Console(stderr=True), transient=True) as bars:
        tasks: dict[str, Any] = {}

        def complete() -> None:
            """Complete all bars, since a step may end before its progress reaches the total."""
            for task in bars.tasks:
                bars.update(task.id, completed=task.total or 1, total=task.total or 1)

        def progress(done: int, total: int, what: str) -> None:
            if what not in tasks:
                complete()
                tasks[what] = bars.add_task(what)
            bars.update(tasks[what], completed=done, total=total or None)

        yield progress
        complete()


def _console() -> "Console":
    from rich.console import Console

    return Console(width=None if _is_terminal(sys.stdout) else FILE_WIDTH, highlight=False)


def _is_terminal(stream: TextIO | None) -> bool:
    """Return whether `stream` is a terminal; it is None if it was closed by the shell."""
    return stream is not None and stream.isatty()
