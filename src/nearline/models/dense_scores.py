"""Lists of models that score all items: score a block of users, mask items, select the best."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearline.data.dataset import FloatArray, Histories, IntArray
from nearline.kernels.topk import top_k_rows
from nearline.models.base import Mask, Model, Ranking, check_k

# Bytes of scores in memory at a time.
BLOCK_BYTES = 1 << 26
# Number of items that are compared with all others at a time.
BLOCK = 256


class DenseModel(Model):
    """Abstract base class of models whose lists are selected from the scores of all items."""

    # Only items with a score above this are recommended.
    _floor: float = -np.inf

    def recommend_from(
        self,
        histories: Histories,
        k: int,
        *,
        exclude_seen: bool = True,
        allowed: Mask | None = None,
    ) -> Ranking:
        """Return the `k` best items for each history; see `Model.recommend_from`."""
        return rank_dense(
            self._scorer(k, exclude_seen=exclude_seen, allowed=allowed),
            histories,
            k,
            self.n_items,
            exclude_seen=exclude_seen,
            allowed=allowed,
            above=self._floor,
        )

    def similar(self, items: IntArray, k: int) -> Ranking:
        """Return similar items: the recommendations for a history that consists of the item."""
        return self.recommend_from(Histories.from_rows([[int(item)] for item in items]), k)

    def _scorer(
        self, k: int, *, exclude_seen: bool, allowed: Mask | None
    ) -> Callable[[Histories], FloatArray]:
        """Return a function that scores all items for histories, as `score_many` does.

        A subclass may use the parameters of `recommend_from` to score only items that can be
        recommended; the others must have the score -inf.
        """
        del k, exclude_seen, allowed
        return self.score_many


def rank_dense(
    score_many: Callable[[Histories], FloatArray],
    histories: Histories,
    k: int,
    n_items: int,
    *,
    exclude_seen: bool,
    allowed: Mask | None,
    above: float = -np.inf,
) -> Ranking:
    """Return the `k` items with the highest scores for each history.

    Parameters
    ----------
    score_many : callable
        Maps histories to scores, float32 [n_users, n_items]. The array is modified.
    histories : Histories
        Events of the users.
    k : int
        Length of the lists, at least 1.
    n_items : int
        Number of items, of which lists are made; `score_many` may return scores of later ones.
    exclude_seen, allowed
        As in `Model.recommend_from`.
    above : float
        Only items with a score above this are returned.

    Notes
    -----
    Of items with equal scores, the lower index is first. The time for a user, in addition to
    scoring, is O(n_items + k log k). At most 64 MiB of scores are in memory at a time.
    """
    check_k(k)
    items = np.full((len(histories), k), -1, dtype=np.int32)
    scores = np.zeros((len(histories), k), dtype=np.float32)
    if n_items == 0:
        return Ranking(items, scores)
    barred = np.zeros(n_items, dtype=np.bool_)
    if allowed is not None:
        barred[len(allowed) :] = True
        barred[: len(allowed)] = ~allowed[:n_items]
    size = max(1, BLOCK_BYTES // (4 * n_items))
    for first in range(0, len(histories), size):
        last = min(first + size, len(histories))
        block = histories.select(np.arange(first, last))
        found = score_many(block)
        if found.shape[1] > n_items:  # the model has learned new items meanwhile
            found = np.ascontiguousarray(found[:, :n_items])
        found[:, barred] = -np.inf
        if exclude_seen:
            known = (block.items >= 0) & (block.items < n_items)
            rows = np.repeat(np.arange(len(block)), np.diff(block.indptr))
            found[rows[known], block.items[known]] = -np.inf
        # Masked scores, which are -inf, are never above the bound.
        best = top_k_rows(found, k, above=above)
        items[first:last], scores[first:last] = best.items, best.scores
    return Ranking(items, scores)


def rank_cosines(table: NDArray[np.floating[Any]], items: IntArray, k: int) -> Ranking:
    """Return the rows of a matrix with the largest cosine to some of its rows.

    Only cosines above 0 are returned, so that zero rows have no neighbours and are not neighbours.

    Parameters
    ----------
    table : float [n_items, d]
        Vectors of the items.
    items : int [n]
        Rows whose neighbours are returned; a row is not its own neighbour.
    k : int
        Maximum number of neighbours.
    """
    norms = np.linalg.norm(table, axis=1, keepdims=True)
    units = table / np.where(norms > 0, norms, 1)
    found = [Ranking(np.zeros((0, k), dtype=np.int32), np.zeros((0, k), dtype=np.float32))]
    for first in range(0, len(items), BLOCK):
        some = items[first : first + BLOCK]
        cosines = (units[some] @ units.T).astype(np.float32)
        cosines[np.arange(len(some)), some] = -np.inf
        found.append(Ranking(*top_k_rows(cosines, k, above=0.0)))
    return Ranking(*(np.concatenate(part) for part in zip(*found, strict=True)))
