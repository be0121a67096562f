"""Conversion of tables to events, each with a key that makes imports idempotent."""

from collections.abc import Iterator
from hashlib import blake2b
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nearline.data.notes import notes_of
from nearline.schema import EventBlock

_KEY_BYTES = 16
_FIELDS = ("user_id", "item_id", "timestamp", "event", "value")
# Number of events of a block, which is committed at once in about 0.2 seconds.
BLOCK = 100_000
# Smallest float that Python writes with an exponent.
_LAST_PLAIN = 1e16


def event_ids(table: pa.Table, *, row_numbers: bool = False) -> pa.Array:
    """Return the key of each row: its `event_id`, or a digest of its content.

    The digest covers user, item, time, kind and value. "-1" is appended for the second of two equal
    rows, "-2" for the third. The same file therefore always has the same keys, and a log, which
    ignores known keys, stores it once.

    If the source has no times, the digest does not cover the time, so that the key of a row does
    not change when rows are inserted before it. With `row_numbers`, it covers the row number
    instead, which gives the keys in stores of versions before 0.2.
    """
    undated = notes_of(table).undated and not row_numbers
    keys = _number_equal(_digests(table, undated=undated))
    if "event_id" in table.column_names:
        return pc.coalesce(table["event_id"].combine_chunks(), keys)
    return keys


def content_keys(table: pa.Table) -> pa.Array:
    """Return a digest of each row that does not depend on `event_id`; equal rows have equal keys.

    If the source has no times, the digest does not cover the time.
    """
    return _digests(table, undated=notes_of(table).undated)


def to_events(
    table: pa.Table, *, size: int = BLOCK, distinct: bool = False
) -> Iterator[EventBlock]:
    """Yield the rows of a cleaned table as events, in order, in blocks of at most `size`.

    Parameters
    ----------
    distinct : bool
        Whether no two rows are equal, as in a table without `event_id` that `clean` returned. The
        keys are then computed block by block, while the caller stores the previous blocks. It is
        ignored for a source without times, whose rows may be equal.
    """
    table = table.combine_chunks()
    distinct = distinct and not notes_of(table).undated
    keys = None if distinct else event_ids(table)
    for start in range(0, table.num_rows, size):
        rows = table.slice(start, size)
        columns = {name: rows[name].combine_chunks() for name in _FIELDS}
        if "session_id" in table.column_names:
            columns["session_id"] = rows["session_id"].combine_chunks()
        columns["event_id"] = _digests(rows) if keys is None else keys.slice(start, size)
        yield EventBlock(pa.record_batch(columns))


def _digests(table: pa.Table, *, undated: bool = False) -> Any:
    """Return a digest of each row: 32 hexadecimal digits."""
    columns = [
        _number_texts(column) if pa.types.is_floating(column.type) else column
        for column in (table[name].combine_chunks() for name in _FIELDS)
    ]
    if notes_of(table).key_event:  # the kind of event before `low_rating` replaced it
        columns[_FIELDS.index("event")] = pa.repeat(notes_of(table).key_event, table.num_rows)
    if undated:
        columns[_FIELDS.index("timestamp")] = pa.repeat("", table.num_rows)
    # IDs contain no NUL, so it separates the fields unambiguously.
    texts = pc.binary_join_element_wise(*columns, "\0").cast(pa.binary())
    digests = [blake2b(text, digest_size=_KEY_BYTES).digest() for text in texts.to_pylist()]
    digits = b"".join(digests).hex().encode()
    starts = np.arange(len(digests) + 1, dtype=np.int32) * np.int32(2 * _KEY_BYTES)
    return pa.StringArray.from_buffers(len(digests), pa.py_buffer(starts), pa.py_buffer(digits))


def _number_texts(column: Any) -> Any:
    """Return the `repr` of each number; ``None`` for null."""
    if column.null_count == len(column):
        return pa.repeat("None", len(column))
    numbers = pc.fill_null(column, 0.0).to_numpy()
    with np.errstate(invalid="ignore"):
        whole = (np.abs(numbers) < _LAST_PLAIN) & (np.floor(numbers) == numbers)
    whole &= ~(np.signbit(numbers) & (numbers == 0))
    plain = pa.array(np.where(whole, numbers, 0).astype(np.int64)).cast(pa.string())
    texts = pc.binary_join_element_wise(plain, "0", ".")
    if not whole.all():
        odd = pa.array(list(map(str, numbers[~whole].tolist())), pa.string())
        texts = pc.replace_with_mask(texts, pa.array(~whole), odd)
    return pc.if_else(column.is_valid(), texts, "None")


def _number_equal(keys: Any) -> Any:
    """Append the occurrence number to each key that occurred before."""
    codes = keys.dictionary_encode().indices.to_numpy()
    repeated = np.flatnonzero(np.bincount(codes)[codes] > 1)
    if len(repeated) == 0:
        return keys
    texts = keys.to_pylist()
    seen: dict[int, int] = {}
    for row in repeated.tolist():
        times = seen.get(codes[row], 0)
        seen[codes[row]] = times + 1
        if times:
            texts[row] = f"{texts[row]}-{times}"
    return pa.array(texts, pa.string())
