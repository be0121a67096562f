"""What commands write: tables for people, one JSON document for machines, progress bars."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

import click

from nearline.common.progress import Progress, no_progress

if TYPE_CHECKING:
    from rich.console import Console

# Columns of a table that is not written to a terminal: wide, so that hardly a cell is folded.
FILE_WIDTH = 160


def printable(text: str, keep: str = "") -> str:
    """Escape what could move the cursor or break a table: ids may hold any character."""
    return "".join(
        char if char.isprintable() or char in keep else repr(char)[1:-1] for char in text
    )


def as_json_text(value: object) -> str:
    """Give `value` (plain values, msgspec structs or dataclasses) as one JSON document."""
    import msgspec

    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def write_json(value: object) -> None:
    """Write `value`, as `as_json_text` gives it, to standard output."""
    click.echo(as_json_text(value))


def write_document(value: object, path: Path) -> None:
    """Write `value`, as `as_json_text` gives it, to a file."""
    path.write_text(as_json_text(value) + "\n", encoding="utf-8")


def write_table(rows: Sequence[Sequence[str]], *, numbers: Sequence[int] = ()) -> None:
    """Write a table; the first of `rows` is its header, columns `numbers` are set to the right."""
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
    """Give a callable that draws bars on standard error, where that is a terminal."""
    if not _watched(sys.stderr):
        yield no_progress
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
    from rich.progress import Progress as Bars

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Bars(*columns, TimeElapsedColumn(), console=Console(stderr=True), transient=True) as bars:
        tasks: dict[str, Any] = {}

        def progress(done: int, total: int, what: str) -> None:
            if what not in tasks:
                for task in bars.tasks:  # the step before is over, however far it counted
                    bars.update(task.id, completed=task.total or 1, total=task.total or 1)
                tasks[what] = bars.add_task(what)
            bars.update(tasks[what], completed=done, total=total or None)

        yield progress


def _console() -> "Console":
    from rich.console import Console

    return Console(width=None if _watched(sys.stdout) else FILE_WIDTH, highlight=False)


def _watched(stream: TextIO | None) -> bool:
    """Whether `stream` is a terminal; it is None where the shell has closed it."""
    return stream is not None and stream.isatty()
