"""Conversion of histories to a matrix of users and items with weights."""

import numpy as np
from scipy import sparse

from nearline.data.dataset import Histories
from nearline.kernels.als import are_distinct
from nearline.kernels.edges import Rows
from nearline.models.base import check_weights


def pair_rows(histories: Histories, n_items: int) -> Rows:
    """Return the sum of the weights of each user and known item, one row per user.

    The arrays of histories without repeated or unknown items are not copied.

    Raises
    ------
    InvalidInput
        A weight is not finite.
    """
    check_weights(histories)
    rows = Rows(histories.indptr, histories.items, histories.weights)
    if are_distinct(rows, n_items):
        return rows
    known = (rows.items >= 0) & (rows.items < n_items)
    users = np.repeat(np.arange(len(histories), dtype=np.int32), np.diff(rows.indptr))
    pairs = (users[known], rows.items[known])
    shape = (len(histories), n_items)
    return as_rows(sparse.coo_array((rows.weights[known], pairs), shape=shape).tocsr())


def item_by_user(rows: Rows, n_items: int) -> "sparse.csr_array":
    """Return the transpose of a matrix whose rows are users: CSR [n_items, n_users]."""
    shape = (len(rows.indptr) - 1, n_items)
    return sparse.csr_array((rows.weights, rows.items, rows.indptr), shape=shape).T.tocsr()


def as_rows(matrix: "sparse.csr_array") -> Rows:
    """Convert a CSR matrix to `Rows`; its entries are copied only if the dtypes differ."""
    return Rows(
        matrix.indptr.astype(np.int64),
        matrix.indices.astype(np.int32, copy=False),
        matrix.data.astype(np.float32, copy=False),
    )


def row_range(histories: Histories, first: int, last: int) -> Histories:
    """Return the rows from `first` to ``last - 1`` without copying the events."""
    indptr = histories.indptr[first : last + 1]
    part = slice(int(indptr[0]), int(indptr[-1]))
    return Histories(
        indptr - indptr[0], histories.items[part], histories.weights[part], histories.times[part]
    )
