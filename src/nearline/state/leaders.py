"""Top items of scores that mostly increase, updated incrementally."""

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.int64] | NDArray[np.float64]
Ints = NDArray[np.int32]

# Minimum and maximum number of stored items: more than the longest list, few enough to sort fast.
FEWEST, MOST = 1_024, 8_192


class Leaders:
    """Items with the largest scores, best first; equal scores are sorted by index.

    All items with a score of at least some floor are stored. An item whose score increases to the
    floor is added, in time that does not depend on the size of the catalogue. If a score decreases,
    `drop` must be called.
    """

    def __init__(self) -> None:
        self._members: set[int] | None = None
        self._floor: int | float = 0
        self._kept: Ints | None = None

    def drop(self) -> None:
        """Discard the stored items; the next call of `first` then searches all scores."""
        self._members = self._kept = None

    def raised(self, items: Ints, scores: Scores) -> None:
        """Update the stored items after an increase of some scores.

        Parameters
        ----------
        items : int32 [n]
            Items whose scores have increased.
        scores : int64 or float64 [n_items]
            New scores of all items.
        """
        if self._members is None:
            return
        for item in set(items.tolist()) - self._members:
            if scores[item] >= self._floor:
                self._members.add(item)
                self._kept = None
        if len(self._members) > 2 * MOST:
            self.drop()

    def first(self, scores: Scores, n: int, allowed: NDArray[np.bool_] | None = None) -> Ints:
        """Return up to `n` allowed items; items beyond the end of `allowed` are not allowed.

        The time is O(stored items) if enough of these are allowed, and O(n_items) otherwise.
        """
        if self._members is None:
            self._find(scores)
        if self._kept is None:
            self._kept = np.sort(np.fromiter(self._members or (), dtype=np.int32))
        found = _best_of(self._kept, scores, n, allowed)
        if len(found) >= n or len(self._kept) == len(scores):
            return found
        if allowed is None:
            return best(scores, n)
        items = np.flatnonzero(allowed[: len(scores)]).astype(np.int32)
        return items[best(scores[items], n)]

    def _find(self, scores: Scores) -> None:
        """Choose the floor so that from `FEWEST` to `MOST` items are stored, if possible."""
        fewest = min(FEWEST, len(scores))
        floor = np.partition(scores, len(scores) - fewest)[len(scores) - fewest] if fewest else 0
        kept = np.flatnonzero(scores >= floor)
        if len(kept) > MOST:  # many equal scores: keep only the items above them
            kept = np.flatnonzero(scores > floor)
            floor = scores[kept].min() if len(kept) else np.inf
        self._members, self._floor = set(kept.tolist()), floor


def _best_of(items: Ints, scores: Scores, n: int, allowed: NDArray[np.bool_] | None) -> Ints:
    if allowed is not None:
        items = items[: np.searchsorted(items, len(allowed))]
        items = items[allowed[items]]
    return items[best(scores[items], n)]


def best(scores: Scores, n: int) -> Ints:
    """Return the positions of the `n` largest scores, best first; ties are sorted by position."""
    if n < len(scores):
        threshold = np.partition(scores, len(scores) - n)[len(scores) - n] if n else np.inf
        above = np.flatnonzero(scores > threshold)
        equal = np.flatnonzero(scores == threshold)[: n - len(above)]
        positions = np.concatenate((above, equal))
    else:
        positions = np.arange(len(scores))
    # A stable sort keeps the order of ties, since `above` and `equal` are both ascending.
    return positions[np.argsort(-scores[positions], kind="stable")].astype(np.int32)
