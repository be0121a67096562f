"""Reading of JSON lines and JSON lists, and the columns inside objects."""

import json as standard_json
import re
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
from pyarrow import json

from nearline.data.notes import LineNumbers, SourceNotes
from nearline.data.report import Dropped

_SHOWN = 120
_EXAMPLES = 3
# Fields of objects become columns down to this depth.
_DEPTH = 5
_MIXED = re.compile(r"Column\(/([^/)]+)\) changed from \w+ to \w+")
_NOT_JSON = "line is not a JSON object"


def read_json_table(path: Path) -> tuple[pa.Table, SourceNotes]:
    """Read a file with one JSON object per line, or with a list of objects.

    Lines that are not objects are added to the notes. Exceptions of Arrow pass through.
    """
    with pa.input_stream(str(path), compression="detect") as stream:
        is_list = stream.read(64).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"[")
    if is_list:
        return _read_list(path)
    try:
        return _read(str(path)), SourceNotes(lines=LineNumbers([(0, 1)]))
    except pa.ArrowInvalid as error:
        data, notes = _whole_lines(path)
        if not data:
            raise pa.ArrowInvalid(f"no line is a JSON object; {error}") from error
    while True:
        try:
            return _read(data), notes
        except pa.ArrowInvalid as error:
            mixed = _MIXED.search(str(error))
            if mixed is None or mixed[1] in notes.mixed:
                raise
            notes.mixed[mixed[1]] = str(error)
            data = _as_text(data, mixed[1])


def _as_text(data: bytes, column: str) -> bytes:
    """Convert the numbers in a column that also contains text to text."""
    lines = []
    for line in data.split(b"\n"):
        entry = msgspec.json.decode(line)
        value = entry.get(column)
        if value is not None and not isinstance(value, str):
            entry[column] = msgspec.json.encode(value).decode()
        lines.append(msgspec.json.encode(entry))
    return b"\n".join(lines)


def _read(source: str | bytes) -> pa.Table:
    def stream() -> Any:
        return pa.BufferReader(source) if isinstance(source, bytes) else source

    table = json.read_json(stream(), parse_options=json.ParseOptions(newlines_in_values=False))
    # Arrow reads text that looks like a date as a time, but an ID must not change.
    fields = [pa.field(each.name, _without_times(each.type)) for each in table.schema]
    changed = [each for each in fields if each.type != table.schema.field(each.name).type]
    if not changed:
        return table
    parse = json.ParseOptions(newlines_in_values=False, explicit_schema=pa.schema(changed))
    return json.read_json(stream(), parse_options=parse).select(table.column_names)


def _without_times(kind: Any) -> Any:
    if pa.types.is_timestamp(kind):
        return pa.string()
    if pa.types.is_struct(kind):
        return pa.struct([pa.field(each.name, _without_times(each.type)) for each in kind])
    if pa.types.is_list(kind):
        return pa.list_(_without_times(kind.value_type))
    return kind


def _read_list(path: Path) -> tuple[pa.Table, SourceNotes]:
    with pa.input_stream(str(path), compression="detect") as stream:
        data = stream.read()
    try:
        entries = msgspec.json.decode(data.removeprefix(b"\xef\xbb\xbf"))
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise pa.ArrowInvalid(f"the list cannot be read: {error}") from error
    good = [entry for entry in entries if isinstance(entry, dict)]
    if not good:
        raise pa.ArrowInvalid("the list contains no JSON object")
    notes = SourceNotes()
    if len(good) < len(entries):
        bad = next(repr(entry) for entry in entries if not isinstance(entry, dict))
        entry = Dropped("entry is not a JSON object", len(entries) - len(good), bad[:_SHOWN])
        notes.dropped.append(entry)
    return _read(b"\n".join(map(msgspec.json.encode, good))), notes


def _whole_lines(path: Path) -> tuple[bytes, SourceNotes]:
    """Return the lines that are JSON objects, and notes about the others."""
    with pa.input_stream(str(path), compression="detect") as stream:
        lines = stream.read().removeprefix(b"\xef\xbb\xbf").split(b"\n")
    kept, numbers, bad = [], [], []
    for number, raw in enumerate(lines, 1):
        line = raw.strip()
        if not line:
            continue
        try:
            # The decoder of the standard library accepts NaN, which pandas and Python write.
            entry = standard_json.loads(line)
        except (ValueError, RecursionError):
            entry = None
        if isinstance(entry, dict):
            odd = b"NaN" in line or b"Infinity" in line
            kept.append(msgspec.json.encode(entry) if odd else line)
            numbers.append(number)
        else:
            bad.append((number, line))
    notes = SourceNotes(lines=LineNumbers.of_lines(numbers))
    if bad:
        shown = "; ".join(
            f"line {number}: {line[:_SHOWN].decode(errors='replace')!r}"
            for number, line in bad[:_EXAMPLES]
        )
        notes.dropped.append(Dropped(_NOT_JSON, len(bad), shown))
    return b"\n".join(kept), notes


def flatten(table: pa.Table) -> pa.Table:
    """Convert each field inside an object to a column with the name ``object.field``.

    For a list of objects, each field becomes a column of lists.
    """
    for _ in range(_DEPTH):
        columns: dict[str, Any] = {}
        changed = False
        for name, column in zip(table.column_names, table.columns, strict=True):
            kind = column.type
            if pa.types.is_struct(kind) and kind.num_fields:
                parts = column.flatten()
            elif pa.types.is_list(kind) and pa.types.is_struct(kind.value_type):
                parts = _list_fields(column.combine_chunks())
                kind = kind.value_type
            else:
                columns[name] = column
                continue
            changed = True
            names = [f"{name}.{field.name}" for field in kind]
            columns |= dict(zip(names, parts, strict=True))
        if not changed:
            break
        table = pa.table(columns)
    return table


def _list_fields(lists: Any) -> list[Any]:
    """Convert a column of lists of objects to a column of lists for each field."""
    if isinstance(lists, pa.ChunkedArray):
        lists = pa.concat_arrays(lists.chunks)
    values = lists.values
    return [
        pa.ListArray.from_arrays(lists.offsets, part, mask=lists.is_null())
        for part in values.flatten()
    ]


def explode(table: pa.Table, names: list[str]) -> pa.Table:
    """Return one row per entry of the list columns `names`; lists of a row have equal lengths."""
    lists = {name: pa.concat_arrays(table[name].chunks) for name in names}
    parents = pa.compute.list_parent_indices(lists[names[0]])
    columns = {
        name: pa.compute.list_flatten(lists[name]) if name in lists else table[name].take(parents)
        for name in table.column_names
    }
    return pa.table(columns)
