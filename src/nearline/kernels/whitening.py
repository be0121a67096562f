"""Whitening of factors: coordinates in which the dense part of implicit ALS is the identity.

For each row u, a half-step of implicit ALS (alternating least squares) solves the system

    (Y^T Y + l2 I + sum_i e_i y_i y_i^T) x = sum_i b_i y_i

where Y is the matrix of the fixed factors y_i of all columns, and e_i and b_i depend on the entries
of row u (see `nearline.kernels.als`). With the Cholesky factor ``L L^T = Y^T Y + l2 I``, z = L^T x
and w_i = L^-1 y_i, it becomes

    (I + sum_i e_i w_i w_i^T) z = sum_i b_i w_i

Thus one matrix preconditions the systems of all rows, which need no multiplication by a dense
matrix. The sum of w_i w_i^T over all i is at most I, so the condition number is at most
1 + max e_i.
"""

import numpy as np
from numpy.typing import NDArray

from nearline.kernels.blas import one_blas_thread
from nearline.kernels.chunks import map_chunks

Floats = NDArray[np.float32]
Doubles = NDArray[np.float64]

# Number of rows in a call of BLAS: a few MB for hundreds of factors.
BLOCK = 4096


class Factors:
    """Matrix of row vectors in a basis that can be changed: the true rows are ``values @ basis``.

    A change of basis overwrites `values`, so that training needs no second copy.

    Parameters
    ----------
    values : float32 [n, f]
        The true rows. The array is not copied, and is changed in place.

    Attributes
    ----------
    basis : float64 [f, f]
        Current basis; at first, the identity.
    """

    def __init__(self, values: Floats) -> None:
        self.values = values
        self.basis: Doubles = np.eye(values.shape[1])

    def gram(self) -> Doubles:
        """Compute the Gram matrix of the true rows: float64 [f, f]."""
        inner: Doubles = self.basis.T @ gram(self.values) @ self.basis
        return inner

    def change_basis(self, basis: Doubles, inverse: Doubles) -> None:
        """Express the true rows in another basis, float64 [f, f], whose inverse is `inverse`."""
        multiply(self.values, (self.basis @ inverse).astype(np.float32), self.values)
        self.basis = basis

    def true_values(self) -> Floats:
        """Change to the standard basis and return the true rows, float32 [n, f]."""
        self.change_basis(np.eye(len(self.basis)), np.eye(len(self.basis)))
        return self.values


def gram(rows: Floats) -> Doubles:
    """Compute the Gram matrix ``rows.T @ rows``: float64 [f, f].

    Products of blocks of rows, float32 [n, f], are computed in single precision and added up in
    double precision.
    """
    f = rows.shape[1]
    with one_blas_thread():
        parts = map_chunks(lambda first, last: _gram(rows[first:last]), len(rows), least=BLOCK)
    total: Doubles = np.sum(parts, axis=0) if parts else np.zeros((f, f))
    return total


def multiply(rows: Floats, matrix: Floats, out: Floats) -> None:
    """Write ``rows @ matrix`` to `out`, which may be `rows` itself; `matrix` is float32 [f, f]."""

    def block(first: int, last: int) -> None:
        for at in range(first, last, BLOCK):
            end = min(at + BLOCK, last)
            out[at:end] = rows[at:end] @ matrix

    with one_blas_thread():
        map_chunks(block, len(rows), least=BLOCK)


def whitening(inner: Doubles, l2: float) -> tuple[Doubles, Doubles]:
    """Compute the Cholesky factor L of ``inner + l2 I``, and its inverse.

    Parameters
    ----------
    inner : float64 [f, f]
        Gram matrix of the factors.
    l2 : float
        Weight of the penalty.

    Returns
    -------
    float64 [f, f], float64 [f, f]
        L and its inverse; both are lower triangular.

    Raises
    ------
    LinAlgError
        The sum is not positive definite: `l2` is too small, or `inner` is not finite.
    """
    identity = np.eye(len(inner))
    lower: Doubles = np.linalg.cholesky(inner + l2 * identity).astype(np.float64, copy=False)
    if not np.isfinite(lower).all():
        raise np.linalg.LinAlgError("the matrix is not finite")
    # Forward substitution, a row at a time.
    inverse: Doubles = np.zeros_like(lower)
    for row in range(len(lower)):
        inverse[row] = identity[row] - lower[row, :row] @ inverse[:row]
        inverse[row] /= lower[row, row]
    return lower, inverse


def _gram(rows: Floats) -> Doubles:
    f = rows.shape[1]
    total = np.zeros((f, f))
    for at in range(0, len(rows), BLOCK):
        some = rows[at : at + BLOCK]
        total += some.T @ some
    return total
