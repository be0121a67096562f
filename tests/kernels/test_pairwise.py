"""Steps of BPR against the numerical gradient of its loss."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import approx_fprime
from tests.kernels.test_elastic_net import rows
from tests.naive_linear import pair_loss

from nearline.kernels.pairwise import fold_in_pairs, pair_epoch

RATE, L2 = 0.01, 0.1


def start(seed: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    users, items = rng.standard_normal((2, 3)), rng.standard_normal((4, 3))
    return users.astype(np.float32), items.astype(np.float32), np.zeros(4, dtype=np.float32)


@settings(deadline=None, max_examples=20)
@given(seed=st.integers(0, 2**32 - 1))
def test_a_step_descends_the_gradient(seed: int) -> None:
    users, items, biases = start(seed)
    before = np.concatenate((users[1], items.ravel(), biases)).astype(np.float64)

    def loss(x: np.ndarray) -> float:
        return pair_loss(x[:3], x[3:15].reshape(4, 3), x[15:], 2, 0, L2)

    slope = approx_fprime(before, loss, 1e-6)
    liked = rows([[1], [2, 3]])
    negatives = np.array([[0]], dtype=np.int32)
    order, row_of = np.array([1]), np.array([0, 1, 1], dtype=np.int32)
    other_user = users[0].copy()
    pair_epoch(liked, order, row_of, negatives, users, items, biases, RATE, L2)
    after = np.concatenate((users[1], items.ravel(), biases))
    assert after - before == pytest.approx(-RATE * slope, abs=1e-5)
    assert np.array_equal(users[0], other_user)


def test_the_hardest_item_that_is_not_liked_is_taken() -> None:
    liked = rows([[1, 3]])
    order, row_of = np.array([0]), np.array([0, 0], dtype=np.int32)
    for drawn, changed in (([3], []), ([3, 1], []), ([0], [0, 1]), ([0, 2, 3], [1, 2])):
        users, items, biases = start(5)
        users = users[:1]
        items[2] = 5 * users[0]
        items[0] = -users[0]
        old = items.copy()
        negatives = np.array([drawn], dtype=np.int32)
        pair_epoch(liked, order, row_of, negatives, users, items, biases, RATE, L2)
        assert np.flatnonzero((items != old).any(axis=1)).tolist() == changed


def test_fold_in_is_equal_alone_and_in_a_batch() -> None:
    _, items, biases = start(2)
    negatives = np.array([[0], [3], [1], [2]], dtype=np.int32)
    liked = rows([[0, 1]] * 20 + [[], [2]])
    found = fold_in_pairs(liked, negatives, items, biases, passes=30, rate=0.1, l2=0.01, threads=2)
    alone = fold_in_pairs(rows([[0, 1]]), negatives, items, biases, passes=30, rate=0.1, l2=0.01)
    assert np.array_equal(found[:20], np.repeat(alone, 20, axis=0))
    assert found[20].tolist() == [0, 0, 0]
    scores = items @ alone[0]
    assert scores[[0, 1]].min() > scores[[2, 3]].max()
