"""Coordinate descent against a general solver and scikit-learn."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import ElasticNet
from tests.naive_linear import Doubles, best_net_objective, net_objective

from nearline.kernels.edges import Rows
from nearline.kernels.elastic_net import elastic_net_columns


def rows(lists: list[list[int]]) -> Rows:
    indptr = np.concatenate(([0], np.cumsum([len(row) for row in lists]))).astype(np.int64)
    items = np.array([item for row in lists for item in row], dtype=np.int32)
    return Rows(indptr, items, np.ones(len(items), dtype=np.float32))


def solve(matrix: Doubles, l1: float, l2: float, *, positive: bool, threads: int = 1) -> Doubles:
    """Weights [n, n]: column j holds what explains item j."""
    n = matrix.shape[1]
    columns = rows([np.flatnonzero(matrix[:, j]).tolist() for j in range(n)])
    candidates = rows([[i for i in range(n) if i != j] for j in range(n)])
    found = elastic_net_columns(
        columns,
        candidates,
        len(matrix),
        l1=l1,
        l2=l2,
        positive=positive,
        sweeps=2000,
        tolerance=1e-9,
        threads=threads,
    )
    weights = np.zeros((n, n))
    for j in range(n):
        entries = slice(found.indptr[j], found.indptr[j + 1])
        weights[found.items[entries], j] = found.weights[entries]
    return weights


def test_by_hand() -> None:
    # Both items have the same two users: minimise 0.5 * 2 (1 - w)^2 + w + 0.5 * 2 w^2.
    matrix = np.array([[1, 1], [1, 1], [0, 0]], dtype=np.float64)
    assert solve(matrix, 1.0, 2.0, positive=True).tolist() == [[0, 0.25], [0.25, 0]]
    assert solve(matrix, 2.0, 0.0, positive=True).tolist() == [[0, 0], [0, 0]]


@settings(deadline=None, max_examples=15)
@given(
    seed=st.integers(0, 2**32 - 1),
    l1=st.floats(0, 3),
    l2=st.floats(0.1, 5),
    positive=st.booleans(),
)
def test_the_minimum_is_reached(seed: int, l1: float, l2: float, positive: bool) -> None:
    rng = np.random.default_rng(seed)
    matrix = (rng.random((12, 5)) < 0.4).astype(np.float64)
    weights = solve(matrix, l1, l2, positive=positive)
    assert np.array_equal(weights, solve(matrix, l1, l2, positive=positive, threads=2))
    assert (np.diag(weights) == 0).all()
    if positive:
        assert (weights >= 0).all()
    for j in range(5):
        least = best_net_objective(matrix, j, l1, l2, positive=positive)
        assert net_objective(matrix, j, weights[:, j], l1, l2) <= least + 1e-5


@pytest.mark.parametrize("positive", [True, False])
def test_equals_scikit_learn(positive: bool) -> None:
    rng = np.random.default_rng(1)
    matrix = (rng.random((60, 9)) < 0.3).astype(np.float64)
    l1, l2, n = 0.7, 2.5, len(matrix)
    weights = solve(matrix, l1, l2, positive=positive)
    for j in range(9):
        others = [i for i in range(9) if i != j]
        net = ElasticNet(  # type: ignore[no-untyped-call]
            alpha=(l1 + l2) / n,
            l1_ratio=l1 / (l1 + l2),
            fit_intercept=False,
            positive=positive,
            tol=1e-10,
            max_iter=100_000,
        ).fit(matrix[:, others], matrix[:, j])
        assert weights[others, j] == pytest.approx(net.coef_, abs=1e-6)


def test_invalid_shapes_are_rejected() -> None:
    with pytest.raises(ValueError, match="2 columns and candidates for 1"):
        elastic_net_columns(rows([[0], [0]]), rows([[1]]), 1, l1=0, l2=1)
    with pytest.raises(ValueError, match="row index 5"):
        elastic_net_columns(rows([[5]]), rows([[]]), 2, l1=0, l2=1)
