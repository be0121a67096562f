"""SVD++: one pass of stochastic gradient descent, and sums of implicit factors.

The descent runs in a single thread: each step depends on the one before, so that with several
threads, the result would depend on their timing.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nearline.kernels.ridge import Doubles, Targets


class Parameters(NamedTuple):
    """Parameters of the model, which `descend` changes in place.

    Attributes
    ----------
    user_biases, item_biases : float64 [n_users], float64 [n_items]
        Biases.
    users, items : float64 [n_users, f], float64 [n_items, f]
        Factors.
    implicit : float64 [n_items, f]
        Implicit factors of items, whose sum over the items of a user is added to the user's
        factors.
    """

    user_biases: Doubles
    item_biases: Doubles
    users: Doubles
    items: Doubles
    implicit: Doubles


class Rates(NamedTuple):
    """Learning rate (`step`), and L2 penalties of factors, biases and implicit factors."""

    step: float
    l2: float
    bias_l2: float
    implicit_l2: float


@njit(nogil=True, cache=True)
def implicit_sums(
    indptr: NDArray[np.int64], columns: NDArray[np.int32], implicit: Doubles
) -> Doubles:
    """Sum the implicit factors of the columns of each row, divided by the root of their number.

    Parameters
    ----------
    indptr, columns : int64 [n + 1], int32 [m]
        Ragged array of columns, as in `Targets`.
    implicit : float64 [n_columns, f]
        Implicit factors.

    Returns
    -------
    float64 [n, f]
        Sums; zeros for a row without columns.
    """
    n, f = len(indptr) - 1, implicit.shape[1]
    sums = np.zeros((n, f))
    for row in range(n):
        start, end = indptr[row], indptr[row + 1]
        for at in range(start, end):
            sums[row] += implicit[columns[at]]
        if end > start:
            sums[row] /= np.sqrt(end - start)
    return sums


@njit(nogil=True, cache=True)
def descend(targets: Targets, order: NDArray[np.int64], learned: Parameters, rates: Rates) -> None:
    """Take one gradient step for each rating, one user after the other.

    The implicit factors are changed once per user, by the sum of the errors. Thus a pass takes
    O(ratings * f) time; a step for each rating would take O(f * sum of squared row lengths).

    Parameters
    ----------
    targets : Targets
        Ratings of each user, minus their mean.
    order : int64 [n]
        Users in the order of the steps.
    learned : Parameters
        Parameters, which are changed in place.
    rates : Rates
        Learning rate and penalties.
    """
    indptr, columns, values = targets
    user_biases, item_biases, users, items, implicit = learned
    f = users.shape[1]
    total, gradient, whole = np.empty(f), np.empty(f), np.empty(f)
    for user in order:
        start, end = indptr[user], indptr[user + 1]
        if start == end:
            continue
        share = 1.0 / np.sqrt(end - start)
        total[:] = 0.0
        for at in range(start, end):
            total += implicit[columns[at]]
        gradient[:] = 0.0
        for at in range(start, end):
            item = columns[at]
            error = values[at] - user_biases[user] - item_biases[item]
            for k in range(f):
                whole[k] = users[user, k] + share * total[k]
                error -= whole[k] * items[item, k]
            user_biases[user] += rates.step * (error - rates.bias_l2 * user_biases[user])
            item_biases[item] += rates.step * (error - rates.bias_l2 * item_biases[item])
            for k in range(f):
                factor = items[item, k]
                gradient[k] += error * factor
                users[user, k] += rates.step * (error * factor - rates.l2 * users[user, k])
                items[item, k] += rates.step * (error * whole[k] - rates.l2 * factor)
        for at in range(start, end):
            for k in range(f):
                item = columns[at]
                slope = share * gradient[k] - rates.implicit_l2 * (end - start) * implicit[item, k]
                implicit[item, k] += rates.step * slope
