"""SVD++: one pass of stochastic gradient descent, and the sums of implicit factors.

The descent is sequential: each step reads what the one before has written, so with several threads
the result would depend on their timing.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nearline.kernels.ridge import Doubles, Targets


class Parameters(NamedTuple):
    """Learned parameters, float64: biases [n], factors [n, f]; `descend` changes them in place."""

    user_biases: Doubles
    item_biases: Doubles
    users: Doubles
    items: Doubles
    implicit: Doubles


class Rates(NamedTuple):
    """Learning rate, and penalties of factors, biases and implicit factors."""

    step: float
    l2: float
    bias_l2: float
    implicit_l2: float


@njit(nogil=True, cache=True)
def implicit_sums(
    indptr: NDArray[np.int64], columns: NDArray[np.int32], implicit: Doubles
) -> Doubles:
    """Sum the implicit factors of each row's n columns, divided by sqrt(n): float64 [n_rows, f]."""
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
    """Take one gradient step for each rating, user by user in the given order.

    The implicit factors take one step per user, with the summed errors. A pass thus costs
    O(ratings f); a step per rating would cost O(f * sum of squared history lengths).

    Parameters
    ----------
    targets : Targets
        Ratings minus their mean, one row per user.
    order : int64 [n]
        Order in which the users are visited.
    learned : Parameters
        Changed in place.
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
