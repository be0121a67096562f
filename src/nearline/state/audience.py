"""How many users an item has."""

import numpy as np
from numpy.typing import NDArray

from nearline.state.state import State


def users_with(state: State, items: NDArray[np.int32]) -> NDArray[np.int64]:
    """Return in how many stored histories each of some distinct items occurs: int64 [n].

    All histories are read, which takes about 10 nanoseconds per event.
    """
    rows = state.histories_of(state.user_ids())
    users = np.repeat(np.arange(len(rows), dtype=np.int64), np.diff(rows.indptr))
    place = np.full(max(state.items.slots, int(rows.items.max(initial=0)) + 1), -1, dtype=np.int64)
    place[items] = np.arange(len(items))
    found = place[rows.items]
    kept = found >= 0
    pairs = np.unique(users[kept] * max(1, len(items)) + found[kept])
    return np.bincount(pairs % max(1, len(items)), minlength=len(items))
