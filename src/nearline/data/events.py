"""Tables to events for the log, each with a key that makes a second import harmless."""

from collections.abc import Iterator
from hashlib import blake2b
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from nearline.schema import Event

_KEY_BYTES = 16


def event_ids(table: pa.Table) -> pa.Array:
    """Key of each row: its `event_id`, or else a digest of what it says.

    The digest covers user, item, time, kind and value; the second of two equal rows gets "-1"
    behind it, the third "-2". So the same file gives the same keys each time it is read, and a
    log that drops known keys stores it once.
    """
    columns = (table[name].to_pylist() for name in _FIELDS)
    digests = np.empty(table.num_rows, dtype=f"S{2 * _KEY_BYTES}")
    for row, fields in enumerate(zip(*columns, strict=True)):
        # Ids hold no NUL, so the fields cannot run into each other.
        text = "\0".join(map(str, fields))
        digests[row] = blake2b(text.encode(), digest_size=_KEY_BYTES).hexdigest().encode()
    keys = pa.array(digests).cast(pa.string())
    keys = _number_equal(keys, digests)
    if "event_id" in table.column_names:
        return pc.coalesce(table["event_id"].combine_chunks(), keys)
    return keys


def to_events(table: pa.Table, *, size: int = 10_000) -> Iterator[list[Event]]:
    """Yield the rows of a cleaned table as events, in order, in lists of at most `size`."""
    keyed = pa.table({name: table[name] for name in _FIELDS} | {"event_id": event_ids(table)})
    if "session_id" in table.column_names:
        keyed = keyed.append_column("session_id", table["session_id"])
    for start in range(0, keyed.num_rows, size):
        yield [Event(**row) for row in keyed.slice(start, size).to_pylist()]


_FIELDS = ("user_id", "item_id", "timestamp", "event", "value")


def _number_equal(keys: Any, digests: Any) -> Any:
    """Append the occurrence number to each key that occurred before."""
    _, which, counts = np.unique(digests, return_inverse=True, return_counts=True)
    repeated = np.flatnonzero(counts[which] > 1)
    if len(repeated) == 0:
        return keys
    texts = keys.to_pylist()
    seen: dict[int, int] = {}
    for row in repeated.tolist():
        times = seen.get(which[row], 0)
        seen[which[row]] = times + 1
        if times:
            texts[row] = f"{texts[row]}-{times}"
    return pa.array(texts, pa.string())
