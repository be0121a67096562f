"""Lists from models that score every item: blocks of score rows, masked, cut to the k best."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from nearline.data.dataset import FloatArray, Histories, IntArray
from nearline.kernels.topk import top_k_rows
from nearline.models.base import Mask, Model, Ranking, check_k

# Bytes of scores held at once.
BLOCK_BYTES = 1 << 26
# Items compared with all others at a time.
BLOCK = 256


class DenseModel(Model):
    """A model whose lists come from the scores of all items."""

    # Only scores greater than this are listed.
    _floor: float = -np.inf

    def recommend_from(
        self,
        histories: Histories,
        k: int,
        *,
        exclude_seen: bool = True,
        allowed: Mask | None = None,
    ) -> Ranking:
        """Top-k items for each history, all of which are scored; O(n_items + k log k) beside it."""
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
        """Top-k for a history of the one item."""
        return self.recommend_from(Histories.from_rows([[int(item)] for item in items]), k)

    def _scorer(
        self, k: int, *, exclude_seen: bool, allowed: Mask | None
    ) -> Callable[[Histories], FloatArray]:
        """Make what scores a block for lists of `k`; a score of -inf is never listed."""
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
    """Top-k items by dense scores, at most 64 MiB of them at a time.

    Parameters
    ----------
    score_many : callable
        Histories to float32 [n_users, n_items]: a new array, which is written to.
    above : float
        Only scores greater than this are listed.

    Notes
    -----
    O(n_items + k log k) a user beside the scoring; items of equal score stand by index.
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
        found[:, barred] = -np.inf
        if exclude_seen:
            known = (block.items >= 0) & (block.items < n_items)
            rows = np.repeat(np.arange(len(block)), np.diff(block.indptr))
            found[rows[known], block.items[known]] = -np.inf
        # A score of -inf is never above, whatever the bound.
        best = top_k_rows(found, k, above=above)
        items[first:last], scores[first:last] = best.items, best.scores
    return Ranking(items, scores)


def rank_cosines(table: NDArray[np.floating[Any]], items: IntArray, k: int) -> Ranking:
    """List the rows of `table` with the largest cosine to each of `items`, itself left out.

    Only cosines above 0 are listed, so that rows of zeros neither have neighbours nor are any.
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
