"""What is trending and popular given a context: naive Bayes over its values.

    score(j) = n_j * prod over values v:  ((n_vj + m * p_j) / (n_v + m)) / p_j

`n_j` are all events of item j (decayed ones, for what is trending) and `p_j` their share of all
events, `n_vj` those of them whose context has v, and `n_v` the events of all items that have it.
Each factor is how much more often j is wanted where v holds than it is anywhere, shrunk to 1 as if
m events more had been seen there, divided among the items as all events are.

Source: C. D. Manning, P. Raghavan and H. Schütze, Introduction to Information Retrieval, 2008,
section 13.2 (naive Bayes and its smoothing; there each class gets the same share, here its own).
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from nearline.state import State, Top, best
from nearline.state.contexts import Context, ItemCounts

# m. A value that 50 events had weighs as much as all events together.
SHRINKAGE = 50.0


class Orders(NamedTuple):
    """The first items given a context; scores are shares of the largest that any item has.

    Attributes
    ----------
    trending : Top
        Of the items that are trending.
    popular : Top
        Of all that somebody wanted.
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
    """Up to `n` allowed items in both orders; None where no value of the context was ever seen.

    Takes time in proportion to the items that were wanted with one of the values, not to all.

    Parameters
    ----------
    trending_from : float
        Decayed sum from which on an item is trending.
    """
    counters = state.counters
    with state.lock:
        counted = state.contexts.counts(context)
        if not counted:
            return None
        # Of items that no value names, the factors are the same: their order stays. The first of
        # all is looked for whether or not it is allowed.
        tops = [counters.trending(n, now, allowed), counters.trending(1, now)]
        tops += [counters.popular(n, allowed), counters.popular(1)]
        named = [top.items for top in tops] + [some.items for some in counted]
        items = np.unique(np.concatenate(named))
        counts, trends = counters.of(items, now)
        events = counters.events
    lifts = _log_lifts(items, counts / events, counted)
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
    """Logarithm of the product of factors; as numbers, 64 of them would leave the range."""
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
    """Pick the best of those that take part and may be shown; equal ones in order of index."""
    items, may = items[taking_part], may[taking_part]
    logs = np.log(weights[taking_part]) + lifts[taking_part]
    shares = np.exp(logs - logs.max(initial=-np.inf)) if len(logs) else logs
    allowed = np.flatnonzero(may)
    first = allowed[best(logs[allowed], n)]
    return Top(items[first], shares[first])
