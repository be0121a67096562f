"""The lists of many users: the pipeline, block by block.

Models score a block on all cores, and the memory beside the result is that of one block, however
many users there are.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

import numpy as np
import pyarrow as pa

from nearline.common.progress import Progress, no_progress
from nearline.data import Histories, Weight, histories_for
from nearline.recommend.lists import Lists, View
from nearline.recommend.pipeline import make_query, run
from nearline.schema import ListOptions, check_id, check_options
from nearline.schema.arguments import as_list
from nearline.state import State

# Users scored at once: enough to keep all cores busy, few enough to bound the memory.
BLOCK = 4_096


def recommend_many(
    users: Iterable[str] | None,
    options: ListOptions,
    view: View,
    *,
    given: pa.Table | None = None,
    weight: Weight,
    progress: Progress = no_progress,
) -> dict[str, pa.ChunkedArray]:
    """Make the lists of many users: columns `user_id`, `item_id`, `score`, `rank`, a row an item.

    Parameters
    ----------
    users : iterable of str or None
        None means everyone: the users in `given`, or else all users with a history.
    options : ListOptions
        The same for all users.
    given : pyarrow.Table or None
        Interactions in the canonical form that replace the known histories of the users.
    weight : callable
        Weight of a kind of event, for `given`.

    Raises
    ------
    InvalidInput
        An option or an id is out of bounds.
    """
    check_options(options)
    state = view.state
    if users is None:
        users = state.user_ids() if given is None else given["user_id"].unique().to_pylist()
    user_ids = [check_id(user, "users") for user in as_list(users, "users", "user ids")]
    if given is None:
        histories = partial(_known_histories, user_ids, state)
    else:
        rows = histories_for(state.items.table(), given, user_ids, weight)
        histories = partial(_rows, rows)
    blocks = _blocks(histories, len(user_ids), options, view, progress)
    return _columns(user_ids, blocks, view)


def _known_histories(user_ids: Sequence[str], state: State, first: int, last: int) -> Histories:
    return state.histories_of(user_ids[first:last])


def _rows(histories: Histories, first: int, last: int) -> Histories:
    return histories.select(np.arange(first, last))


def _blocks(
    histories: Callable[[int, int], Histories],
    n_users: int,
    options: ListOptions,
    view: View,
    progress: Progress,
) -> Iterator[Lists]:
    """Make the lists of one block of users after the other."""
    for first in range(0, n_users, BLOCK):
        last = min(first + BLOCK, n_users)
        yield run(make_query(histories(first, last), options, view))
        progress(last, n_users, "users")


def _columns(
    user_ids: list[str], blocks: Iterable[Lists], view: View
) -> dict[str, pa.ChunkedArray]:
    """Join the lists of all blocks to the columns of a frame.

    A column has one chunk a block: nothing is copied, and no chunk outgrows Arrow's offsets.
    """
    kinds = {
        "user_id": pa.string(),
        "item_id": pa.string(),
        "score": pa.float64(),
        "rank": pa.int64(),
    }
    chunks: dict[str, list[pa.Array]] = {name: [] for name in kinds}
    item_ids = pa.array(view.state.items.table(), pa.string())
    start = 0
    for items, scores, _ in blocks:
        users, places = np.nonzero(items >= 0)
        some_ids = pa.array(user_ids[start : start + len(items)], pa.string())
        chunks["user_id"].append(some_ids.take(pa.array(users)))
        chunks["item_id"].append(item_ids.take(pa.array(items[users, places])))
        chunks["score"].append(pa.array(scores[users, places]))
        chunks["rank"].append(pa.array(places + 1))
        start += len(items)
    return {name: pa.chunked_array(chunks[name], kind) for name, kind in kinds.items()}
