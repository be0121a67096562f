"""Counts of the pairs of a counted relation, in memory or in a temporary file."""

import numpy as np

from nearline.common.spill import SpilledArray, spill_limit
from nearline.kernels.edges import Rows
from nearline.kernels.kept_pairs import most_pairs
from nearline.kernels.pair_counts import Counts, counted_parts, pair_counts
from nearline.models.item_graph.config import ItemGraphConfig
from nearline.models.item_graph.pair_counter import counter
from nearline.models.item_graph.relations import pair_shares, pair_steps

# Bytes of an entry of `Counts`.
PAIR_BYTES = 12


def count_pairs(name: str, config: ItemGraphConfig, rows: Rows, n_items: int) -> Counts:
    """Count the pairs of a counted relation in histories.

    If the counts may take more memory than `spill_limit`, they are made in passes over parts of the
    items and written to a temporary file. The result is the same.
    """
    settings, limit = getattr(config, name), spill_limit()
    steps, shares, most = pair_steps(settings), pair_shares(settings), config.counts
    count = counter()
    if count is not pair_counts:  # elsewhere than in this process
        return count(rows, steps, n_items, most=most, shares=shares)
    bound = min(most_pairs(rows, len(steps) // 2, n_items), n_items * most)
    if PAIR_BYTES * bound <= limit:
        return pair_counts(rows, steps, n_items, most=most, shares=shares)
    sizes, items, units = [np.zeros(1, np.int64)], SpilledArray(np.int32), SpilledArray(np.int64)
    at_once = max(256, limit // (4 * PAIR_BYTES * most))
    for part in counted_parts(rows, steps, n_items, most=most, shares=shares, at_once=at_once):
        sizes.append(part[0])
        items.append(part[1])
        units.append(part[2])
    indptr = np.cumsum(np.concatenate(sizes)).astype(np.int64)
    return Counts(indptr, items.finish(), units.finish())
