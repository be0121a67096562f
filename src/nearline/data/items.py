"""Catalogues: tables with text, category, number and vector columns to items."""

import ast
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from nearline.data.columns import name_columns, to_ids, to_seconds, without_missing
from nearline.data.report import CleaningReport, Dropped
from nearline.data.sources import Source, read_table
from nearline.errors import InvalidInput
from nearline.schema import Item, check_item

REQUIRED = ("item_id",)
OPTIONAL = ("title", "text", "categories", "timestamp", "available")
# What columns of these names hold, whatever their case.
_USUAL = {
    "name": "title",
    "title": "title",
    "text": "text",
    "description": "text",
    "categories": "categories",
    "category": "categories",
    "genre": "categories",
    "genres": "categories",
    "tags": "categories",
}
_REPEATED = "item_id repeats; the last row holds"
# Puts the value of one column (never null) into the fields of an item.
_Put = Callable[[dict[str, Any], Any], None]


def read_items(
    source: Source, columns: Mapping[str, str] | None = None, *, now: float
) -> tuple[list[Item], CleaningReport]:
    """Read a catalogue.

    What a column becomes follows from its name or else from what it holds:

    - ``item_id``: the id (whole numbers in decimal form); ``title`` or ``name``: the title;
      ``text`` or ``description``: the text; ``timestamp``: time of the entry; ``available``.
    - ``categories``, ``category``, ``genre``, ``genres``, ``tags``: labels, a list or text
      separated by ``|``.
    - numbers, times, true and false, and text of which every value is a number: an attribute.
    - lists of numbers: a vector (one of zeros counts as missing); lists of text: an attribute.
    - other text: labels if at most half of the values are distinct, else part of the text.

    Parameters
    ----------
    source : path or frame
        As for `read_table`.
    columns : mapping, optional
        Field to column, for ``item_id`` and the named fields above.
    now : float
        Unix seconds: the time of entries without a ``timestamp``.

    Returns
    -------
    items : list of Item
        In the order of the source; of several rows for one item the last.
    report : CleaningReport
        Rows that no item could be made of, and why.

    Raises
    ------
    InvalidInput
        ``item_id`` is missing, a column is of a type that cannot be read, or no row is good.
    """
    fields: dict[str, str] = {}

    def pick(found: Sequence[str]) -> Collection[str]:
        fields.update(_fields(found, columns))
        return found

    table = read_table(source, pick=pick)
    readers = [_reader(table[name], name, fields.get(name)) for name in table.column_names]
    puts = [put for _, put in readers]
    rows = zip(*(cells.to_pylist() for cells, _ in readers), strict=True)
    items: dict[str, Item] = {}
    refused = _Refused()
    for number, row in enumerate(rows):
        filled: dict[str, Any] = {"item_id": None, "timestamp": now}
        for put, value in zip(puts, row, strict=True):
            if value is not None:
                put(filled, value)
        try:
            item = check_item(Item(**filled), now=now)
        except InvalidInput as error:
            refused.add(f"{error.field} was refused", f"row {number}: {error.message}")
            continue
        if item.item_id in items:
            refused.add(_REPEATED, f"row {number}: item_id={item.item_id!r:.80}")
        items[item.item_id] = item
    report = CleaningReport(table.num_rows, len(items), refused.entries())
    if not items:
        raise InvalidInput(f"no usable item is left: {report}")
    return list(items.values()), report


class _Refused:
    """Counts of refused rows by reason, with the first message of each."""

    def __init__(self) -> None:
        self._counts: dict[str, int] = {}
        self._examples: dict[str, str] = {}

    def add(self, reason: str, example: str) -> None:
        self._counts[reason] = self._counts.get(reason, 0) + 1
        self._examples.setdefault(reason, example)

    def entries(self) -> tuple[Dropped, ...]:
        return tuple(
            Dropped(reason, count, self._examples[reason]) for reason, count in self._counts.items()
        )


def _fields(found: Sequence[str], columns: Mapping[str, str] | None) -> dict[str, str]:
    """Column to field, for the columns that have one by mapping or by name."""
    named = name_columns(found, columns, required=REQUIRED, optional=OPTIONAL)
    fields = {column: field for field, column in named.items()}
    for name in found:
        field = _USUAL.get(name.lower())
        # Texts and labels add up; of titles there is one.
        if field and name not in fields and not (field == "title" in fields.values()):
            fields[name] = field
    return fields


def _reader(column: Any, name: str, field: str | None) -> tuple[Any, _Put]:
    """Give the cells of a column (null where missing) and what puts one into an item."""
    if pa.types.is_string(column.type):
        column = pc.if_else(pc.equal(column, ""), pa.scalar(None, pa.string()), column)
    try:
        match field:
            case "item_id":
                return to_ids(column, field), partial(_put, field)
            case "timestamp":
                return to_seconds(column, field), partial(_put, field)
            case "title":
                return column.cast(pa.string()), partial(_put, field)
            case "text":
                return column.cast(pa.string()), _put_text
            case "available":
                return column.cast(pa.bool_()), partial(_put, field)
            case "categories":
                return (column if _is_list(column.type) else to_ids(column, field)), _put_labels
            case _:
                return _reader_by_content(column, name)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InvalidInput(
            f"column {name!r} of type {column.type} cannot be the {field} of items ({error}); "
            "convert it, or give it another name",
            field=name,
        ) from error


def _reader_by_content(column: Any, name: str) -> tuple[Any, _Put]:
    kind = column.type
    if pa.types.is_string(kind):
        column = without_missing(column)
        try:
            return column.cast(pa.float64()), partial(_put_attribute, name)
        except pa.ArrowInvalid:
            distinct, given = pc.count_distinct(column).as_py(), len(column) - column.null_count
            return column, _put_labels if 2 * distinct <= given else _put_text
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_null(kind):
        return column, partial(_put_attribute, name)
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return column.cast(pa.float64()), partial(_put_attribute, name)
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return to_seconds(column, name), partial(_put_attribute, name)
    if _is_list(kind) and (
        pa.types.is_integer(kind.value_type) or pa.types.is_floating(kind.value_type)
    ):
        return column, partial(_put_vector, name)
    if _is_list(kind) and kind.value_type in (pa.string(), pa.large_string()):
        return column, partial(_put_attribute, name)
    raise InvalidInput(
        f"column {name!r} is of type {kind}; text, numbers, times and lists of text or numbers "
        "can be read. Leave it out or convert it",
        field=name,
    )


def _is_list(kind: Any) -> bool:
    return bool(
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )


def _put(field: str, filled: dict[str, Any], value: Any) -> None:
    filled[field] = value


def _put_text(filled: dict[str, Any], value: str) -> None:
    filled["text"] = f"{filled['text']} {value}" if "text" in filled else value


def _put_labels(filled: dict[str, Any], value: str | list[Any]) -> None:
    labels = _split_labels(value) if isinstance(value, str) else value
    kept = filled.setdefault("categories", [])
    for label in labels:
        text = "" if label is None else str(label).strip()
        if text and text not in kept:
            kept.append(text)


def _split_labels(text: str) -> list[Any]:
    """Read a cell that holds a list as Python or JSON writes it, else split it at each bar."""
    if text.lstrip().startswith("["):
        try:
            found = ast.literal_eval(text.strip())
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            found = None
        if isinstance(found, list) and all(isinstance(label, str) for label in found):
            return found
    return text.split("|")


def _put_attribute(name: str, filled: dict[str, Any], value: Any) -> None:
    if value == value:  # NaN, which other libraries use for "missing", is not
        filled.setdefault("attributes", {})[name] = value


def _put_vector(name: str, filled: dict[str, Any], value: list[float]) -> None:
    vector = [float("nan") if entry is None else float(entry) for entry in value]
    if any(vector):
        filled.setdefault("vectors", {})[name] = vector
