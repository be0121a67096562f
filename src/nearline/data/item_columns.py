"""Columns of a catalogue: the field of an item that each one fills, and how its cells are read."""

import json
import re
from collections.abc import Callable, Collection, Mapping, Sequence
from functools import partial
from itertools import islice
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from nearline.data.amounts import has_currency, read_amounts
from nearline.data.columns import (
    MISSING_IDS,
    name_columns,
    to_ids,
    to_seconds,
    without_missing,
)
from nearline.data.labels import NAMES, labels_in, separator_of, with_column
from nearline.errors import InvalidInput
from nearline.schema.arguments import mapping

REQUIRED = ("item_id",)
# Fields that interactions do not have.
OF_ITEMS_ALONE = ("title", "text", "categories", "available", "expires_at")
OPTIONAL = (*OF_ITEMS_ALONE, "timestamp")
# Fields by lower-case column name.
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
_TRUTHS = dict.fromkeys(("true", "t", "yes", "y", "1", "1.0", "in stock"), True) | dict.fromkeys(
    ("false", "f", "no", "n", "0", "0.0", "out of stock"), False
)
# A number with a currency or unit: "$1,299.00", "12.50 EUR", "40 %".
_SIGNS = r"[\s$\u20ac\u00a3\u00a5\u20b9%]*(?:USD|EUR|GBP|JPY|INR|CHF)?[\s]*"
_DECORATED = re.compile(
    rf"{_SIGNS}([+-]?(?:\d{{1,3}}(?:,\d{{3}})+|\d+)(?:\.\d+)?){_SIGNS}", re.IGNORECASE
)
# Columns of these names hold amounts, so that a comma may be the decimal mark.
_PRICES = re.compile(r"price|cost|amount|msrp|preis|prix|precio", re.IGNORECASE)
# A column of text is numeric if at most one in this number of cells is not a number.
_CELLS_AN_ODD_ONE = 10
# Number of cells from which the separator of labels is determined.
_LOOKED_AT = 10_000

# Adds the value of one cell, which is not null, to the fields of an item.
Put = Callable[[dict[str, Any], Any], None]
# Reports cells that were dropped: reason, number of cells, example.
Note = Callable[[str, int, str], None]


class Reader(NamedTuple):
    """How a column is read.

    Attributes
    ----------
    cells : pyarrow.Array
        Values, null if missing.
    put : callable
        Adds one value to the fields of an item.
    becomes : str
        What the column becomes, for the report.
    """

    cells: Any
    put: Put
    becomes: str


def item_fields(
    found: Sequence[str], columns: Mapping[str, str] | None, shared: Mapping[str, str] | None
) -> dict[str, str]:
    """Return the field of each column that has one, by mapping or by its name.

    All columns named in `columns` must exist. In `shared`, the mapping of interactions, ``item_id``
    is ignored if the catalogue does not have that column.
    """
    example = "{'item_id': 'sku'}"
    given = {
        field: name
        for field, name in mapping(shared or {}, "columns", example).items()
        if field in OF_ITEMS_ALONE or (field == "item_id" and name in found)
    }
    given |= mapping(columns or {}, "columns", example)
    named = name_columns(found, given, required=REQUIRED, optional=OPTIONAL)
    fields = {column: field for field, column in named.items()}
    for name in found:
        field = _USUAL.get(name.lower())
        # Several columns can contribute to the text and labels, but only one to the title.
        if field and name not in fields and not (field == "title" in fields.values()):
            fields[name] = field
    return fields


def without_item_fields(columns: Mapping[str, str] | None) -> dict[str, str]:
    """Remove the fields that only items have from a mapping for interactions and a catalogue."""
    given = mapping(columns or {}, "columns", "{'item_id': 'sku'}")
    return {field: name for field, name in given.items() if field not in OF_ITEMS_ALONE}


def reader_of(column: Any, name: str, field: str | None, note: Note) -> Reader:
    """Return the reader of a column, from the field that it fills or from its content.

    Raises
    ------
    InvalidInput
        The column cannot be read.
    """
    if pa.types.is_string(column.type):
        column = without_missing(column, MISSING_IDS)
    try:
        match field:
            case "item_id":
                return Reader(to_ids(column, field), partial(_put, field), field)
            case "timestamp" | "expires_at":
                return Reader(to_seconds(column, field), partial(_put, field), field)
            case "title":
                return Reader(column.cast(pa.string()), partial(_put, field), field)
            case "text":
                return Reader(column.cast(pa.string()), _put_text, field)
            case "available":
                return Reader(_truths(column, name, note), partial(_put, field), field)
            case "categories":
                return _labels(column, None)
            case _:
                return _reader_by_content(column, name, note)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
        raise InvalidInput(
            f"column {name!r} of type {column.type} cannot be read as {field} ({error}); "
            "convert or rename it",
            field=name,
        ) from error


def _reader_by_content(column: Any, name: str, note: Note) -> Reader:
    kind = column.type
    attribute = partial(_put_attribute, name)
    if pa.types.is_string(kind):
        return _reader_of_text(column, name, note)
    if pa.types.is_boolean(kind) or pa.types.is_integer(kind) or pa.types.is_null(kind):
        return Reader(column, attribute, "attribute")
    if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
        return Reader(column.cast(pa.float64()), attribute, "attribute")
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        return Reader(to_seconds(column, name), attribute, "attribute")
    if _is_list(kind) and (
        pa.types.is_integer(kind.value_type) or pa.types.is_floating(kind.value_type)
    ):
        return Reader(column, partial(_put_vector, name), "vector")
    if _is_list(kind) and kind.value_type in (pa.string(), pa.large_string()):
        return Reader(column, attribute, "attribute")
    inner = kind.value_type if _is_list(kind) else kind
    if pa.types.is_struct(inner) and not NAMES.isdisjoint(entry.name for entry in inner):
        return _labels(column, name)
    raise InvalidInput(
        f"column {name!r} is of type {kind}; text, numbers, times and lists of text or numbers "
        "can be read. Convert or remove it",
        field=name,
    )


def _reader_of_text(column: Any, name: str, note: Note) -> Reader:
    column = without_missing(column)
    numbers = _numbers(column, name, note)
    if numbers is not None:
        return Reader(numbers, partial(_put_attribute, name), "attribute")
    given = len(column) - column.null_count
    vectors = _vectors(column)
    if vectors is not None:
        return Reader(vectors, partial(_put_vector, name), "vector")
    reader = _labels(column, name)
    if _TRUTHS.keys() >= {cell.lower() for cell in pc.unique(column).to_pylist() if cell}:
        return reader
    if 2 * pc.count_distinct(column).as_py() <= given:
        return reader
    sample = [cell for cell in column.slice(0, _LOOKED_AT).to_pylist() if cell]
    lists = all(cell.lstrip().startswith(("[", "{")) for cell in sample)
    if lists or separator_of(sample, named=False) is not None:
        return reader
    return Reader(column, _put_text, "text")


def _labels(column: Any, name: str | None) -> Reader:
    """Return a reader of labels.

    Unless `name` is None, they are prefixed with it and are also an attribute of that name.
    """
    kind, separator = column.type, None
    if pa.types.is_string(kind):
        cells = islice((cell for cell in column.to_pylist() if cell), _LOOKED_AT)
        separator = separator_of(cells, named=name is None)
    elif not (_is_list(kind) or pa.types.is_struct(kind)):
        column = to_ids(column, "categories")
    becomes = "labels" if name is None else f"labels {name}=..."
    return Reader(column, partial(_put_labels, name, separator), becomes)


def _numbers(column: Any, name: str, note: Note) -> Any:
    """Return the cells of a text column as float64; None unless almost all are numbers."""
    try:
        return column.cast(pa.float64())
    except pa.ArrowInvalid:
        codes = column.combine_chunks().dictionary_encode()
    texts = codes.dictionary.to_pylist()
    priced = _PRICES.search(name) or any(map(has_currency, texts))
    amounts = read_amounts(texts) if priced else {}
    numbers = pa.array([amounts.get(text, _number(text)) for text in texts], pa.float64())
    found = numbers.take(codes.indices)
    odd = pc.and_(pc.is_null(found), pc.is_valid(column))
    n_odd, n_numbers = pc.sum(odd).as_py() or 0, len(found) - found.null_count
    # A single cell that is not a number does not turn a numeric column into text.
    if n_odd * (_CELLS_AN_ODD_ONE - 1) > n_numbers and not (n_odd == 1 and n_numbers >= 3):
        return None
    if n_odd:
        _note_cells(column, odd, f"{name} is not a number", note)
    return found


def _vectors(column: Any) -> Any:
    """Cells that all hold lists of numbers with points, as lists; None for other columns."""
    cells = column.to_pylist()
    first = next((cell for cell in cells if cell), "")
    if not (first.startswith("[") and "." in first):
        return None
    try:
        return pa.array(
            [json.loads(cell) if cell else None for cell in cells], pa.list_(pa.float64())
        )
    except (ValueError, TypeError, pa.ArrowException):
        return None


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        plain = _DECORATED.fullmatch(text)
        return float(plain.group(1).replace(",", "")) if plain else None


def _truths(column: Any, name: str, note: Note) -> Any:
    """Return cells as booleans; null for a text that means neither true nor false."""
    if not pa.types.is_string(column.type):
        return column.cast(pa.bool_())
    column = without_missing(column)
    found = pa.array(
        [_TRUTHS.get(cell.strip().lower()) if cell else None for cell in column.to_pylist()],
        pa.bool_(),
    )
    odd = pc.and_(pc.is_null(found), pc.is_valid(column))
    n_odd = pc.sum(odd).as_py() or 0
    if n_odd and found.null_count == len(found):
        example = column.filter(odd)[0].as_py()
        raise InvalidInput(
            f"column {name!r} contains {example!r:.60}, which does not say whether an item is "
            "available; write true or false",
            field=name,
        )
    if n_odd:
        _note_cells(column, odd, f"{name} is neither true nor false", note)
    return found


def _note_cells(column: Any, odd: Any, reason: str, note: Note) -> None:
    first = pc.index(odd, True).as_py()
    example = f"row {first}: {column[first].as_py()!r:.80}"
    note(f"{reason}; the item is kept without it", pc.sum(odd).as_py(), example)


def _is_list(kind: Any) -> bool:
    return bool(
        pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind)
    )


def _put(field: str, filled: dict[str, Any], value: Any) -> None:
    filled[field] = value


def _put_text(filled: dict[str, Any], value: str) -> None:
    filled["text"] = f"{filled['text']} {value}" if "text" in filled else value


def _put_labels(
    column: str | None, separator: str | None, filled: dict[str, Any], value: object
) -> None:
    labels = labels_in(value, separator)
    kept: Collection[str] = filled.setdefault("categories", [])
    more = labels if column is None else with_column(column, labels)
    filled["categories"] = list(dict.fromkeys((*kept, *more)))
    if column is not None and labels:  # by its name, an expression finds an attribute
        _put_attribute(column, filled, labels[0] if len(labels) == 1 else labels)


def _put_attribute(name: str, filled: dict[str, Any], value: Any) -> None:
    if value == value:  # false for NaN, which other libraries use for missing values
        filled.setdefault("attributes", {})[name] = value


def _put_vector(name: str, filled: dict[str, Any], value: list[float]) -> None:
    vector = [float("nan") if entry is None else float(entry) for entry in value]
    if any(vector):
        filled.setdefault("vectors", {})[name] = vector
