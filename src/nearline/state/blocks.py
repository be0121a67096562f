"""Events as columns of indices; blocks of events are converted by column, which is faster."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearline.schema import Record, StoredBlock
from nearline.schema.histories import Histories
from nearline.state.vocabulary import Vocabulary


class Columns(NamedTuple):
    """Events with indices instead of IDs, in order of arrival.

    Attributes
    ----------
    users : int64 [n]
        Index of each user.
    items : int32 [n]
        Index of each item.
    weights : float32 [n]
        Event weights.
    times : float64 [n]
        Times in Unix seconds.
    """

    users: NDArray[np.int64]
    items: NDArray[np.int32]
    weights: NDArray[np.float32]
    times: NDArray[np.float64]


def block_columns(
    block: StoredBlock,
    users: Vocabulary,
    items: Vocabulary,
    weight: Callable[[str], float],
) -> Columns:
    """Convert the IDs of a block of events to indices.

    Parameters
    ----------
    block : StoredBlock
        Events.
    users, items : Vocabulary
        Vocabularies, to which new IDs are added in the order of occurrence.
    weight : callable
        Maps the kind of an event to its weight.
    """
    columns = block.events.columns
    return Columns(
        _mapped(columns["user_id"], users.add, np.int64),
        _mapped(columns["item_id"], items.add, np.int32),
        _mapped(columns["event"], weight, np.float32),
        columns["timestamp"].to_numpy().copy(),
    )


def _mapped(column: Any, value: Callable[[str], float], dtype: Any) -> Any:
    """Map a text column; `value` is called once per distinct text, in the order of occurrence."""
    codes = column.dictionary_encode()
    values = [value(text) for text in codes.dictionary.to_pylist()]
    return np.array(values, dtype=dtype)[codes.indices.to_numpy()]


def check_offsets(batch: Sequence[tuple[int, Record]], least: int) -> None:
    """Raise ValueError unless offsets are ascending and begin at `least` or later."""
    # The offsets inside a block are consecutive.
    for offset, _ in batch[:1] if isinstance(batch, StoredBlock) else batch:
        if offset < least:
            raise ValueError(
                f"offset {offset} is below {least}; offsets must be ascending: apply the log "
                "from State.offset on, in order"
            )
        least = offset + 1


def columns_of(rows: list[tuple[int, int, float, float]]) -> Columns:
    """Convert rows of (user, item, weight, time) to columns."""
    users, items, weights, times = zip(*rows, strict=True) if rows else ((), (), (), ())
    return Columns(
        np.array(users, dtype=np.int64),
        np.array(items, dtype=np.int32),
        np.array(weights, dtype=np.float32),
        np.array(times, dtype=np.float64),
    )


def by_user(columns: Columns, *, by_time: bool = False) -> tuple[NDArray[np.int64], Histories]:
    """Return the users, ascending, and their events in order of arrival or of time."""
    users, items, weights, times = columns
    order = np.lexsort((times, users)) if by_time else np.argsort(users, kind="stable")
    who, sizes = np.unique(users, return_counts=True)
    indptr = np.concatenate(([0], np.cumsum(sizes))).astype(np.int64)
    return who, Histories(indptr, items[order], weights[order], times[order])
