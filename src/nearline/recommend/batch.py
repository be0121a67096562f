"""The lists of many users: the pipeline runs on one block of users at a time.

Models score a block on all cores. Beside the result, the memory of one block is used.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial

import numpy as np
import pyarrow as pa

from nearline.common.progress import Progress, no_progress
from nearline.data import Histories, Weight, histories_for
from nearline.recommend.attributes import with_features
from nearline.recommend.critiques import active_critiques, criticised, run_criticised
from nearline.recommend.experiments import Arms, arms_of, with_arms
from nearline.recommend.field_columns import column_types, field_column
from nearline.recommend.lists import STRANGER, TIERS, Lists, View
from nearline.recommend.merchandising import expressions_of
from nearline.recommend.pipeline import interleaved, make_query, run
from nearline.recommend.policies import with_choice
from nearline.recommend.scenarios import resolved
from nearline.recommend.selection import choose, names_of_user
from nearline.schema import (
    DEFAULT_K,
    ListOptions,
    RecommendationRequest,
    check_id,
    check_options,
)
from nearline.schema.arguments import as_list
from nearline.state import State

# Users in a block: enough to keep all cores busy, few enough to bound the memory.
BLOCK = 4_096
NO_COLUMNS: Mapping[str, pa.DataType] = {}


def recommend_many(
    users: Iterable[str] | None,
    options: ListOptions,
    view: View,
    *,
    given: pa.Table | None = None,
    weight: Weight,
    block: int | None = None,
    progress: Progress = no_progress,
    fields: Mapping[str, pa.DataType] | None = None,
) -> dict[str, pa.ChunkedArray]:
    """Recommend to many users; return `user_id`, `item_id`, `score`, `rank` and the fields.

    Parameters
    ----------
    users : iterable of str or None
        None means all users in `given`, or all users with a history if `given` is None.
    options : ListOptions
        Options of every list.
    given : pyarrow.Table or None
        Interactions in canonical form, used instead of the stored histories.
    weight : callable
        Maps a kind of event to its weight, for `given`.
    block : int or None
        Number of users in a block; None for `BLOCK`.
    fields : mapping or None
        Types of the columns of `options.fields`; None for those that fit now.

    Raises
    ------
    InvalidInput
        An option or an ID is invalid.
    """
    asked, options = options, resolved(options, view.state)
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
    choose(options, view)  # so that the options are checked even if there are no users
    blocks = _blocks(histories, user_ids, asked, view, progress, block or BLOCK)
    if fields is None:
        fields = column_types(options.fields, state)
    return _columns(user_ids, blocks, view, fields)


def recommend_lists(
    users: Iterable[str],
    options: ListOptions,
    view: View,
    *,
    block: int,
    progress: Progress = no_progress,
) -> Iterator[tuple[str, list[tuple[str, float]]]]:
    """Yield each user and the IDs and scores of the list, as `recommend_many` without a frame.

    Raises
    ------
    InvalidInput
        An option or an ID is invalid.
    """
    check_options(resolved(options, view.state))
    user_ids = [check_id(user, "users") for user in as_list(users, "users", "user ids")]
    histories = partial(_known_histories, user_ids, view.state)
    rows = iter(user_ids)
    for items, scores, _ in _blocks(histories, user_ids, options, view, progress, block):
        names = view.state.items.table()
        for numbers, values in zip(items.tolist(), scores.tolist(), strict=True):
            pairs = zip(numbers, values, strict=True)
            yield next(rows), [(names[item], score) for item, score in pairs if item >= 0]


def _known_histories(user_ids: Sequence[str], state: State, first: int, last: int) -> Histories:
    return state.histories_of(user_ids[first:last]).without_superseded()


def _of_people(histories: Histories, people: Sequence[str]) -> Histories:
    """Return histories in which the rows of strangers are empty."""
    strange = np.array([person == STRANGER for person in people], dtype=np.bool_)
    if not strange.any():
        return histories
    return histories.take(~np.repeat(strange, np.diff(histories.indptr)))


def _rows(histories: Histories, first: int, last: int) -> Histories:
    return histories.select(np.arange(first, last))


def _blocks(
    histories: Callable[[int, int], Histories],
    user_ids: Sequence[str],
    options: ListOptions,
    view: View,
    progress: Progress,
    block: int,
) -> Iterator[Lists]:
    """Yield the lists of each block of users."""
    for first in range(0, len(user_ids), block):
        last = min(first + block, len(user_ids))
        some = histories(first, last)
        if view.state.definitions.running:
            yield _by_variants(user_ids[first:last], some, options, view)
        else:
            yield _chosen_lists(user_ids[first:last], some, options, view)
        progress(last, len(user_ids), "users")


def _lists(
    user_ids: Sequence[str], histories: Histories, options: ListOptions, view: View
) -> Lists:
    """Return the lists of users who have the same options."""
    options = resolved(options, view.state)
    rules = view.state.definitions.active(options.scenario, view.now)
    names = sorted(names_of_user(options, expressions_of(rules)))
    people = [view.person(user_id, options.profiling) for user_id in user_ids]
    some = with_features(_of_people(histories, people), people, view)
    if names:
        lists = _by_attributes(people, some, names, options, view)
    else:
        lists = run(make_query(some, options, view, user_ids=people))
    if view.state.profiles.some_critiques:
        _criticise(lists, people, some, options, view)
    return lists


def _by_variants(
    user_ids: Sequence[str], histories: Histories, options: ListOptions, view: View
) -> Lists:
    """Return the lists of users in experiments, by users with equal variants."""
    groups: dict[tuple[tuple[str, str], ...], list[int]] = {}
    for row, user_id in enumerate(user_ids):
        arms = arms_of(options.scenario, user_id, view)
        groups.setdefault(tuple(arms.items()), []).append(row)
    parts = list[tuple[list[int], Lists]]()
    for key, rows in groups.items():
        changed, theirs, mixed = with_arms(options, dict(key), view)
        some, ids = histories.select(np.array(rows)), [user_ids[row] for row in rows]
        if mixed is None:
            parts.append((rows, _chosen_lists(ids, some, changed, theirs)))
        else:
            parts.append((rows, _interleaved_lists(ids, changed, theirs, dict(key), mixed)))
    return _whole(len(user_ids), parts)


def _chosen_lists(
    user_ids: Sequence[str], histories: Histories, options: ListOptions, view: View
) -> Lists:
    """Return the lists of users with the model of the scenario, or the policies that it chooses."""
    scenario = view.state.definitions.scenarios.get(options.scenario or "")
    if scenario is None or scenario.bandit is None:
        _, view, _ = with_choice(options, view, None)
        return _lists(user_ids, histories, options, view)
    groups: dict[str, tuple[list[int], ListOptions, View]] = {}
    for row, user_id in enumerate(user_ids):
        changed, theirs, choice = with_choice(options, view, user_id)
        name = "" if choice is None else choice.policy
        groups.setdefault(name, ([], changed, theirs))[0].append(row)
    parts = [
        (rows, _lists([user_ids[r] for r in rows], histories.select(np.array(rows)), asked, theirs))
        for rows, asked, theirs in groups.values()
    ]
    return _whole(len(user_ids), parts)


def _whole(n_users: int, parts: Sequence[tuple[list[int], Lists]]) -> Lists:
    """Return the lists of groups of users, in the order of the users."""
    whole = Lists.empty(n_users, max(part.items.shape[1] for _, part in parts))
    for rows, part in parts:
        width = part.items.shape[1]
        whole.items[rows, :width], whole.scores[rows, :width] = part.items, part.scores
        whole.tiers[rows, :width] = part.tiers
    return whole


def _interleaved_lists(
    user_ids: Sequence[str], options: ListOptions, view: View, arms: Arms, name: str
) -> Lists:
    """Return the lists of users whose lists two variants make together, one by one."""
    found = Lists.empty(len(user_ids), resolved(options, view.state).k or DEFAULT_K)
    fields = {field: getattr(options, field) for field in ListOptions.__struct_fields__}
    for row, user_id in enumerate(user_ids):
        request = RecommendationRequest(user_id=user_id, **fields)
        for at, line in enumerate(interleaved(request, view, arms, name).items):
            found.items[row, at] = view.state.items[line.item_id]
            found.scores[row, at], found.tiers[row, at] = line.score, TIERS.index(line.tier)
    return found


def _by_attributes(
    user_ids: Sequence[str],
    histories: Histories,
    names: Sequence[str],
    options: ListOptions,
    view: View,
) -> Lists:
    """Return lists whose expressions use attributes of the user, by users with equal attributes."""
    groups: dict[str, list[int]] = {}
    for row, user_id in enumerate(user_ids):
        known = view.state.user_attributes(user_id)
        groups.setdefault(repr([known.get(name) for name in names]), []).append(row)
    lists = Lists.empty(len(user_ids), options.k or DEFAULT_K)
    for rows in groups.values():
        some = histories.select(np.array(rows))
        found = run(make_query(some, options, view, user_ids=[user_ids[row] for row in rows]))
        lists.items[rows], lists.scores[rows], lists.tiers[rows] = found
    return lists


def _criticise(
    lists: Lists, user_ids: Sequence[str], histories: Histories, options: ListOptions, view: View
) -> None:
    """Replace the lists of users with critiques, one by one."""
    for row, user_id in enumerate(user_ids):
        said = active_critiques(user_id, view)
        if said:
            some = histories.select(np.array([row]))
            query = make_query(some, options, view, user_ids=[user_id])
            found = run_criticised(criticised(query, said), said, run)
            lists.items[row], lists.scores[row] = found.items[0], found.scores[0]
            lists.tiers[row] = found.tiers[0]


def _columns(
    user_ids: list[str],
    blocks: Iterable[Lists],
    view: View,
    fields: Mapping[str, pa.DataType] = NO_COLUMNS,
) -> dict[str, pa.ChunkedArray]:
    """Convert the lists of all blocks to columns with one row for each item of a list.

    A column has one chunk per block, so that nothing is copied and no chunk exceeds the limits of
    Arrow's 32-bit offsets. `fields` are the types of columns of the catalogue, by name.
    """
    kinds = {
        "user_id": pa.string(),
        "item_id": pa.string(),
        "score": pa.float64(),
        "rank": pa.int64(),
        **fields,
    }
    chunks: dict[str, list[pa.Array]] = {name: [] for name in kinds}
    item_ids = pa.array(view.state.items.table(), pa.string())
    start = 0
    for items, scores, _ in blocks:
        if items.max(initial=-1) >= len(item_ids):  # items that are new since the first block
            item_ids = pa.array(view.state.items.table(), pa.string())
        users, places = np.nonzero(items >= 0)
        some_ids = pa.array(user_ids[start : start + len(items)], pa.string())
        chunks["user_id"].append(some_ids.take(pa.array(users)))
        chunks["item_id"].append(item_ids.take(pa.array(items[users, places])))
        chunks["score"].append(pa.array(scores[users, places]))
        chunks["rank"].append(pa.array(places + 1))
        for name, kind in fields.items():
            chunks[name].append(field_column(name, kind, items[users, places], view.state))
        start += len(items)
    return {name: pa.chunked_array(chunks[name], kind) for name, kind in kinds.items()}
