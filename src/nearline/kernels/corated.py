"""Nearest neighbours of rows of ratings, and predictions from them.

The similarity of a row x and a target y (another row) is based on the n columns that both rated:

    s(x, y) = (n - 1) / (n - 1 + shrinkage) * sum x y / sqrt(sum x^2 * sum y^2)

with sums over these columns. It is the cosine or, if x and y are centred by their means over these
columns, Pearson's correlation. The first factor, which is 1 without shrinkage, is that of Y. Koren,
"Factor in the neighbors", ACM TKDD 4(1), 2010.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nearline.kernels.chunks import map_chunks
from nearline.kernels.edges import Rows, pack
from nearline.kernels.ridge import Targets
from nearline.kernels.sets import Sets, dealt, undealt
from nearline.kernels.topk import finish_row, finished_lists, offer, start_lists

Ints = NDArray[np.int32]
Longs = NDArray[np.int64]
Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

# Number of sums for each pair: of columns, x, y, squares of x, squares of y, and products.
N_SUMS = 6
# A variance below this fraction of the mean square is a rounding error.
FLAT = 1e-12


class Affinity(NamedTuple):
    """Settings of a neighbour search: similarity measure and limits on neighbours.

    Attributes
    ----------
    centred : bool
        True for Pearson's correlation, False for the cosine.
    shrinkage : float
        Number of common columns, minus 1, for which a similarity is halved; at least 0.
    threshold : float
        Only neighbours with a similarity above this are kept; at least 0.
    most : int
        Maximum number of neighbours of a row.
    """

    centred: bool
    shrinkage: float
    threshold: float
    most: int


@njit(nogil=True, cache=True)
def _similarity(sums: Doubles, centred: bool, shrinkage: float) -> float:
    n, x, y, xx, yy, xy = sums[0], sums[1], sums[2], sums[3], sums[4], sums[5]
    across, square_x, square_y = xy, xx, yy
    if centred:
        across -= x * y / n
        square_x -= x * x / n
        square_y -= y * y / n
    if square_x <= FLAT * xx or square_y <= FLAT * yy:
        return 0.0
    trust = (n - 1.0) / (n - 1.0 + shrinkage) if shrinkage > 0.0 else 1.0
    # Rounded to the precision in which similarities are stored: equal stored values are ties.
    return np.float64(np.float32(trust * across / np.sqrt(square_x * square_y)))


@njit(nogil=True, cache=True)
def _nearest(
    rows: Targets,
    order: Longs,
    lists: Targets,
    leave_out: Ints,
    sums: Doubles,
    affinity: Affinity,
    first: int,
    last: int,
) -> tuple[Longs, Ints, Floats]:
    """Find the neighbours of the rows ``order[first:last]``.

    `sums`, float64 [n_targets, 6], is working memory that is zero before and after the call. The
    result is the number of neighbours of each row, and targets and similarities of all of them.
    """
    lists_out = start_lists(last - first, affinity.most)
    touched = np.empty(len(sums), dtype=np.int32)
    filled = 0
    for position in range(first, last):
        row = order[position]
        count = 0
        for entry in range(rows.indptr[row], rows.indptr[row + 1]):
            column, x = rows.columns[entry], rows.values[entry]
            for place in range(lists.indptr[column], lists.indptr[column + 1]):
                target, y = lists.columns[place], lists.values[place]
                pair = sums[target]
                if pair[0] == 0.0:
                    touched[count] = target
                    count += 1
                pair[0] += 1.0
                pair[1] += x
                pair[2] += y
                pair[3] += x * x
                pair[4] += y * y
                pair[5] += x * y
        size = 0
        for at in range(count):
            target = touched[at]
            value = _similarity(sums[target], affinity.centred, affinity.shrinkage)
            sums[target] = 0.0
            if value > affinity.threshold and target != leave_out[row]:
                size = offer(lists_out.scores, lists_out.items, size, value, target)
        filled = finish_row(lists_out, position - first, size, filled)
    return finished_lists(lists_out, filled)


def corated_rows(
    rows: Targets,
    lists: Targets,
    n_targets: int,
    affinity: Affinity,
    *,
    leave_out: Ints | None = None,
    threads: int | None = None,
) -> Rows:
    """Find the targets most similar to each row.

    Parameters
    ----------
    rows : Targets
        Columns and ratings, or residuals of ratings, of n rows; a row has each column at most
        once.
    lists : Targets
        For each column, the targets that rated it, and their ratings.
    n_targets : int
        Number of targets.
    affinity : Affinity
        Similarity measure and limits.
    leave_out : int32 [n] or None
        For each row, a target that cannot be a neighbour, such as the row itself; -1 for none.
    threads : int or None
        Number of threads; None for one per core.

    Returns
    -------
    Rows
        Targets and similarities, nearest first (ties: lower index first).

    Notes
    -----
    The time for a row is proportional to the total length of the lists of its columns. Each thread
    needs 52 bytes per target.
    """
    n = len(rows.indptr) - 1
    order = dealt(n)
    out = np.full(n, -1, dtype=np.int32) if leave_out is None else leave_out
    narrow = affinity._replace(most=max(1, min(affinity.most, n_targets)))

    def work(first: int, last: int) -> tuple[Longs, Ints, Floats]:
        sums = np.zeros((n_targets, N_SUMS))
        return _nearest(rows, order, lists, out, sums, narrow, first, last)

    return undealt(pack(map_chunks(work, n, least=16, threads=threads)), order)


@njit(nogil=True, cache=True)
def _mean_by_rows(
    near: Rows,
    values: Targets,
    wanted: Sets,
    k: int,
    n_items: int,
    first: int,
    last: int,
    out: Doubles,
) -> None:
    totals, masses = np.zeros(n_items), np.zeros(n_items)
    counts = np.zeros(n_items, dtype=np.int64)
    for row in range(first, last):
        totals[:] = 0.0
        masses[:] = 0.0
        counts[:] = 0
        for place in range(near.indptr[row], near.indptr[row + 1]):
            neighbour, similarity = near.items[place], np.float64(near.weights[place])
            for entry in range(values.indptr[neighbour], values.indptr[neighbour + 1]):
                item = values.columns[entry]
                # Neighbours are sorted: the first k who rated an item are the nearest.
                if counts[item] < k:
                    counts[item] += 1
                    totals[item] += similarity * values.values[entry]
                    masses[item] += similarity
        for entry in range(wanted.indptr[row], wanted.indptr[row + 1]):
            item = wanted.items[entry]
            out[entry] = totals[item] / masses[item] if counts[item] > 0 else np.nan


def mean_by_rows(
    near: Rows, values: Targets, wanted: Sets, k: int, n_items: int, *, threads: int | None = None
) -> Doubles:
    """Predict ratings as means over the ratings of neighbouring rows.

    The prediction of an item for a row is the mean of the ratings of the item by the k nearest
    neighbours of the row who rated it, weighted by similarity.

    Parameters
    ----------
    near : Rows
        Neighbours of each row, nearest first, with positive similarities.
    values : Targets
        Ratings of each neighbour; columns are items.
    wanted : Sets
        Items to predict for each row.
    k : int
        Maximum number of neighbours in a mean.
    n_items : int
        Number of items.
    threads : int or None
        Number of threads; None for one per core.

    Returns
    -------
    float64 [len(wanted.items)]
        Predictions; NaN if no neighbour rated the item.

    Notes
    -----
    The time for a row is proportional to the number of ratings of its neighbours, even if few items
    are predicted.
    """
    out = np.empty(len(wanted.items))
    map_chunks(
        lambda first, last: _mean_by_rows(near, values, wanted, k, n_items, first, last, out),
        len(wanted.indptr) - 1,
        least=16,
        threads=threads,
    )
    return out


@njit(nogil=True, cache=True)
def _mean_by_columns(
    near: Rows, values: Targets, wanted: Sets, k: int, first: int, last: int, out: Doubles
) -> None:
    own = np.full(len(near.indptr) - 1, np.nan)
    for row in range(first, last):
        for entry in range(values.indptr[row], values.indptr[row + 1]):
            own[values.columns[entry]] = values.values[entry]
        for entry in range(wanted.indptr[row], wanted.indptr[row + 1]):
            item = wanted.items[entry]
            total = mass = 0.0
            count = 0
            for place in range(near.indptr[item], near.indptr[item + 1]):
                value = own[near.items[place]]
                if not np.isnan(value):
                    similarity = np.float64(near.weights[place])
                    total += similarity * value
                    mass += similarity
                    count += 1
                    if count == k:
                        break
            out[entry] = total / mass if count > 0 else np.nan
        for entry in range(values.indptr[row], values.indptr[row + 1]):
            own[values.columns[entry]] = np.nan


def mean_by_columns(
    near: Rows, values: Targets, wanted: Sets, k: int, *, threads: int | None = None
) -> Doubles:
    """Predict ratings as means over the ratings of neighbouring items.

    The prediction of an item for a row is the mean of the row's ratings of the k nearest
    neighbours of the item, among those that it rated, weighted by similarity.

    Parameters
    ----------
    near : Rows
        Neighbours of each item, nearest first, with positive similarities.
    values : Targets
        Ratings of each row; columns are items.
    wanted : Sets
        Items to predict for each row.
    k : int
        Maximum number of neighbours in a mean.
    threads : int or None
        Number of threads; None for one per core.

    Returns
    -------
    float64 [len(wanted.items)]
        Predictions; NaN if the row rated no neighbour of the item.

    Notes
    -----
    The time for an item is proportional to the number of its neighbours.
    """
    out = np.empty(len(wanted.items))
    map_chunks(
        lambda first, last: _mean_by_columns(near, values, wanted, k, first, last, out),
        len(wanted.indptr) - 1,
        least=16,
        threads=threads,
    )
    return out
