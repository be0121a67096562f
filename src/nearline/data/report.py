"""What was dropped from a table, how often and why."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_SHOWN = 80


@dataclass(frozen=True)
class Dropped:
    """Rows dropped for one reason, with the first of them as an example."""

    reason: str
    rows: int
    example: str


@dataclass(frozen=True)
class CleaningReport:
    """Account of a cleaning: ``rows_in == rows_kept + rows_dropped``.

    Attributes
    ----------
    rows_in, rows_kept : int
        Rows before and after.
    dropped : tuple of Dropped
        In the order in which the rules were applied; a row counts for the first rule it breaks.
    imputed : int
        Rows whose missing value was filled in.
    items : CleaningReport or None
        Of interactions that came with a catalogue: the account of the catalogue.
    """

    rows_in: int
    rows_kept: int
    dropped: tuple[Dropped, ...] = ()
    imputed: int = 0
    items: "CleaningReport | None" = None

    @property
    def rows_dropped(self) -> int:
        """Rows that did not survive."""
        return self.rows_in - self.rows_kept

    def as_dict(self) -> dict[str, Any]:
        """Plain values, for JSON."""
        values = {
            "rows_in": self.rows_in,
            "rows_kept": self.rows_kept,
            "imputed": self.imputed,
            "dropped": [
                {"reason": d.reason, "rows": d.rows, "example": d.example} for d in self.dropped
            ],
        }
        return values if self.items is None else values | {"items": self.items.as_dict()}

    def __str__(self) -> str:
        lines = [
            f"{self.rows_in:,} rows read, {self.rows_kept:,} kept, {self.rows_dropped:,} dropped"
        ]
        if self.imputed:
            lines.append(f"{self.imputed:,} missing values filled in")
        lines += [f"{d.rows:>12,}  {d.reason} ({d.example})" for d in self.dropped]
        return "\n".join(lines)


class Sieve:
    """A table that rows are dropped from, keeping account.

    Parameters
    ----------
    table : pyarrow.Table
        Columns are combined into one chunk each.
    shown : sequence of str
        Columns that an example shows.
    """

    def __init__(self, table: pa.Table, shown: Sequence[str]) -> None:
        self.table = table.combine_chunks()
        self._numbers = np.arange(table.num_rows)
        self._shown = shown
        self._dropped: list[Dropped] = []

    def drop(self, bad: Any, reason: str) -> None:
        """Drop the rows where `bad` (booleans, one a row; null means no) is true."""
        if not isinstance(bad, np.ndarray):
            bad = pc.fill_null(bad, False).to_numpy(zero_copy_only=False)
        count = int(np.count_nonzero(bad))
        if count == 0:
            return
        first = int(np.argmax(bad))
        row = self.table.select(list(self._shown)).slice(first, 1).to_pylist()[0]
        values = ", ".join(f"{name}={_short(value)}" for name, value in row.items())
        self._dropped.append(Dropped(reason, count, f"row {self._numbers[first]}: {values}"))
        keep = ~bad
        self.table = self.table.filter(pa.array(keep))
        self._numbers = self._numbers[keep]

    def report(self, *, imputed: int = 0) -> CleaningReport:
        """Account so far."""
        kept = self.table.num_rows
        rows_in = kept + sum(entry.rows for entry in self._dropped)
        return CleaningReport(rows_in, kept, tuple(self._dropped), imputed)


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
