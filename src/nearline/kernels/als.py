"""Least squares for implicit feedback: one small linear system for each row of a sparse matrix.

For row u of a matrix r (a user), the solution z is the whitened vector of factors of u, and w_i is
the whitened vector of column i (an item); see `nearline.kernels.whitening`. The system is

    (I + sum_i e_i w_i w_i^T) z = sum_i b_i w_i,    e_i = alpha |r_ui|,  b_i = 1 + e_i if r_ui > 0

and b_i = 0 otherwise, with the sums over the entries i of row u and the confidence `alpha`. Each
conjugate gradient step (Takács, Pilászy, Tikk, RecSys 2011) needs one pass over the vectors w_i,
which are first copied into a buffer that fits into the processor's caches.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nearline.kernels.chunks import map_chunks
from nearline.kernels.edges import Rows

Floats = NDArray[np.float32]

# Number of rows that are multiplied before their products are added up, so that they stay in the
# level-1 cache.
TILE = 16
# Number of floats in the buffer of a thread: 8 MiB, of which short rows use only the beginning.
BUFFER = 1 << 21
# Ratio of squared residuals below which single precision allows no better solution.
CONVERGED = 1e-14
# A squared residual that no score shows.
NOTHING = np.float32(1e-30)


@njit(nogil=True, fastmath=True, cache=True)
def _project(rows: Floats, first: int, last: int, vector: Floats, products: Floats) -> None:
    """Set ``products[i]`` to the inner product of ``rows[first + i]`` and `vector`."""
    for i in range(first, last):
        total = np.float32(0.0)
        for j in range(rows.shape[1]):
            total += rows[i, j] * vector[j]
        products[i - first] = total


@njit(nogil=True, fastmath=True, cache=True)
def _accumulate(rows: Floats, first: int, last: int, amounts: Floats, out: Floats) -> None:
    """Add the sum of ``amounts[i] * rows[first + i]`` over i to `out`, eight rows at a time."""
    f = rows.shape[1]
    at = first
    while at + 8 <= last:
        i = at - first
        a0, a1, a2, a3 = amounts[i], amounts[i + 1], amounts[i + 2], amounts[i + 3]
        a4, a5, a6, a7 = amounts[i + 4], amounts[i + 5], amounts[i + 6], amounts[i + 7]
        for j in range(f):
            out[j] += (
                a0 * rows[at, j]
                + a1 * rows[at + 1, j]
                + a2 * rows[at + 2, j]
                + a3 * rows[at + 3, j]
                + a4 * rows[at + 4, j]
                + a5 * rows[at + 5, j]
                + a6 * rows[at + 6, j]
                + a7 * rows[at + 7, j]
            )
        at += 8
    for i in range(at, last):
        amount = amounts[i - first]
        for j in range(f):
            out[j] += amount * rows[i, j]


@njit(nogil=True, cache=True)
def _gather(fixed: Floats, columns: NDArray[np.int32], out: Floats) -> None:
    for i in range(len(columns)):
        row = columns[i]
        for j in range(fixed.shape[1]):
            out[i, j] = fixed[row, j]


@njit(nogil=True, fastmath=True, cache=True)
def _pass(
    columns: NDArray[np.int32],
    weights: Floats,
    fixed: Floats,
    buffer: Floats,
    alpha: float,
    vector: Floats,
    residual: bool,
    out: Floats,
) -> None:
    """Add a weighted sum of the vectors w_i of a system to `out`, float32 [f].

    The sum is ``sum_i (b_i - e_i w_i . vector) w_i`` if `residual` is true, and
    ``sum_i (e_i w_i . vector) w_i`` otherwise. If the vectors fit into `buffer`, they must already
    be there.
    """
    n, kept = len(columns), len(columns) <= len(buffer)
    amounts = np.empty(TILE, dtype=np.float32)
    for first in range(0, n, TILE):
        last = min(first + TILE, n)
        start, end = (first, last) if kept else (0, last - first)
        if not kept:
            _gather(fixed, columns[first:last], buffer)
        _project(buffer, start, end, vector, amounts)
        for i in range(last - first):
            weight = weights[first + i]
            extra = np.float32(alpha) * abs(weight)
            amounts[i] *= -extra if residual else extra
            if residual and weight > 0:
                amounts[i] += np.float32(1.0) + extra
        _accumulate(buffer, start, end, amounts, out)


@njit(nogil=True, fastmath=True, cache=True)
def _dot(one: Floats, two: Floats) -> np.float32:
    total = np.float32(0.0)
    for j in range(len(one)):
        total += one[j] * two[j]
    return total


@njit(nogil=True, fastmath=True, cache=True)
def _improve_rows(
    rows: Rows,
    fixed: Floats,
    alpha: float,
    steps: int,
    kept: int,
    first: int,
    last: int,
    out: Floats,
) -> None:
    f = fixed.shape[1]
    buffer = np.empty((max(TILE, kept // f), f), dtype=np.float32)
    residual = np.empty(f, dtype=np.float32)
    direction = np.empty(f, dtype=np.float32)
    image = np.empty(f, dtype=np.float32)
    for row in range(first, last):
        columns = rows.items[rows.indptr[row] : rows.indptr[row + 1]]
        weights = rows.weights[rows.indptr[row] : rows.indptr[row + 1]]
        z = out[row]
        if len(columns) == 0:
            z[:] = 0
            continue
        if len(columns) <= len(buffer):
            _gather(fixed, columns, buffer)
        residual[:] = -z
        _pass(columns, weights, fixed, buffer, alpha, z, True, residual)
        direction[:] = residual
        size = start = _dot(residual, residual)
        for _ in range(steps):
            # A row without a liked item shrinks to 0, and there its products underflow.
            if size <= max(CONVERGED * start, NOTHING):
                break
            image[:] = direction
            _pass(columns, weights, fixed, buffer, alpha, direction, False, image)
            step = size / _dot(direction, image)
            for j in range(f):
                z[j] += step * direction[j]
                residual[j] -= step * image[j]
            before, size = size, _dot(residual, residual)
            for j in range(f):
                direction[j] = residual[j] + (size / before) * direction[j]


@njit(nogil=True, fastmath=True, cache=True)
def _factorize(matrix: Floats) -> None:
    """Replace the lower triangle of a matrix by its Cholesky factor; the rest is not used."""
    for i in range(len(matrix)):
        for j in range(i + 1):
            rest = matrix[i, j] - _dot(matrix[i, :j], matrix[j, :j])
            matrix[i, j] = np.sqrt(rest) if i == j else rest / matrix[j, j]


@njit(nogil=True, fastmath=True, cache=True)
def _substitute(lower: Floats, z: Floats) -> None:
    """Solve ``L L^T z = b``, where L is `lower`; `z` contains b and is overwritten."""
    for i in range(len(z)):
        z[i] = (z[i] - _dot(lower[i, :i], z[:i])) / lower[i, i]
    for i in range(len(z) - 1, -1, -1):
        z[i] /= lower[i, i]
        for j in range(i):
            z[j] -= z[i] * lower[i, j]


@njit(nogil=True, fastmath=True, cache=True)
def _solve_rows(
    rows: Rows, fixed: Floats, alpha: float, first: int, last: int, out: Floats
) -> None:
    f = fixed.shape[1]
    tile = np.empty((TILE, f), dtype=np.float32)
    amounts = np.empty(TILE, dtype=np.float32)
    matrix = np.empty((f, f), dtype=np.float32)
    for row in range(first, last):
        matrix[:] = 0
        for j in range(f):
            matrix[j, j] = 1
        z = out[row]
        z[:] = 0
        for at in range(rows.indptr[row], rows.indptr[row + 1], TILE):
            size = min(TILE, rows.indptr[row + 1] - at)
            _gather(fixed, rows.items[at : at + size], tile)
            for i in range(size):
                weight = rows.weights[at + i]
                amounts[i] = np.float32(1.0) + np.float32(alpha) * weight if weight > 0 else 0
            _accumulate(tile, 0, size, amounts, z)
            for j in range(f):
                for i in range(size):
                    extra = np.float32(alpha) * abs(rows.weights[at + i])
                    amounts[i] = extra * tile[i, j]
                _accumulate(tile[:, : j + 1], 0, size, amounts, matrix[j, : j + 1])
        _factorize(matrix)
        _substitute(matrix, z)


@njit(nogil=True, fastmath=True, cache=True)
def _loss_rows(
    rows: Rows, factors: Floats, fixed: Floats, alpha: float, first: int, last: int
) -> float:
    total = 0.0
    for row in range(first, last):
        for at in range(rows.indptr[row], rows.indptr[row + 1]):
            score = _dot(factors[row], fixed[rows.items[at]])
            weight = rows.weights[at]
            miss = (1.0 if weight > 0 else 0.0) - score
            total += (1.0 + alpha * abs(weight)) * miss * miss - score * score
    return total


@njit(nogil=True, cache=True)
def _are_distinct(rows: Rows, n: int, first: int, last: int) -> bool:
    for row in range(first, last):
        columns = np.sort(rows.items[rows.indptr[row] : rows.indptr[row + 1]])
        if len(columns) > 0 and (columns[0] < 0 or columns[-1] >= n):
            return False
        for at in range(1, len(columns)):
            if columns[at] == columns[at - 1]:
                return False
    return True


def are_distinct(rows: Rows, n: int, *, threads: int | None = None) -> bool:
    """Return whether all columns of `rows` are in ``range(n)`` and distinct within each row."""
    parts = map_chunks(
        lambda first, last: _are_distinct(rows, n, first, last),
        len(rows.indptr) - 1,
        threads=threads,
    )
    return all(parts)


def improve_rows(
    rows: Rows,
    fixed: Floats,
    out: Floats,
    *,
    alpha: float,
    steps: int,
    buffer: int = BUFFER,
    threads: int | None = None,
) -> None:
    """Improve the solution of each row in place by conjugate gradient steps.

    Parameters
    ----------
    rows : Rows
        Entries of the n systems: columns, which are row numbers of `fixed` and occur at most once
        in a row, and weights r.
    fixed : float32 [m, f]
        Whitened factors of the columns.
    out : float32 [n, f]
        Whitened solutions. They contain the starting points and are overwritten; rows without
        entries become 0.
    alpha : float
        Increase of the confidence per unit of weight; pairs without an entry have confidence 1.
    steps : int
        Maximum number of steps. A row needs fewer if single precision allows no improvement.
    buffer : int
        Number of floats in the buffer of a thread. If the factors of a row do not fit, they are
        copied again in each pass.
    threads : int or None
        Number of threads; None for one per core.

    Notes
    -----
    With nnz entries, the time complexity is O((steps + 1) nnz f).
    """
    map_chunks(
        lambda first, last: _improve_rows(rows, fixed, alpha, steps, buffer, first, last, out),
        len(out),
        threads=threads,
    )


def solve_rows(
    rows: Rows, fixed: Floats, out: Floats, *, alpha: float, threads: int | None = None
) -> None:
    """Solve each row exactly by a Cholesky decomposition; the result is written to `out`.

    The parameters are those of `improve_rows`. With nnz entries, the time complexity is
    O(nnz f^2 + n f^3); each thread needs memory for f^2 floats.
    """
    map_chunks(
        lambda first, last: _solve_rows(rows, fixed, alpha, first, last, out),
        len(out),
        threads=threads,
    )


def squared_loss(
    rows: Rows, factors: Floats, fixed: Floats, *, alpha: float, threads: int | None = None
) -> float:
    """Compute the sum of (1 + e_i) (p_i - s_i)^2 - s_i^2 over all entries.

    Here, s_i is the score of an entry (the inner product of its factors), e_i is alpha times its
    absolute weight, and p_i is 1 for a positive weight and 0 otherwise. Added to the squared scores
    of all pairs, which is the inner product of both Gram matrices, it is the squared error of the
    whole matrix.

    Parameters
    ----------
    rows : Rows
        Entries of the matrix, as in `improve_rows`.
    factors, fixed : float32 [n, f], [m, f]
        Factors of the rows and of the columns, in the same coordinates.
    alpha : float
        Increase of the confidence per unit of weight.
    threads : int or None
        Number of threads; None for one per core.
    """
    parts = map_chunks(
        lambda first, last: _loss_rows(rows, factors, fixed, alpha, first, last),
        len(factors),
        threads=threads,
    )
    return float(sum(parts))
