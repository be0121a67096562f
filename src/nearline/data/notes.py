"""What reading a source found, carried in the table's metadata until `clean` reports it."""

from bisect import bisect_right
from collections.abc import Iterable
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Struct
from msgspec.structs import replace

from nearline.data.report import Dropped

_KEY = b"nearline"
# Raw texts that are kept of each field, as examples.
_KEPT = 50


class LineNumbers(Struct, frozen=True):
    """Which line of a text file each row begins on.

    Attributes
    ----------
    starts : list of (row, line)
        Rows where the numbering jumps, rising; rows between two of them are consecutive lines.
    """

    starts: list[tuple[int, int]]

    @classmethod
    def of_lines(cls, lines: Iterable[int]) -> "LineNumbers":
        """Compress the line of each row, rising."""
        starts: list[tuple[int, int]] = []
        expected = -1
        for row, line in enumerate(lines):
            if line != expected:
                starts.append((row, line))
            expected = line + 1
        return cls(starts)

    def line(self, row: int) -> int:
        """Return the line (from 1) that `row` (from 0) begins on."""
        first, line = self.starts[bisect_right(self.starts, (row, 1 << 62)) - 1]
        return line + row - first


class SourceNotes(Struct, kw_only=True):
    """What was found when a source was read.

    Attributes
    ----------
    lines : LineNumbers or None
        Of a text file.
    dropped : list of Dropped
        Lines of which no row could be made.
    raw : dict
        Field to row to text: cells that could not be read, as they are in the source.
    times : str
        How the times were read; "" where the source has none.
    undated : bool
        The source has no times: row numbers are used instead.
    key_event : str
        Kind of event in the keys of rows whose kind was made of their rating; "" where none was.
    canonical : bool
        The table is in the form of `read_interactions`.
    rows : int
        Rows of the table that `lines` and `raw` are about.
    mixed : dict
        Column of a JSON file that holds numbers beside text, all of it read as text, to the error.
    columns : dict
        Column of the source to the field that it became.
    remarks : list of str
        What else a reader of the report should know.
    """

    lines: LineNumbers | None = None
    dropped: list[Dropped] = []
    raw: dict[str, dict[int, str]] = {}
    times: str = ""
    undated: bool = False
    canonical: bool = False
    key_event: str = ""
    rows: int = 0
    mixed: dict[str, str] = {}
    columns: dict[str, str] = {}
    remarks: list[str] = []

    def keep_raw(self, field: str, cells: Any, read: Any) -> None:
        """Keep the text of the first `cells` of which `read` holds null or NaN."""
        if not read.null_count and not pa.types.is_floating(read.type):
            return
        unread = pc.is_null(read, nan_is_null=True).to_numpy(zero_copy_only=False)
        found = {}
        for row in unread.nonzero()[0][:_KEPT].tolist():
            cell = cells[row].as_py()
            if cell is not None:
                found[row] = str(cell)
        if found:
            self.raw[field] = found

    def place(self, row: int) -> str:
        """Name a row as a person finds it: by line in a text file, else by number."""
        return f"row {row}" if self.lines is None else f"line {self.lines.line(row)}"

    def for_rows(self, rows: int) -> "SourceNotes":
        """Return the notes of a table of this many rows; those of a part lack row numbers."""
        return self if rows == self.rows else replace(self, lines=None, raw={})


_DECODER = msgspec.json.Decoder(SourceNotes)


def with_notes(table: pa.Table, notes: SourceNotes) -> pa.Table:
    """Return `table` with `notes` in its metadata; filters and slices keep them."""
    metadata = {**(table.schema.metadata or {}), _KEY: msgspec.json.encode(notes)}
    return table.replace_schema_metadata(metadata)


def notes_of(table: pa.Table) -> SourceNotes:
    """Return what was noted about a table; empty notes where there are none."""
    found = (table.schema.metadata or {}).get(_KEY)
    return SourceNotes() if found is None else _DECODER.decode(found)
