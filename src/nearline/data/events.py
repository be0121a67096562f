"""Tables to events for the log, each with a key that makes a second import harmless."""

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
# Events a block: one commit, a fifth of a second of writing.
BLOCK = 100_000
# From here on Python writes a float with an exponent.
_LAST_PLAIN = 1e16


def event_ids(table: pa.Table, *, row_numbers: bool = False) -> pa.Array:
    """Key of each row: its `event_id`, or else a digest of what it says.

    The digest covers user, item, time, kind and value; the second of two equal rows gets "-1"
    behind it, the third "-2". So the same file gives the same keys each time it is read, and a
    log that drops known keys stores it once.

    Where the source has no times the digest leaves out the time, so that a row keeps its key when
    the source grows before it; with `row_numbers` it covers the number of the row instead, as
    versions before 0.2 did.
    """
    undated = notes_of(table).undated and not row_numbers
    keys = _number_equal(_digests(table, undated=undated))
    if "event_id" in table.column_names:
        return pc.coalesce(table["event_id"].combine_chunks(), keys)
    return keys


def to_events(
    table: pa.Table, *, size: int = BLOCK, distinct: bool = False
) -> Iterator[EventBlock]:
    """Yield the rows of a cleaned table as events, in order, in blocks of at most `size`.

    Parameters
    ----------
    distinct : bool
        No two rows are equal, as `clean` leaves a table without `event_id`: then keys are made
        block by block, while the caller stores the blocks before. Rows of a source without times
        may be equal whatever is said here.
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
    """32 hexadecimal digits a row."""
    columns = [
        _number_texts(column) if pa.types.is_floating(column.type) else column
        for column in (table[name].combine_chunks() for name in _FIELDS)
    ]
    if notes_of(table).key_event:  # the kind before ratings were looked at
        columns[_FIELDS.index("event")] = pa.repeat(notes_of(table).key_event, table.num_rows)
    if undated:
        columns[_FIELDS.index("timestamp")] = pa.repeat("", table.num_rows)
    # Ids hold no NUL, so the fields cannot run into each other.
    texts = pc.binary_join_element_wise(*columns, "\0").cast(pa.binary())
    digests = [blake2b(text, digest_size=_KEY_BYTES).digest() for text in texts.to_pylist()]
    digits = b"".join(digests).hex().encode()
    starts = np.arange(len(digests) + 1, dtype=np.int32) * np.int32(2 * _KEY_BYTES)
    return pa.StringArray.from_buffers(len(digests), pa.py_buffer(starts), pa.py_buffer(digits))


def _number_texts(column: Any) -> Any:
    """Each number as Python writes it; ``None`` where it is null."""
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
