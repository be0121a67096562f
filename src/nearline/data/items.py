"""Reading of catalogues: tables with text, category, number and vector columns."""

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

_REPEATED = "item_id occurs again in a later row, which replaces this one"


@dataclass(frozen=True)
class ItemsReport(CleaningReport):
    """Report of reading a catalogue.

    Attributes
    ----------
    cells : tuple of Dropped
        Cells that could not be read; their items are kept without them.
    columns : dict of str to str
        What each column became: a field, ``labels``, ``attribute``, ``vector`` or ``left out``.
    left_out : dict of str to str
        Reasons by column, for columns that could not be read.
    """

    cells: tuple[Dropped, ...] = ()
    columns: dict[str, str] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """Return the report as values for JSON."""
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

    The name of a column, or else its content, determines what it becomes:

    - ``item_id``: the ID (whole numbers in decimal form); ``title`` or ``name``: the title;
      ``text`` or ``description``: the text; ``timestamp``: time of the entry; ``available``;
      ``expires_at``: time from which on the item is not available.
    - ``categories``, ``category``, ``genre``, ``genres``, ``tags``: labels, as lists, as lists
      in JSON, or as text separated by ``|``, ``;`` or ``,``.
    - numbers, times, booleans, and text that contains numbers: an attribute.
    - lists of numbers: a vector, which is missing if all numbers are zero; lists of text: an
      attribute.
    - other text: labels prefixed with the name of the column (``brand=Acme``) and an attribute,
      if values or parts of lists recur, otherwise part of the text.

    A cell or column that cannot be read is left out; a row is dropped only if its ID is invalid.

    Parameters
    ----------
    source : path, frame or sequence of Item
        Source for `read_table`, or items, which are validated.
    columns : mapping, optional
        Column names by field, for ``item_id`` and the other fields above.
    shared : mapping, optional
        Mapping of the interactions that belong to the catalogue. Fields that only items have are
        used, and ``item_id`` if the catalogue has that column.
    now : float
        Unix seconds: the time of entries without a ``timestamp``.

    Returns
    -------
    items : list of Item
        Items in the order of the source; if an item has several rows, the last is used.
    report : ItemsReport
        Rows, cells and columns that were dropped, with reasons.

    Raises
    ------
    InvalidInput
        ``item_id`` is missing or cannot be read, or no row is left.
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

        # Not flattened, since objects and lists of objects can contain labels.
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
    """Return whether `source` is a list of items; raise `InvalidInput` if only some entries are."""
    if not (isinstance(source, list | tuple) and source and isinstance(source[0], Item)):
        return False
    for position, entry in enumerate(source):
        if not isinstance(entry, Item):
            raise InvalidInput(
                f"entry {position} of items is {type(entry).__name__}; give a table, or a list "
                "in which all entries are nearline.Item",
                field="items",
            )
    return True


class _Refused:
    """Number of refused rows or cells by reason, with the first example of each."""

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
    """Create an item from the fields of each row; return the items and the dropped rows."""
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
    """Create an item without its invalid values; return None if its ID is invalid."""
    while True:
        try:
            return check_item(Item(**filled), now=now)
        except InvalidInput as error:
            name, _, part = (error.field or "").partition(".")
            if name == "item_id" or filled.get(name) == now:
                missing = name == "item_id" and not filled[name]
                reason = "item_id is missing" if missing else f"{name} is invalid"
                dropped.add(reason, 1, f"row {number}: {_shown(filled)}")
                return None
            raw = filled[name] if not part else filled[name][part]
            reason = f"{error.field} is invalid; the item is kept without it"
            cells.add(reason, 1, f"row {number}: {raw!r:.80}: {error.message}")
            filled = _without(filled, name, part, now)


def _without(filled: dict[str, Any], name: str, part: str, now: float) -> dict[str, Any]:
    """Return the fields of an item without the field `name`, or without its entry `part`."""
    if part:
        return {**filled, name: {key: v for key, v in filled[name].items() if key != part}}
    if name == "categories":
        labels = [label for label in filled[name] if 1 <= len(label.encode()) <= MAX_LABEL_BYTES]
        if len(labels) < len(filled[name]) or len(labels) > MAX_LABELS:
            return {**filled, name: labels[:MAX_LABELS]}
    rest = {key: value for key, value in filled.items() if key != name}
    return {**rest, "timestamp": now} if name == "timestamp" else rest


def _shown(filled: dict[str, Any]) -> str:
    """Return the first fields of a row as an example for the report."""
    fields = {"item_id": filled["item_id"]} | {
        name: value for name, value in filled.items() if name not in ("item_id", "timestamp")
    }
    attributes = fields.pop("attributes", {})
    return ", ".join(f"{name}={value!r:.40}" for name, value in (fields | attributes).items())[:160]
