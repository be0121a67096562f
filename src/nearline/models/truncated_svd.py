"""Truncated singular value decomposition of large sparse matrices."""

from typing import Any

from numpy.typing import NDArray

from nearline.common.scipy import scipy_module
from nearline.kernels.csr import Csr

Numbers = NDArray[Any]


def truncated_svd(matrix: Csr, k: int, start: Numbers, user: str) -> tuple[Numbers, Numbers]:
    """Return the `k` largest singular values, and their right vectors: float64 [k], [k, m].

    Parameters
    ----------
    matrix : Csr [n, m]
        Matrix of float64.
    k : int
        Number of values, less than n and m.
    start : float64 [min(n, m)]
        First vector of the Lanczos iterations (ARPACK).
    user : str
        What needs SciPy, for the message.

    Raises
    ------
    MissingExtra
        SciPy is not installed.
    """
    sparse = scipy_module("scipy.sparse", user)
    svds = scipy_module("scipy.sparse.linalg", user).svds
    same = sparse.csr_array((matrix.data, matrix.indices, matrix.indptr), shape=matrix.shape)
    _, values, right = svds(same, k=k, v0=start)
    return values[::-1], right[::-1]
