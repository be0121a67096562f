"""Scores other than 0 of several models that score sparsely, history by history."""

from collections.abc import Iterator, Sequence

import numpy as np

from nearline.data.dataset import FloatArray, Histories
from nearline.models.capabilities import ScoresSparsely, SparseScores

# Bytes of dense scores of each part in memory at a time.
BLOCK_BYTES = 1 << 26


def scored_rows(
    parts: Sequence[ScoresSparsely], histories: Histories
) -> Iterator[list[SparseScores]]:
    """Yield the scores of each part for one history after the other; items ascend.

    Several histories are scored in blocks by all cores, with the same result as one at a time: the
    sums of a mixture are taken in the order of the items.
    """
    if len(histories) == 1:
        yield [_ascending(part.score_sparse(histories)) for part in parts]
        return
    widest = max((part.n_items for part in parts), default=0)
    size = max(1, BLOCK_BYTES // (4 * max(widest, 1)))
    for first in range(0, len(histories), size):
        rows = np.arange(first, min(first + size, len(histories)))
        dense = [part.score_many(histories.select(rows)) for part in parts]
        for row in range(len(rows)):
            yield [_nonzero(scores[row]) for scores in dense]


def _ascending(found: SparseScores) -> SparseScores:
    """Return the scores in the order of the items, without zeros."""
    order = np.argsort(found.items)
    order = order[found.scores[order] != 0]
    return SparseScores(found.items[order], found.scores[order])


def _nonzero(scores: FloatArray) -> SparseScores:
    items = np.flatnonzero(scores).astype(np.int32)
    return SparseScores(items, scores[items])
