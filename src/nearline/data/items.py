"""Catalogues: tables with text, category, number and vector columns to items."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from nearline.data.item_columns import item_fields, reader_of
from nearline.data.notes import SourceNotes, notes_of
from nearline.data.report import CleaningReport, Dropped
from nearline.data.sources import Source, read_table
from nearline.errors import InvalidInput
from nearline.schema import Item, check_item
from nearline.schema.rules import MAX_LABEL_BYTES, MAX_LABELS

_REPEATED = "item_id repeats; the last row holds"


@dataclass(frozen=True)
class ItemsReport(CleaningReport):
    """Account of reading a catalogue.

    Attributes
    ----------
    cells : tuple of Dropped
        Cells that could not be read; their items are kept without them.
    columns : dict of str to str
        What became of each column: a field, ``labels``, ``attribute``, ``vector``, ``left out``.
    left_out : dict of str to str
        Columns that could not be read, and why.
    """

    cells: tuple[Dropped, ...] = ()
    columns: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return plain values, for JSON."""
        cells = [{"reason": d.reason, "rows": d.rows, "example": d.example} for d in self.cells]
        more = {"cells": cells, "columns": self.columns, "left_out": self.left_out}
        return super().as_dict() | more

    def __str__(self) -> str:
        lines = [f"{cell.rows:>12,}  {cell.reason} ({cell.example})" for cell in self.cells]
        lines += [f"column {name!r} left out: {why}" for name, why in self.left_out.items()]
        return "\n".join((super().__str__(), *lines))


def read_items(
    source: Source,
    columns: Mapping[str, str] | None = None,
    *,
    shared: Mapping[str, str] | None = None,
    now: float,
) -> tuple[list[Item], ItemsReport]:
    """Read a catalogue.

    What a column becomes follows from its name or else from what it holds:

    - ``item_id``: the id (whole numbers in decimal form); ``title`` or ``name``: the title;
      ``text`` or ``description``: the text; ``timestamp``: time of the entry; ``available``.
    - ``categories``, ``category``, ``genre``, ``genres``, ``tags``: labels, as lists, as lists
      written in text, or with ``|``, ``;`` or ``,`` between them.
    - numbers, times, true and false, and text that holds numbers: an attribute.
    - lists of numbers: a vector (one of zeros counts as missing); lists of text: an attribute.
    - other text: labels that keep the name of their column (``brand=Acme``) if values or the
      parts of lists recur, else part of the text.

    A cell or column that cannot be read is dropped by itself; a row only for its id.

    Parameters
    ----------
    source : path, frame or sequence of Item
        As for `read_table`; items are checked and returned.
    columns : mapping, optional
        Field to column, for ``item_id`` and the named fields above.
    shared : mapping, optional
        The mapping of interactions that come with the catalogue: its ``item_id`` counts if the
        catalogue has that column, and so do all fields that only items have.
    now : float
        Unix seconds: the time of entries without a ``timestamp``.

    Returns
    -------
    items : list of Item
        In the order of the source; of several rows for one item the last.
    report : ItemsReport
        Rows, cells and columns that were dropped, and why.

    Raises
    ------
    InvalidInput
        ``item_id`` is missing or cannot be read, or no row is good.
    """
    cells, left_out, becomes = _Refused(), {}, {}
    notes = SourceNotes()
    if _are_items(source):
        rows: Iterable[dict[str, Any]] = (msgspec.structs.asdict(item) for item in source)
        n_rows = len(source)
    else:
        fields: dict[str, str] = {}

        def pick(found: Sequence[str]) -> Collection[str]:
            fields.update(item_fields(found, columns, shared))
            return found

        # Objects and lists of objects may hold labels.
        table, readers = read_table(source, pick=pick, flat=False), []
        notes = notes_of(table)
        for name in table.column_names:
            try:
                reader = reader_of(table[name], name, fields.get(name), cells.add)
            except InvalidInput as error:
                if fields.get(name) == "item_id":
                    raise
                becomes[name], left_out[name] = "left out", error.message
                continue
            becomes[name] = reader.becomes
            readers.append(reader)
        values = zip(*(reader.cells.to_pylist() for reader in readers), strict=True)
        puts = [reader.put for reader in readers]
        rows, n_rows = (_filled(puts, row, now) for row in values), table.num_rows
    items, dropped = _collect(rows, cells, now)
    report = ItemsReport(
        n_rows + sum(lines.rows for lines in notes.dropped),
        len(items),
        (*notes.dropped, *dropped.entries()),
        remarks=tuple(notes.remarks),
        cells=cells.entries(),
        columns=becomes,
        left_out=left_out,
    )
    if not items:
        raise InvalidInput(f"no usable item is left: {report}")
    return items, report


def _are_items(source: Source) -> bool:
    """Whether `source` is a list of items; one that holds something else beside them is refused."""
    if not (isinstance(source, list | tuple) and source and isinstance(source[0], Item)):
        return False
    for position, entry in enumerate(source):
        if not isinstance(entry, Item):
            raise InvalidInput(
                f"entry {position} of items is {type(entry).__name__}; give a table, or a list "
                "of nearline.Item alone",
                field="items",
            )
    return True


class _Refused:
    """Counts of what was refused, by reason, with the first example of each."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._examples: dict[str, str] = {}

    def add(self, reason: str, count: int, example: str) -> None:
        self._counts[reason] = self._counts.get(reason, 0) + count
        self._examples.setdefault(reason, example)

    def entries(self) -> tuple[Dropped, ...]:
        return tuple(
            Dropped(reason, count, self._examples[reason]) for reason, count in self._counts.items()
        )


def _filled(puts: Sequence[Any], row: tuple[Any, ...], now: float) -> dict[str, Any]:
    filled: dict[str, Any] = {"item_id": None, "timestamp": now}
    for put, value in zip(puts, row, strict=True):
        if value is not None:
            put(filled, value)
    return filled


def _collect(
    rows: Iterable[dict[str, Any]], cells: _Refused, now: float
) -> tuple[list[Item], _Refused]:
    """Make an item of each row's fields; count the cells and rows that are refused."""
    items: dict[str, Item] = {}
    dropped = _Refused()
    for number, filled in enumerate(rows):
        item = _item_of(filled, number, cells, dropped, now)
        if item is None:
            continue
        if item.item_id in items:
            dropped.add(_REPEATED, 1, f"row {number}: item_id={item.item_id!r:.80}")
        items[item.item_id] = item
    return list(items.values()), dropped


def _item_of(
    filled: dict[str, Any], number: int, cells: _Refused, dropped: _Refused, now: float
) -> Item | None:
    """Make an item, leaving out values that break a rule; None if that is its id."""
    while True:
        try:
            return check_item(Item(**filled), now=now)
        except InvalidInput as error:
            name, _, part = (error.field or "").partition(".")
            if name == "item_id" or filled.get(name) == now:
                missing = name == "item_id" and not filled[name]
                reason = "item_id is missing" if missing else f"{name} was refused"
                dropped.add(reason, 1, f"row {number}: {_shown(filled)}")
                return None
            raw = filled[name] if not part else filled[name][part]
            reason = f"{error.field} was refused; the item stays"
            cells.add(reason, 1, f"row {number}: {raw!r:.80}: {error.message}")
            filled = _without(filled, name, part, now)


def _without(filled: dict[str, Any], name: str, part: str, now: float) -> dict[str, Any]:
    """Return the fields of an item without one, or without one entry of it."""
    if part:
        return {**filled, name: {key: v for key, v in filled[name].items() if key != part}}
    if name == "categories":
        labels = [label for label in filled[name] if 1 <= len(label.encode()) <= MAX_LABEL_BYTES]
        if len(labels) < len(filled[name]) or len(labels) > MAX_LABELS:
            return {**filled, name: labels[:MAX_LABELS]}
    rest = {key: value for key, value in filled.items() if key != name}
    return {**rest, "timestamp": now} if name == "timestamp" else rest


def _shown(filled: dict[str, Any]) -> str:
    """Show the first fields of a row."""
    fields = {"item_id": filled["item_id"]} | {
        name: value for name, value in filled.items() if name not in ("item_id", "timestamp")
    }
    attributes = fields.pop("attributes", {})
    return ", ".join(f"{name}={value!r:.40}" for name, value in (fields | attributes).items())[:160]
