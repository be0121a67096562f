"""Elastic net regression of each column of a sparse 0/1 matrix on other columns.

For column x_j of a matrix X and the columns X_C that are candidates for it, coordinate descent
finds the weights w that minimise

    0.5 * |x_j - X_C w|^2 + l1 * |w|_1 + 0.5 * l2 * |w|^2        (optionally with w >= 0)

J. Friedman, T. Hastie, R. Tibshirani, "Regularization paths for generalized linear models via
coordinate descent", Journal of Statistical Software 33(1), 2010, section 2: the residual is updated
with each weight, and between full sweeps only non-zero weights are visited.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nearline.kernels.chunks import map_chunks
from nearline.kernels.edges import Ints, Longs, Rows, pack

Doubles = NDArray[np.float64]


@njit(nogil=True, cache=True)
def _shrink(value: float, l1: float, positive: bool) -> float:
    """Return `value` moved towards 0 by `l1`, but not beyond; if `positive`, at least 0."""
    if value > l1:
        return value - l1
    if value < -l1 and not positive:
        return value + l1
    return 0.0


@njit(nogil=True, cache=True)
def _sweep(
    columns: Rows,
    candidates: Ints,
    weights: Doubles,
    residual: Doubles,
    penalties: tuple[float, float, bool],
    all_of_them: bool,
) -> float:
    """Update the weight of each candidate once; return the largest change of a weight.

    `penalties` contains l1, l2 and positive. Weights of zero are skipped unless `all_of_them` is
    set.
    """
    l1, l2, positive = penalties
    largest = 0.0
    for at in range(len(candidates)):
        old = weights[at]
        if old == 0.0 and not all_of_them:
            continue
        first = columns.indptr[candidates[at]]
        last = columns.indptr[candidates[at] + 1]
        if first == last:
            continue
        # The squared length of a column of ones is their number.
        norm = float(last - first)
        correlation = old * norm
        for entry in range(first, last):
            correlation += residual[columns.items[entry]]
        new = _shrink(correlation, l1, positive) / (norm + l2)
        change = new - old
        if change != 0.0:
            weights[at] = new
            for entry in range(first, last):
                residual[columns.items[entry]] -= change
            largest = max(largest, abs(change))
    return largest


@njit(nogil=True, cache=True)
def _solve_rows(
    columns: Rows,
    candidates: Rows,
    n_rows: int,
    penalties: tuple[float, float, bool],
    sweeps: int,
    tolerance: float,
    first: int,
    last: int,
) -> tuple[Longs, Ints, NDArray[np.float32]]:
    residual = np.zeros(n_rows, dtype=np.float64)
    sizes = np.zeros(last - first, dtype=np.int64)
    room = candidates.indptr[last] - candidates.indptr[first]
    out_items = np.empty(room, dtype=np.int32)
    out_weights = np.empty(room, dtype=np.float32)
    filled = 0
    for target in range(first, last):
        own = columns.items[columns.indptr[target] : columns.indptr[target + 1]]
        some = candidates.items[candidates.indptr[target] : candidates.indptr[target + 1]]
        weights = np.zeros(len(some), dtype=np.float64)
        residual[:] = 0.0
        for entry in range(len(own)):
            residual[own[entry]] = 1.0
        full = True
        for _ in range(sweeps):
            change = _sweep(columns, some, weights, residual, penalties, full)
            if change >= tolerance:
                full = False
            elif full:
                break
            else:
                full = True
        for at in range(len(some)):
            if weights[at] != 0.0:
                out_items[filled] = some[at]
                out_weights[filled] = weights[at]
                filled += 1
                sizes[target - first] += 1
    return sizes, out_items[:filled].copy(), out_weights[:filled].copy()


def elastic_net_columns(
    columns: Rows,
    candidates: Rows,
    n_rows: int,
    *,
    l1: float,
    l2: float,
    positive: bool = True,
    sweeps: int = 100,
    tolerance: float = 1e-4,
    threads: int | None = None,
) -> Rows:
    """Regress each column of a 0/1 matrix on its candidate columns.

    Parameters
    ----------
    columns : Rows
        Columns of X: row j lists the rows of X in which column j is 1, each once.
    candidates : Rows
        Row j lists the columns on which column j is regressed; j must not be among them.
    n_rows : int
        Number of rows of X.
    l1, l2 : float
        Penalties, at least 0.
    positive : bool
        Whether weights must be at least 0.
    sweeps : int
        Maximum number of sweeps over the candidates.
    tolerance : float
        The descent ends when no weight changes by this amount or more in a full sweep.
    threads : int or None
        Number of threads; None for one per core.

    Returns
    -------
    Rows
        Row j lists the columns with a non-zero weight, and the weights.

    Raises
    ------
    ValueError
        The numbers of rows of `columns` and `candidates` differ, or an index is out of bounds.

    Notes
    -----
    The time of a sweep is proportional to the number of entries in the candidates' columns. Each
    thread needs 8 * n_rows bytes.
    """
    if len(columns.indptr) != len(candidates.indptr):
        raise ValueError(
            f"there are {len(columns.indptr) - 1} columns and candidates for "
            f"{len(candidates.indptr) - 1}"
        )
    if len(columns.items) and int(columns.items.max()) >= n_rows:
        raise ValueError(f"row index {int(columns.items.max())} is not below {n_rows}")
    penalties = (float(l1), float(l2), positive)
    return pack(
        map_chunks(
            lambda first, last: _solve_rows(
                columns, candidates, n_rows, penalties, sweeps, tolerance, first, last
            ),
            len(columns.indptr) - 1,
            least=16,
            threads=threads,
        )
    )
