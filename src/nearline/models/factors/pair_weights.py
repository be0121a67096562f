"""Conversion of histories to a matrix of users and items with weights."""

import numpy as np

from nearline.data.dataset import Histories
from nearline.kernels.als import are_distinct
from nearline.kernels.csr import Csr
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
    shape = (len(histories), n_items)
    return Csr.from_pairs(rows.weights[known], users[known], rows.items[known], shape).to_rows()


def item_by_user(rows: Rows, n_items: int) -> Csr:
    """Return the transpose of a matrix whose rows are users: [n_items, n_users]."""
    return Csr.from_rows(rows, n_items).T


def row_range(histories: Histories, first: int, last: int) -> Histories:
    """Return the rows from `first` to ``last - 1`` without copying the events."""
    indptr = histories.indptr[first : last + 1]
    part = slice(int(indptr[0]), int(indptr[-1]))
    return Histories(
        indptr - indptr[0], histories.items[part], histories.weights[part], histories.times[part]
    )
