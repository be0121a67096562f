"""The first items of an order whose scores mostly rise: kept, not looked for each time."""

import numpy as np
from numpy.typing import NDArray

Scores = NDArray[np.int64] | NDArray[np.float64]
Ints = NDArray[np.int32]

# Looked for at once, and how many may join them before it is done again.
KEPT = 1_024
MOST = 4 * KEPT


class Leaders:
    """Items with the largest scores, best first; equal scores in order of index.

    A score that rises lets its item in, in time that does not depend on the catalogue. `drop` what
    is kept where a score falls.
    """

    def __init__(self) -> None:
        self._members: set[int] | None = None
        self._floor: int | float = 0
        self._order: Ints | None = None

    def drop(self) -> None:
        """Forget what is kept: the next call looks through all scores."""
        self._members = self._order = None

    def raised(self, items: Ints, scores: Scores) -> None:
        """Hear that the scores of `items` rose to what `scores` [n_items] holds now."""
        if self._members is None:
            return
        for item in set(items.tolist()):
            score = scores[item]
            if item in self._members or score > self._floor:
                self._members.add(item)
                self._order = None
            elif score == self._floor:
                # It may stand before one of the last that are kept, or behind one that is not.
                self.drop()
                return
        if len(self._members) > MOST:
            self.drop()

    def first(self, scores: Scores, n: int, allowed: NDArray[np.bool_] | None = None) -> Ints:
        """Up to `n` items, of the allowed ones; items beyond the end of `allowed` are not.

        O(kept) while enough of the allowed are kept, else O(n_items).
        """
        order = self._kept(scores)
        if allowed is not None:
            order = order[order < len(allowed)]
            order = order[allowed[order]]
        if len(order) >= n or (self._members is not None and len(self._members) == len(scores)):
            return order[:n].copy()
        if allowed is None:
            return best(scores, n)
        candidates = np.flatnonzero(allowed[: len(scores)]).astype(np.int32)
        return candidates[best(scores[candidates], n)]

    def _kept(self, scores: Scores) -> Ints:
        if self._members is None:
            self._order = best(scores, KEPT)
            self._members = set(self._order.tolist())
            self._floor = scores[self._order[-1]] if len(self._order) else 0
        elif self._order is None:
            members = np.fromiter(self._members, dtype=np.int32)
            self._order = members[np.lexsort((members, -scores[members]))]
        return self._order


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
