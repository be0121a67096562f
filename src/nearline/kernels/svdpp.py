"""SVD++: one pass of stochastic gradient descent, and the sums of implicit factors.

One thread: each step reads what the step before has written, so that more would make the result
depend on their timing.
"""

from typing import NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

from nearline.kernels.ridge import Doubles, Targets


class Parameters(NamedTuple):
    """What is learned, float64: two biases and three sets of factors, all written to."""

    user_biases: Doubles
    item_biases: Doubles
    users: Doubles
    items: Doubles
    implicit: Doubles


class Rates(NamedTuple):
    """Step and penalties: of factors, of biases, and of implicit factors."""

    step: float
    l2: float
    bias_l2: float
    implicit_l2: float


@njit(nogil=True, cache=True)
def implicit_sums(
    indptr: NDArray[np.int64], columns: NDArray[np.int32], implicit: Doubles
) -> Doubles:
    """Sum of the implicit factors of each row's columns, over the root of their number: [n, f]."""
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
    """Take one gradient step for each rating, user by user in the order given.

    The implicit factors take one step a user, from the sum of the errors: O(ratings f) a pass,
    where a step a rating would cost O(sum of squared history lengths times f).

    Parameters
    ----------
    targets : Targets
        Ratings less their mean, a row a user.
    order : int64 [n]
        Users, in the order in which they are visited.
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
