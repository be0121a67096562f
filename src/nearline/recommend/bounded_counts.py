"""Numbers of users of each item or category, to which each user contributes a bounded part."""

import numpy as np
from numpy.typing import NDArray

from nearline.recommend.lists import View
from nearline.schema.statistics import CATEGORIES, ITEMS


def bounded_counts(of: str, per_user: int, view: View) -> tuple[list[str], NDArray[np.int64]]:
    """Return names in alphabetical order, and the number of users of each: int64 [n].

    The names are those of the catalogue, which does not depend on what users do: a name that only
    one user's events mention would say that the user is there. A user counts for the newest
    `per_user` different names of the stored history.

    Parameters
    ----------
    of : str
        `ITEMS`, `CATEGORIES`, or the number of all users with a history.
    """
    state = view.state
    rows = state.histories_of(state.user_ids())
    sizes = np.diff(rows.indptr)
    if of not in (ITEMS, CATEGORIES):
        return ["users"], np.array([np.count_nonzero(sizes)], dtype=np.int64)
    entries = state.catalogue.entries()
    if of == ITEMS:
        labels = [(index, state.items.id_of(index)) for index, _ in entries]
    else:
        labels = [(index, label) for index, entry in entries for label in set(entry.categories)]
    names = sorted({label for _, label in labels})
    places = {name: at for at, name in enumerate(names)}
    # The labels of item i are those from first[i] up to first[i + 1].
    size = max(state.items.slots, int(rows.items.max(initial=0)) + 1)
    owners = np.array([index for index, _ in labels], dtype=np.int64)
    order = np.argsort(owners, kind="stable")
    codes = np.array([places[label] for _, label in labels], dtype=np.int64)[order]
    first = np.concatenate(([0], np.cumsum(np.bincount(owners, minlength=size)))).astype(np.int64)
    users = np.repeat(np.arange(len(rows), dtype=np.int64), sizes)[::-1]  # the newest event first
    items = rows.items[::-1].astype(np.int64)
    known = items >= 0
    users, items = users[known], items[known]
    many = first[items + 1] - first[items]
    users = np.repeat(users, many)
    within = np.arange(int(many.sum())) - np.repeat(np.cumsum(many) - many, many)
    pairs = users * max(len(names), 1) + codes[np.repeat(first[items], many) + within]
    _, newest = np.unique(pairs, return_index=True)
    kept = np.sort(newest)
    users, pairs = users[kept], pairs[kept]
    # The pairs of a user follow each other: their ranks are distances to the first of them.
    begins = np.concatenate(([True], users[1:] != users[:-1]))[: len(users)]
    starts = np.flatnonzero(begins)
    ranks = np.arange(len(users)) - starts[np.cumsum(begins) - 1]
    counted = pairs[ranks < per_user] % max(len(names), 1)
    return names, np.bincount(counted, minlength=len(names))
