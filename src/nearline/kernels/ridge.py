"""Ridge regressions: one closed-form solution for each row of a sparse matrix.

For row u with targets t and the matrix G of the factors of its columns, the normal equations are

    (s_u * Lambda + G^T G) x = h + G^T t

whose solution is the posterior mean of x for the prior precision ``s_u * Lambda`` and the shift h.
If L is the Cholesky factor of the matrix on the left and z is standard normal, the sum of the
solution and ``L^-T z`` is a sample from the posterior. Alternating least squares uses the mean,
Gibbs sampling uses samples.
"""

from importlib import import_module
from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nearline.kernels.blas import COMPILED, one_blas_thread
from nearline.kernels.chunks import map_chunks

Doubles = NDArray[np.float64]

# Number of rows of factors that are copied at a time; a few hundred factors fit into the level-2
# cache.
PANEL = 128


class Targets(NamedTuple):
    """Sparse matrix of regression targets.

    Attributes
    ----------
    indptr : int64 [n + 1]
        Row u has the entries from ``indptr[u]`` to ``indptr[u + 1] - 1``.
    columns : int32 [nnz]
        Column of each entry: a row number of the factors.
    values : float64 [nnz]
        Target of each entry.
    """

    indptr: NDArray[np.int64]
    columns: NDArray[np.int32]
    values: Doubles


@njit(nogil=True, cache=True)
def _substitute(lower: Doubles, x: Doubles, noise: Doubles) -> None:
    """Replace b in `x` by the solution of ``L L^T x = b``, plus ``L^-T noise``; L is `lower`."""
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
    """Solve the normal equations of each row: float64 [n, f].

    Parameters
    ----------
    targets : Targets
        Targets of n rows. The solution of a row without entries depends only on the other
        parameters.
    factors : float64 [m, f]
        One row for each column of `targets`.
    precision : float64 [f, f]
        Matrix Lambda, symmetric and positive definite.
    scales : float64 [n] or None
        Factor s_u of Lambda for each row, above 0; None for 1.
    shift : float64 [f] or None
        Vector h, which is added to the right side of each row; None for 0.
    noise : float64 [n, f] or None
        Vector z for each row; None for posterior means.
    threads : int or None
        Number of threads; None for one per core. It does not affect the result.

    Raises
    ------
    ValueError
        `precision` has the wrong shape.
    LinAlgError
        The matrix on the left side of a row is not positive definite.
    ImportError
        SciPy is not installed.

    Notes
    -----
    The time complexity is O(nnz f^2 + n f^3). Each thread needs memory for `PANEL` * f numbers.
    """
    n, f = len(targets.indptr) - 1, factors.shape[1]
    if precision.shape != (f, f):
        raise ValueError(f"precision has shape {precision.shape}; {f} factors need {(f, f)}")
    scales = np.ones(n) if scales is None else scales
    shift = np.zeros(f) if shift is None else shift
    # Kernels take no optional arrays: a single row of zeros is used for all rows.
    noise = np.zeros((1, f)) if noise is None else noise
    out = np.empty((n, f))
    import_module(COMPILED)  # so that the limit applies to it
    # Threads of BLAS would compete for the same cores.
    with one_blas_thread():
        map_chunks(
            lambda first, last: _solve(
                targets, factors, precision, scales, shift, noise, first, last, out
            ),
            n,
            least=32,
            threads=threads,
        )
    return out
