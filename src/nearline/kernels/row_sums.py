"""Weighted sums of rows of a dense matrix, as in the scores of linear models.

    out[r, j] = sum over entries e of row r, in their order: weight(e) * matrix[index(e), j]

Columns are summed in double precision in the order of the entries, so that the result of a row does
not depend on other rows or on the number of threads.
"""

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nearline.kernels.chunks import map_chunks
from nearline.kernels.edges import Rows

Floats = NDArray[np.float32]

# Number of columns that are summed at a time, so that the sums stay in the level-1 cache.
BLOCK = 2048


@njit(nogil=True, cache=True)
def _row_sums(matrix: Floats, rows: Rows, first: int, last: int, out: Floats) -> None:
    n_rows, n_columns = matrix.shape
    totals = np.empty(BLOCK, dtype=np.float64)
    for row in range(first, last):
        for start in range(0, n_columns, BLOCK):
            size = min(BLOCK, n_columns - start)
            totals[:size] = 0.0
            for entry in range(rows.indptr[row], rows.indptr[row + 1]):
                index = rows.items[entry]
                weight = np.float64(rows.weights[entry])
                if index < 0 or index >= n_rows or weight == 0.0:
                    continue
                for at in range(size):
                    totals[at] += weight * matrix[index, start + at]
            for at in range(size):
                out[row, start + at] = totals[at]


def row_sums(matrix: Floats, rows: Rows, *, threads: int | None = None) -> Floats:
    """Compute weighted sums of the rows of a matrix.

    Parameters
    ----------
    matrix : float32 [m, n]
        Matrix in C order.
    rows : Rows
        For each sum, indices and weights of rows of the matrix. Indices outside of the matrix are
        ignored.
    threads : int or None
        Number of threads; None for one per core.

    Returns
    -------
    float32 [number of rows, n]
        One sum for each row of `rows`.

    Raises
    ------
    ValueError
        `matrix` does not have two dimensions.

    Notes
    -----
    The time complexity is O(entries * n).
    """
    if matrix.ndim != 2:
        raise ValueError(f"matrix has {matrix.ndim} dimensions; pass a matrix [m, n]")
    out = np.empty((len(rows.indptr) - 1, matrix.shape[1]), dtype=np.float32)
    map_chunks(
        lambda first, last: _row_sums(matrix, rows, first, last, out),
        len(out),
        least=16,
        threads=threads,
    )
    return out


def dense_rows(vectors: Floats) -> Rows:
    """Convert dense vectors, float32 [m, d], to `Rows` with d columns, for `row_sums`."""
    m, d = vectors.shape
    return Rows(
        np.arange(m + 1, dtype=np.int64) * d,
        np.tile(np.arange(d, dtype=np.int32), m),
        np.ascontiguousarray(vectors, dtype=np.float32).reshape(-1),
    )
