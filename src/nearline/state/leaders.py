"""The first items of an order whose scores mostly rise: kept, not looked for each time."""

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.int64] | NDArray[np.float64]
Ints = NDArray[np.int32]

# Kept at least, and at most: more than the longest list, few enough to sort for each request.
FEWEST, MOST = 1_024, 8_192


class Leaders:
    """Items with the largest scores, best first; equal scores in order of index.

    All items from some score on are kept. One whose score rises to it joins them, in time that does
    not depend on the catalogue; `drop` them where a score falls.
    """

    def __init__(self) -> None:
        self._members: set[int] | None = None
        self._floor: int | float = 0
        self._kept: Ints | None = None

    def drop(self) -> None:
        """Forget what is kept: the next call looks through all scores."""
        self._members = self._kept = None

    def raised(self, items: Ints, scores: Scores) -> None:
        """Hear that the scores of `items` rose to what `scores` [n_items] holds now."""
        if self._members is None:
            return
        for item in set(items.tolist()) - self._members:
            if scores[item] >= self._floor:
                self._members.add(item)
                self._kept = None
        if len(self._members) > 2 * MOST:
            self.drop()

    def first(self, scores: Scores, n: int, allowed: NDArray[np.bool_] | None = None) -> Ints:
        """Up to `n` items, of the allowed ones; items beyond the end of `allowed` are not.

        O(kept) while enough of the allowed are kept, else O(n_items).
        """
        if self._members is None:
            self._find(scores)
        if self._kept is None:
            self._kept = np.sort(np.fromiter(self._members or (), dtype=np.int32))
        found = _best_of(self._kept, scores, n, allowed)
        if len(found) >= n or len(self._kept) == len(scores):
            return found
        return _best_of(np.arange(len(scores), dtype=np.int32), scores, n, allowed)

    def _find(self, scores: Scores) -> None:
        """Keep everything from the score of the last of the first few on, if those are not many."""
        fewest = min(FEWEST, len(scores))
        floor = np.partition(scores, len(scores) - fewest)[len(scores) - fewest] if fewest else 0
        kept = np.flatnonzero(scores >= floor)
        if len(kept) > MOST:  # hardly any scores yet: those above are better than nothing
            kept = np.flatnonzero(scores > floor)
            floor = scores[kept].min() if len(kept) else np.inf
        self._members, self._floor = set(kept.tolist()), floor


def _best_of(items: Ints, scores: Scores, n: int, allowed: NDArray[np.bool_] | None) -> Ints:
    if allowed is not None:
        items = items[: np.searchsorted(items, len(allowed))]
        items = items[allowed[items]]
    return items[best(scores[items], n)]


def best(scores: Scores, n: int) -> Ints:
    """Positions of the `n` largest scores, largest first, equal ones in order of position."""
    if n < len(scores):
        threshold = np.partition(scores, len(scores) - n)[len(scores) - n] if n else np.inf
        above = np.flatnonzero(scores > threshold)
        equal = np.flatnonzero(scores == threshold)[: n - len(above)]
        positions = np.concatenate((above, equal))
    else:
        positions = np.arange(len(scores))
    # Stable, so that ties keep their order: `above` and `equal` rise and do not mix.
    return positions[np.argsort(-scores[positions], kind="stable")].astype(np.int32)
