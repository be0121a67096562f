"""Trending and popular items given a context: naive Bayes over the values of the context.

    score(j) = n_j * prod over values v:  ((n_vj + m * p_j) / (n_v + m)) / p_j

`n_j` is the number of events of item j (the decayed number for trending items), `p_j` their share
of all events, `n_vj` the number of events of j whose context has v, and `n_v` the number of events
of all items whose context has v. Each factor is the lift of j given v: how much more frequent j is
if v holds than overall. It is smoothed towards 1 by m pseudo-events, which are distributed over the
items as all events are.

Source: C. D. Manning, P. Raghavan and H. Schütze, Introduction to Information Retrieval, 2008,
section 13.2 (naive Bayes and its smoothing; there the pseudo-events are distributed uniformly).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearline.state import State, Top, best
from nearline.state.contexts import Context, ItemCounts

# m. With 50 events, a value counts as much as the prior.
SHRINKAGE = 50.0


class Orders(NamedTuple):
    """The top items given a context; scores are relative to the largest score of any item.

    Attributes
    ----------
    trending : Top
        Trending items.
    popular : Top
        All items with events.
    """

    trending: Top
    popular: Top


def orders_given(
    context: Context,
    n: int,
    state: State,
    *,
    now: float,
    allowed: NDArray[np.bool_],
    trending_from: float,
) -> Orders | None:
    """Return the top trending and the top popular items given a context.

    Takes time proportional to the number of items that have events with one of the values.

    Parameters
    ----------
    context : Context
        Names and values that describe the request.
    n : int
        Maximum number of items in each of the two orders.
    state : State
        Counts of events and of context values.
    now : float
        Time in Unix seconds to which counts of trending items decay.
    allowed : bool [n_allowed]
        Whether each item may be returned; items from index n_allowed on may not.
    trending_from : float
        Smallest decayed count of a trending item.

    Returns
    -------
    Orders or None
        None if no value of the context is counted.
    """
    counters = state.counters
    with state.lock:
        counted = state.contexts.counts(context)
        if not counted:
            return None
        # Items without events for any value have equal factors, so their order stays and the first
        # ones are enough. The overall first sets the scale, allowed or not.
        tops = [counters.trending(n, now, allowed), counters.trending(1, now)]
        tops += [counters.popular(n, allowed), counters.popular(1)]
        named = [top.items for top in tops] + [some.items for some in counted]
        items = np.unique(np.concatenate(named))
        counts, trends = counters.of(items, now)
        events = counters.events
    # All events may be superseded by dislikes, while the counts of their contexts remain.
    lifts = _log_lifts(items, counts / max(events, 1.0), counted)
    inside = np.searchsorted(items, len(allowed))
    may = np.zeros(len(items), dtype=np.bool_)
    may[:inside] = allowed[items[:inside]]
    return Orders(
        _first(items, trends, trends >= trending_from, lifts, may, n),
        _first(items, counts, counts > 0, lifts, may, n),
    )


def _log_lifts(
    items: NDArray[np.int32], shares: NDArray[np.float64], counted: list[ItemCounts]
) -> NDArray[np.float64]:
    """Return the logarithms of the products of factors; a product of 64 factors could overflow."""
    lifts = np.zeros(len(items))
    touched = shares > 0
    for some in counted:
        here = np.zeros(len(items))
        here[np.searchsorted(items, some.items)] = some.counts
        smoothed = (here + SHRINKAGE * shares) / (some.counts.sum() + SHRINKAGE)
        lifts[touched] += np.log(smoothed[touched] / shares[touched])
    return lifts


def _first(
    items: NDArray[np.int32],
    weights: NDArray[np.float64],
    taking_part: NDArray[np.bool_],
    lifts: NDArray[np.float64],
    may: NDArray[np.bool_],
    n: int,
) -> Top:
    """Return the best items that take part and are allowed; ties are in the order of the index."""
    items, may = items[taking_part], may[taking_part]
    logs = np.log(weights[taking_part]) + lifts[taking_part]
    shares = np.exp(logs - logs.max(initial=-np.inf)) if len(logs) else logs
    allowed = np.flatnonzero(may)
    first = allowed[best(logs[allowed], n)]
    return Top(items[first], shares[first])
