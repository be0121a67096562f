"""Notes of reading a source, stored in the table's metadata until `clean` reports them."""

from bisect import bisect_right
from collections.abc import Iterable
from typing import Any, Literal

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
from msgspec import Struct
from msgspec.structs import replace

from nearline.data.report import Dropped

_KEY = b"nearline"
# Number of raw texts that are kept per field, as examples.
_KEPT = 50


class LineNumbers(Struct, frozen=True):
    """Line of a text file on which each row begins.

    Attributes
    ----------
    starts : list of (row, line)
        Rows at which line numbers jump, ascending. Rows between them have consecutive lines.
    """

    starts: list[tuple[int, int]]

    @classmethod
    def of_lines(cls, lines: Iterable[int]) -> "LineNumbers":
        """Create the mapping from the line of each row; lines must be ascending."""
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
    """Notes of reading a source.

    Attributes
    ----------
    lines : LineNumbers or None
        Line numbers of a text file; None for other sources.
    dropped : list of Dropped
        Lines that are not rows.
    raw : dict
        By field and row: text of cells that could not be read.
    times : str
        Format of the times; "" if the source has none.
    undated : bool
        Whether the source has no times, so that row numbers are used instead.
    order : str
        Order of the rows, see `nearline.data.order`; "" before `in_own_order`.
    key_event : str
        Kind of event in the keys of rows whose kind was derived from their rating; "" if there
        are none.
    canonical : bool
        Whether the table is a result of `read_interactions`.
    rows : int
        Number of rows of the table to which `lines` and `raw` refer.
    mixed : dict
        Errors by column, for columns of a JSON file that mix numbers and text and were read as
        text.
    columns : dict
        Fields by column of the source.
    remarks : list of str
        Further lines of the report.
    """

    lines: LineNumbers | None = None
    dropped: list[Dropped] = []
    raw: dict[str, dict[int, str]] = {}
    times: str = ""
    undated: bool = False
    order: Literal["", "times", "positions", "none"] = ""
    canonical: bool = False
    key_event: str = ""
    rows: int = 0
    mixed: dict[str, str] = {}
    columns: dict[str, str] = {}
    remarks: list[str] = []

    def keep_raw(self, field: str, cells: Any, read: Any) -> None:
        """Keep the text of the first `cells` for which `read` has null or NaN."""
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
        """Return the place of a row in its source: a line of a text file, or a row number."""
        return f"row {row}" if self.lines is None else f"line {self.lines.line(row)}"

    def for_rows(self, rows: int) -> "SourceNotes":
        """Return notes for a table with this number of rows; for a part, without row numbers."""
        return self if rows == self.rows else replace(self, lines=None, raw={})


_DECODER = msgspec.json.Decoder(SourceNotes)


def with_notes(table: pa.Table, notes: SourceNotes) -> pa.Table:
    """Return `table` with `notes` in its metadata; filters and slices keep them."""
    metadata = {**(table.schema.metadata or {}), _KEY: msgspec.json.encode(notes)}
    return table.replace_schema_metadata(metadata)


def notes_of(table: pa.Table) -> SourceNotes:
    """Return the notes of a table; they are empty if there are none."""
    found = (table.schema.metadata or {}).get(_KEY)
    return SourceNotes() if found is None else _DECODER.decode(found)
