"""What is popular given a context: naive Bayes over its values.

    score(j) = n_j * prod over values v:  ((n_vj + m * p_j) / (n_v + m)) / p_j

`n_j` are all events of item j and `p_j` their share of all events, `n_vj` those of them whose
context has v, and `n_v` the events of all items that have it. Each factor is how much more often j
is wanted where v holds than it is anywhere, shrunk to 1 as if m events more had been seen there,
divided among the items as all events are.

Source: C. D. Manning, P. Raghavan and H. Schütze, Introduction to Information Retrieval, 2008,
section 13.2 (naive Bayes and its smoothing; there each class gets the same share, here its own).
"""

import numpy as np
from numpy.typing import NDArray

from nearline.state import State, Top, best
from nearline.state.contexts import Context

# m. With 50 events in a country, its lists are made half from it and half from all others.
SHRINKAGE = 50.0


def popular_given(
    context: Context, n: int, state: State, *, now: float, allowed: NDArray[np.bool_]
) -> Top | None:
    """Up to `n` allowed items that somebody wanted, the most popular given the context first.

    Takes time in proportion to the items that were wanted with one of its values, not to all.

    Returns
    -------
    Top or None
        Its scores are shares of the largest that any item has, allowed or not; equal ones stand in
        order of index. None where no value of the context was ever seen.
    """
    with state.lock:
        counted = state.contexts.counts(context)
        if not counted:
            return None
        # Of items that none of the values names, the factors are the same: the popular come first.
        # The first of all is looked for whether or not it is allowed.
        popular = [state.counters.popular(n, allowed), state.counters.popular(1)]
        items = np.unique(np.concatenate([some.items for some in (*popular, *counted)]))
        counts, _ = state.counters.of(items, now)
        events = state.counters.events
    items, counts = items[counts > 0], counts[counts > 0]
    shares = counts / events
    logs = np.log(counts)  # a product of 64 factors would leave the range of a float
    for some in counted:
        here = np.zeros(len(items))
        here[np.searchsorted(items, some.items)] = some.counts
        total = some.counts.sum()
        logs += np.log((here + SHRINKAGE * shares) / (total + SHRINKAGE) / shares)
    scores = np.exp(logs - logs.max())
    inside = np.searchsorted(items, len(allowed))
    may = np.flatnonzero(allowed[items[:inside]])
    first = may[best(logs[may], n)]
    return Top(items[first], scores[first])
