"""Reports of cleaning: the number of dropped rows by reason, with examples."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from nearline.common.counts import count
from nearline.notebook.reports import import_html

_SHOWN = 80
_LONGEST = 1_000


@dataclass(frozen=True)
class Dropped:
    """Number of rows that were dropped for one reason, with the first as an example."""

    reason: str
    rows: int
    example: str

    def __str__(self) -> str:
        example = f" ({self.example})" if self.example else ""
        return f"{self.rows:>12,}  {self.reason}{example}"


@dataclass(frozen=True)
class KindOfEvent:
    """A kind of event in the rows that were kept.

    Attributes
    ----------
    event : str
    rows : int
    weight : float
        Event weight.
    known : bool
        Whether the kind has its own weight; if not, it has that of unknown kinds.
    """

    event: str
    rows: int
    weight: float
    known: bool


@dataclass(frozen=True)
class TimesRead:
    """Times of the rows that were kept.

    Attributes
    ----------
    first, last : float
        Unix seconds, or positions.
    how : str
        Format of the times; "" if the source has none.
    order : str
        Order that they give to the interactions of a user: "times", "positions" or "none".
    """

    first: float
    last: float
    how: str
    order: str = "times"

    @property
    def are_clock_times(self) -> bool:
        """Whether they are times, not positions or row numbers."""
        return bool(self.how) and self.how != "positions"

    def __str__(self) -> str:
        if not self.how:
            return (
                "no timestamp in the source; the interactions of a user are a set without an "
                "order (a column that orders them can be named as timestamp)"
            )
        sets = "; equal for most users, whose interactions are a set without an order"
        unordered = sets if self.order == "none" else ""
        if not self.are_clock_times:
            return f"{self.first:.15g} to {self.last:.15g}, read as {self.how}{unordered}"
        first, last = (
            datetime.fromtimestamp(time, UTC).strftime("%Y-%m-%d %H:%M:%S")
            for time in (self.first, self.last)
        )
        return f"{first} to {last} UTC, read as {self.how}{unordered}"


@dataclass(frozen=True)
class CleaningReport:
    """Report of an import: ``rows_in == rows_kept + rows_dropped``.

    Attributes
    ----------
    rows_in, rows_kept : int
        Number of rows before and after; lines of a text file that are not rows are included.
    dropped : tuple of Dropped
        Dropped rows by reason, in the order of the rules; a row counts for the first rule that it
        breaks.
    imputed : int
        Number of rows whose missing value was filled in.
    fields : tuple of Dropped
        Values by reason that were left out of rows that were kept.
    known : int
        Number of rows that were kept but not stored, since the store already has them.
    times : TimesRead or None
    kinds : tuple of KindOfEvent
        Kinds of events, most frequent first.
    n_users, n_items : int
        Number of distinct IDs in the rows that were kept.
    columns : dict
        Fields by column of the source.
    remarks : tuple of str
        Further lines of the report.
    items, users : CleaningReport or None
        Reports of the catalogue and of the table of users, if there were such.
    """

    rows_in: int
    rows_kept: int
    dropped: tuple[Dropped, ...] = ()
    imputed: int = 0
    fields: tuple[Dropped, ...] = ()
    known: int = 0
    times: TimesRead | None = None
    kinds: tuple[KindOfEvent, ...] = ()
    n_users: int = 0
    n_items: int = 0
    columns: Mapping[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()
    items: "CleaningReport | None" = None
    users: "CleaningReport | None" = None

    @property
    def rows_dropped(self) -> int:
        """Number of rows that were dropped."""
        return self.rows_in - self.rows_kept

    def as_dict(self) -> dict[str, Any]:
        """Return the report as values for JSON."""
        values = asdict(self)
        for name in ("items", "users"):
            if values[name] is None:
                del values[name]
        return values

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> "CleaningReport":
        """Create a report from the result of `as_dict`."""
        return msgspec.convert(values, cls)

    def _repr_html_(self) -> str:
        numbers = [("rows", self.rows_in), ("kept", self.rows_kept), ("dropped", self.rows_dropped)]
        numbers += [("users", self.n_users), ("items", self.n_items)] if self.n_users else []
        problems = [*map(str, self.dropped), *map(str, self.fields)]
        shown = [(label, f"{value:,}") for label, value in numbers]
        return import_html(shown, self.summary(), problems)

    def __str__(self) -> str:
        lines = [
            f"{count(self.rows_in, 'row')} read, {self.rows_kept:,} kept, "
            f"{self.rows_dropped:,} dropped"
        ]
        if self.imputed:
            lines.append(f"{count(self.imputed, 'missing value')} filled in")
        lines += map(str, self.dropped)
        if self.fields:
            lines.append("left out of rows that were kept:")
            lines += map(str, self.fields)
        return "\n".join((*lines, *self.summary()))

    def summary(self) -> list[str]:
        """Return lines about the rows that were kept; for a report of `clean`, there are none."""
        lines = []
        if self.n_users:
            lines.append(f"users: {self.n_users:,}, items: {self.n_items:,}")
        if self.known:
            lines.append(f"{count(self.known, 'row')} already in the store, not stored again")
        if self.times is not None:
            lines.append(f"times: {self.times}")
        if self.kinds:
            lines.append(_cut("kinds of events: " + ", ".join(map(_kind_text, self.kinds))))
        if any(not kind.known for kind in self.kinds):
            lines.append(
                "kinds marked with ? are unknown and have the weight of a view; set weights "
                "with --weights KIND=NUMBER or in nearline.toml"
            )
        if any(name != became for name, became in self.columns.items()):
            pairs = (f"{name} is {became}" for name, became in self.columns.items())
            lines.append(_cut("columns: " + ", ".join(pairs)))
        return lines + list(self.remarks)


def _cut(text: str) -> str:
    return text if len(text) <= _LONGEST else text[:_LONGEST] + "..."


def _kind_text(kind: KindOfEvent) -> str:
    mark = "" if kind.known else "?"
    return f"{_short(kind.event)[1:-1]}{mark} {kind.rows:,} (weight {kind.weight:g})"


class Sieve:
    """A table from which rows are dropped, with a report.

    Parameters
    ----------
    table : pyarrow.Table
        Table to clean; its columns are combined into one chunk each.
    shown : sequence of str
        Columns that are shown in examples.
    place : callable
        Returns the place in the source of a row number.
    raw : mapping
        By field and row number: text to show in examples instead of a value that was not read.
    """

    def __init__(
        self,
        table: pa.Table,
        shown: Sequence[str],
        place: Callable[[int], str] = "row {}".format,
        raw: Mapping[str, Mapping[int, str]] | None = None,
    ) -> None:
        self.table = table.combine_chunks()
        self._numbers = np.arange(table.num_rows)
        self._shown = shown
        self._place = place
        self._raw = raw or {}
        self._dropped: list[Dropped] = []
        self._left_out: list[Dropped] = []

    def drop(self, bad: Any, reason: str) -> None:
        """Drop the rows for which `bad`, bool [n_rows], is true; null means false."""
        bad = _mask(bad)
        rows = int(np.count_nonzero(bad))
        if rows == 0:
            return
        self._dropped.append(Dropped(reason, rows, self._example(bad, self._shown)))
        keep = ~bad
        self.table = self.table.filter(pa.array(keep))
        self._numbers = self._numbers[keep]

    def leave_out(self, field: str, bad: Any, reason: str, instead: str | None = None) -> None:
        """Replace `field` by `instead` in the rows for which `bad`, bool [n_rows], is true."""
        bad = _mask(bad)
        rows = int(np.count_nonzero(bad))
        if rows == 0:
            return
        self._left_out.append(Dropped(reason, rows, self._example(bad, [field])))
        at = self.table.schema.get_field_index(field)
        kind = self.table.schema.field(at).type
        cells = pc.if_else(pa.array(bad), pa.scalar(instead, kind), self.table[field])
        self.table = self.table.set_column(at, field, cells).combine_chunks()

    def report(self, *, imputed: int = 0, lines: Sequence[Dropped] = ()) -> CleaningReport:
        """Return the report; `lines` are lines of the source that are not rows."""
        kept = self.table.num_rows
        dropped = (*lines, *self._dropped)
        rows_in = kept + sum(entry.rows for entry in dropped)
        return CleaningReport(rows_in, kept, dropped, imputed, tuple(self._left_out))

    def _example(self, bad: NDArray[np.bool_], shown: Sequence[str]) -> str:
        first = int(np.argmax(bad))
        number = int(self._numbers[first])
        row = self.table.select(list(shown)).slice(first, 1).to_pylist()[0]
        for name in row:
            row[name] = self._raw.get(name, {}).get(number, row[name])
        values = ", ".join(f"{name}={_short(value)}" for name, value in row.items())
        return f"{self._place(number)}: {values}"


def _mask(bad: Any) -> NDArray[np.bool_]:
    if isinstance(bad, np.ndarray):
        return bad
    mask: NDArray[np.bool_] = pc.fill_null(bad, False).to_numpy(zero_copy_only=False)
    return mask


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= _SHOWN else text[:_SHOWN] + "..."
