"""Road 2 for many users at once: the same lists as `recommend.answer` gives one by one.

Users are taken in blocks. The models score a block on all cores, and what is held beside the
answer is one block's scratch, however many users there are.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from nearline.common.progress import Progress, no_progress
from nearline.data import Histories, Weight, histories_for
from nearline.recommend.fill import PERSONAL_FLOOR, Line, fill
from nearline.recommend.filters import allowed_items
from nearline.recommend.pipeline import View
from nearline.schema import check_id, check_k
from nearline.state import State

# Users scored at once: enough to keep all cores busy, few enough to bound the memory.
BLOCK = 4_096

Lists = tuple[NDArray[np.int32], NDArray[np.float64]]


def recommend_many(
    users: Iterable[str] | None,
    k: int,
    view: View,
    *,
    given: pa.Table | None = None,
    weight: Weight,
    exclude_seen: bool = True,
    progress: Progress = no_progress,
) -> dict[str, pa.ChunkedArray]:
    """Give the lists of many users as columns `user_id`, `item_id`, `score`, `rank`: a row an item.

    Parameters
    ----------
    users : iterable of str or None
        None means everyone: who is in `given`, or else who has a history.
    given : pyarrow.Table or None
        Interactions in the canonical form that replace what is known of the users.
    weight : callable
        Weight of a kind of event, for `given`.

    Raises
    ------
    InvalidInput
        `k` or an id is out of bounds.
    """
    check_k(k)
    state = view.state
    if users is None:
        users = state.user_ids() if given is None else given["user_id"].unique().to_pylist()
    user_ids = [check_id(user, "users") for user in users]
    if given is None:
        histories = partial(_known_histories, user_ids, state)
    else:
        rows = histories_for(state.items.table(), given, user_ids, weight)
        histories = partial(_rows, rows)
    blocks = _lists(histories, len(user_ids), k, view, exclude_seen, progress)
    return _columns(user_ids, blocks, view)


def _known_histories(user_ids: Sequence[str], state: State, first: int, last: int) -> Histories:
    return state.histories_of(user_ids[first:last])


def _rows(histories: Histories, first: int, last: int) -> Histories:
    return histories.select(np.arange(first, last))


def _lists(
    histories: Callable[[int, int], Histories],
    n_users: int,
    k: int,
    view: View,
    exclude_seen: bool,
    progress: Progress,
) -> Iterator[Lists]:
    """Items and scores of one block after the other."""
    for first in range(0, n_users, BLOCK):
        last = min(first + BLOCK, n_users)
        yield _recommend_block(histories(first, last), k, view, exclude_seen)
        progress(last, n_users, "users")


def _recommend_block(histories: Histories, k: int, view: View, exclude_seen: bool) -> Lists:
    """Items [n, k] and their scores; -1 pads where the allowed items run out."""
    state = view.state
    allowed = allowed_items(state)
    known = allowed[: view.model.n_items]
    found = view.model.recommend_from(histories, k, exclude_seen=exclude_seen, allowed=known)
    items, scores = found.items.copy(), found.scores.astype(np.float64)
    weak = scores <= PERSONAL_FLOOR
    items[weak], scores[weak] = -1, 0.0
    for user in np.flatnonzero(items[:, -1] < 0).tolist():
        kept = items[user] >= 0
        pairs = zip(items[user][kept].tolist(), scores[user][kept].tolist(), strict=True)
        personal = [Line(item, score, "personal") for item, score in pairs]
        row = slice(histories.indptr[user], histories.indptr[user + 1])
        out = histories.items[row]
        if not exclude_seen:
            out = out[histories.weights[row] < 0]
        lines = fill(personal, k, state, now=view.now, allowed=allowed, excluded=out.tolist())
        items[user, : len(lines)] = [line.item for line in lines]
        scores[user, : len(lines)] = [line.score for line in lines]
    return items, scores


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
    for items, scores in blocks:
        users, places = np.nonzero(items >= 0)
        some_ids = pa.array(user_ids[start : start + len(items)], pa.string())
        chunks["user_id"].append(some_ids.take(pa.array(users)))
        chunks["item_id"].append(item_ids.take(pa.array(items[users, places])))
        chunks["score"].append(pa.array(scores[users, places]))
        chunks["rank"].append(pa.array(places + 1))
        start += len(items)
    return {name: pa.chunked_array(chunks[name], kind) for name, kind in kinds.items()}
