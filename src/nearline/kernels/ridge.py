"""Many small ridge regressions: one closed-form solution for each row of a ragged matrix.

For row u with targets t and the factors G of its columns, the normal equations are

    (s_u * Lambda + G^T G) x = h + G^T t

whose solution is the posterior mean of x under the prior precision ``s_u * Lambda``. Adding ``L^-T
z``, with L the Cholesky factor of the left side and z standard normal, gives a sample of that
posterior. Alternating least squares needs the mean, Gibbs sampling the sample.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from nearline.kernels.chunks import map_chunks

Doubles = NDArray[np.float64]

# Rows of factors gathered at a time: they fit into the level-2 cache at a few hundred factors.
PANEL = 128


class Targets(NamedTuple):
    """Ragged matrix of regression targets: row u has ``columns[indptr[u]:indptr[u + 1]]``.

    Attributes
    ----------
    indptr : int64 [n + 1]
    columns : int32 [nnz]
        Row numbers of the factors.
    values : float64 [nnz]
    """

    indptr: NDArray[np.int64]
    columns: NDArray[np.int32]
    values: Doubles


@njit(nogil=True, cache=True)
def _substitute(lower: Doubles, x: Doubles, noise: Doubles) -> None:
    """Solve ``L L^T x = b`` in place, with b in `x`, and add ``L^-T noise``."""
    f = len(x)
    for row in range(f):
        for column in range(row):
            x[row] -= lower[row, column] * x[column]
        x[row] /= lower[row, row]
    x += noise
    for row in range(f - 1, -1, -1):
        for below in range(row + 1, f):
            x[row] -= lower[below, row] * x[below]
        x[row] /= lower[row, row]


@njit(nogil=True, cache=True)
def _solve(
    targets: Targets,
    factors: Doubles,
    precision: Doubles,
    scales: Doubles,
    shift: Doubles,
    noise: Doubles,
    first: int,
    last: int,
    out: Doubles,
) -> None:
    f = factors.shape[1]
    panel = np.empty((PANEL, f))
    for row in range(first, last):
        left, right = scales[row] * precision, shift.copy()
        start, end = targets.indptr[row], targets.indptr[row + 1]
        for at in range(start, end, PANEL):
            size = min(PANEL, end - at)
            for j in range(size):
                panel[j] = factors[targets.columns[at + j]]
            some = panel[:size]
            left += some.T @ some
            right += some.T @ targets.values[at : at + size]
        lower = np.linalg.cholesky(left)
        _substitute(lower, right, noise[row if len(noise) > 1 else 0])
        out[row] = right


def solve_rows(
    targets: Targets,
    factors: Doubles,
    precision: Doubles,
    *,
    scales: Doubles | None = None,
    shift: Doubles | None = None,
    noise: Doubles | None = None,
    threads: int | None = None,
) -> Doubles:
    """Solve the normal equations of every row: float64 [n, f].

    Parameters
    ----------
    targets : Targets
        n rows; a row without entries depends only on `precision` and `shift`.
    factors : float64 [m, f]
        One row for each column of `targets`.
    precision : float64 [f, f]
        Lambda, symmetric and positive definite.
    scales : float64 [n] or None
        Factor s_u of Lambda in each row, above 0; None for 1.
    shift : float64 [f] or None
        h, added to every right-hand side; None for 0.
    noise : float64 [n, f] or None
        z; None for the posterior mean.

    Raises
    ------
    ValueError
        `precision` has the wrong shape.
    LinAlgError
        The left side of some row is not positive definite.

    Notes
    -----
    O(nnz f^2 + n f^3) time, and PANEL * f numbers of working memory per thread. The result does
    not depend on `threads`.
    """
    n, f = len(targets.indptr) - 1, factors.shape[1]
    if precision.shape != (f, f):
        raise ValueError(f"precision has shape {precision.shape}; {f} factors need {(f, f)}")
    scales = np.ones(n) if scales is None else scales
    shift = np.zeros(f) if shift is None else shift
    # Kernels take no optional arrays: a single row of zeros is used for all rows.
    noise = np.zeros((1, f)) if noise is None else noise
    out = np.empty((n, f))
    # Additional BLAS threads would compete for the same cores.
    with threadpool_limits(1, user_api="blas"):
        map_chunks(
            lambda first, last: _solve(
                targets, factors, precision, scales, shift, noise, first, last, out
            ),
            n,
            least=32,
            threads=threads,
        )
    return out
