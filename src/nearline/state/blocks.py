"""Index blocks of events column by column: the same result as event by event, but faster."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearline.schema import StoredBlock
from nearline.state.vocabulary import Vocabulary


class Columns(NamedTuple):
    """Indexed events, in order of arrival.

    Attributes
    ----------
    users : int64 [n]
    items : int32 [n]
    weights : float32 [n]
    times : float64 [n]
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
    """Index a block; new IDs are added to the vocabularies in order of appearance."""
    columns = block.events.columns
    return Columns(
        _mapped(columns["user_id"], users.add, np.int64),
        _mapped(columns["item_id"], items.add, np.int32),
        _mapped(columns["event"], weight, np.float32),
        columns["timestamp"].to_numpy().copy(),
    )


def _mapped(column: Any, value: Callable[[str], float], dtype: Any) -> Any:
    """Map a text column; `value` is called once per distinct text, in order of appearance."""
    codes = column.dictionary_encode()
    values = [value(text) for text in codes.dictionary.to_pylist()]
    return np.array(values, dtype=dtype)[codes.indices.to_numpy()]
