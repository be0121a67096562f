"""The users for an item: those for whom the model gives it the highest scores."""

from collections.abc import Iterable
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from nearline.data import Histories
from nearline.expressions import Bindings
from nearline.recommend.critiques import active_critiques
from nearline.recommend.lists import View
from nearline.recommend.lookups import known_item, known_to_few, rank_history, score_items
from nearline.schema import check_k
from nearline.schema.answers import ScoredUser
from nearline.schema.arguments import flag
from nearline.schema.item_options import check_expression
from nearline.schema.questions import AudienceRequest

# Up to this number of users, the model scores all; of more, only candidates.
EVERYONE, CANDIDATES = 20_000, 10_000
# Items by which candidates are found.
NEIGHBOURS = 1_000
# Users that are scored together.
BLOCK = 4_096
# Users beyond `k` whose scores are computed once more.
MORE = 64


def audience(
    item_id: str, request: AudienceRequest, view: View, least_users: int = 1
) -> list[ScoredUser]:
    """Return the users for whom the model ranks an item, by the score that `rank` gives it.

    Users whom the model cannot tell apart, because nothing in their history is related to the item,
    are left out, as are users who dislike it. An item that occurs in the histories of fewer than
    `least_users` users, but of at least one, has no audience.

    Notes
    -----
    Up to 20,000 users, the result is exact. Beyond that, the model scores 10,000 candidates: the
    users with the largest sum, over their history, of the similarity with the item, by the 1,000
    items most similar to it. Reading the histories takes about 20 ns for each event.
    """
    item = known_item(item_id, view.state)
    check_k(request.k)
    check_expression(request.filter, "filter")
    if request.filter:
        view.expressions.check(request.filter)
    flag(request.exclude_seen, "exclude_seen")
    if (
        item >= view.model.n_items
        or known_to_few(np.array([item], dtype=np.int32), view.state, least_users).any()
    ):
        return []
    user_ids = view.state.user_ids()
    histories = view.state.histories_of(user_ids)
    users = np.flatnonzero(_eligible(histories, item, exclude_seen=request.exclude_seen))
    if len(users) > EVERYONE:
        users = _candidates(histories, users, item, view)
    scores = _scores(histories, users, item, view)
    ranked = scores > 0
    users, scores = users[ranked], scores[ranked]
    first = users[np.lexsort((users, -scores))].tolist()
    # A few more, since scores of a block may differ from those of one user in the last digit.
    chosen = _chosen((user_ids[place] for place in first), item, request, view, request.k + MORE)
    one = np.array([item], dtype=np.int32)
    exact = [
        (user, float(score_items(one, rank_history(user, view), view).scores[0])) for user in chosen
    ]
    exact.sort(key=lambda pair: (-pair[1], pair[0]))
    return [ScoredUser(user_id=user, score=score) for user, score in exact[: request.k]]


def _chosen(
    user_ids: Iterable[str], item: int, request: AudienceRequest, view: View, n: int
) -> list[str]:
    """Return the first `n` users for whom the filter is true and who did not refuse the item."""
    text, state = request.filter, view.state
    item_id = state.items.id_of(item)

    def fits(user: str) -> bool:
        if any(one.not_item == item_id for one in active_critiques(user, view)):
            return False
        if not text:
            return True
        bindings = Bindings(state.user_attributes(user), {}, view.now)
        return view.expressions.holds(text, item, bindings)

    return list(islice(filter(fits, user_ids), n))


def _eligible(histories: Histories, item: int, *, exclude_seen: bool) -> NDArray[np.bool_]:
    """Return which users have a history, without those who know or dislike the item: bool [n]."""
    indptr = histories.indptr
    row = np.repeat(np.arange(len(histories)), np.diff(indptr))
    here = histories.items == item
    out = here if exclude_seen else here & (histories.weights < 0)
    eligible: NDArray[np.bool_] = indptr[1:] > indptr[:-1]
    eligible[row[out]] = False
    return eligible


def _candidates(
    histories: Histories, users: NDArray[np.int64], item: int, view: View
) -> NDArray[np.int64]:
    """Return the users, ascending, whose histories are most similar to the item."""
    near = view.model.similar(np.array([item], dtype=np.int32), NEIGHBOURS)
    listed = near.items[0] >= 0
    similarity = np.zeros(max(view.state.items.slots, view.model.n_items) + 1)
    similarity[near.items[0][listed]] = near.scores[0][listed]
    similarity[item] = similarity.max()
    row = np.repeat(np.arange(len(histories)), np.diff(histories.indptr))
    amounts = np.maximum(histories.weights, 0.0) * similarity[histories.items]
    totals = np.bincount(row, amounts, minlength=len(histories))[users]
    best = np.argsort(-totals, kind="stable")[:CANDIDATES]
    return np.sort(users[best])


def _scores(
    histories: Histories, users: NDArray[np.int64], item: int, view: View
) -> NDArray[np.float64]:
    """Return the score of the item for each user: float64 [n], 0 where the model ranks it not."""
    model = view.model
    only = np.zeros(model.n_items, dtype=np.bool_)
    only[item] = True
    scores = np.zeros(len(users))
    for first in range(0, len(users), BLOCK):
        rows = histories.select(users[first : first + BLOCK]).without_superseded()
        found = model.recommend_from(rows, 1, exclude_seen=False, allowed=only)
        scores[first : first + BLOCK] = np.where(found.items[:, 0] == item, found.scores[:, 0], 0.0)
    return scores
