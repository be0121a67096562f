"""Factors in coordinates in which the dense part of implicit ALS is the identity.

A half-step of implicit ALS solves, for each row u with the fixed factors y_i of the other side,

    (Y^T Y + l2 I + sum_i e_i y_i y_i^T) x = sum_i b_i y_i

With the Cholesky factor ``L L^T = Y^T Y + l2 I``, z = L^T x and w_i = L^-1 y_i, this becomes

    (I + sum_i e_i w_i w_i^T) z = sum_i b_i w_i

One matrix preconditions all rows, and no multiplication by a dense matrix remains. The sum of
w_i w_i^T over all i is at most I, so the condition number is at most 1 + max e_i.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import solve_triangular
from threadpoolctl import threadpool_limits

from nearline.kernels.chunks import map_chunks

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

# Rows per BLAS call: a few MB at hundreds of factors, independent of the number of threads.
BLOCK = 4096


class Factors:
    """Row vectors in a basis that can be changed: the true rows are ``values @ basis``.

    Changing the basis rewrites `values` in place, so training needs no second copy.

    Parameters
    ----------
    values : float32 [n, f]
        The true rows; the array is not copied, and changed in place.
    """

    def __init__(self, values: Floats) -> None:
        self.values = values
        self.basis: Doubles = np.eye(values.shape[1])

    def gram(self) -> Doubles:
        """Compute the Gram matrix of the true rows, float64 [f, f]; O(n f^2)."""
        inner: Doubles = self.basis.T @ gram(self.values) @ self.basis
        return inner

    def change_basis(self, basis: Doubles, inverse: Doubles) -> None:
        """Express the same true rows in another basis; O(n f^2)."""
        multiply(self.values, (self.basis @ inverse).astype(np.float32), self.values)
        self.basis = basis

    def true_values(self) -> Floats:
        """Change to the standard basis and return the true rows."""
        self.change_basis(np.eye(len(self.basis)), np.eye(len(self.basis)))
        return self.values


def gram(rows: Floats) -> Doubles:
    """Compute ``rows^T rows``, float64 [f, f]: float32 products of blocks, summed in float64."""
    f = rows.shape[1]
    with threadpool_limits(limits=1, user_api="blas"):
        parts = map_chunks(lambda first, last: _gram(rows[first:last]), len(rows), least=BLOCK)
    total: Doubles = np.sum(parts, axis=0) if parts else np.zeros((f, f))
    return total


def multiply(rows: Floats, matrix: Floats, out: Floats) -> None:
    """Compute ``out = rows @ matrix`` for a square matrix [f, f]; `out` may be `rows`."""

    def block(first: int, last: int) -> None:
        for at in range(first, last, BLOCK):
            end = min(at + BLOCK, last)
            out[at:end] = rows[at:end] @ matrix

    with threadpool_limits(limits=1, user_api="blas"):
        map_chunks(block, len(rows), least=BLOCK)


def whitening(inner: Doubles, l2: float) -> tuple[Doubles, Doubles]:
    """Return L and its inverse, lower triangular float64 [f, f], with ``L L^T = inner + l2 I``.

    Raises
    ------
    LinAlgError
        The sum is not positive definite: `l2` is too small, or `inner` is not finite.
    """
    identity = np.eye(len(inner))
    lower: Doubles = np.linalg.cholesky(inner + l2 * identity).astype(np.float64, copy=False)
    if not np.isfinite(lower).all():
        raise np.linalg.LinAlgError("the matrix is not finite")
    inverse: Doubles = solve_triangular(lower, identity, lower=True)
    return lower, inverse


def _gram(rows: Floats) -> Doubles:
    f = rows.shape[1]
    total = np.zeros((f, f))
    for at in range(0, len(rows), BLOCK):
        some = rows[at : at + BLOCK]
        total += some.T @ some
    return total
