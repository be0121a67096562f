"""Batch search by inner products against sorting."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import naive_implicit

from nearline.kernels.topn import QUERIES, TILE, Seen, by_norm, top_products

# Small whole numbers: products are exact and ties are common.
NUMBERS = st.integers(-2, 2).map(float)
MATRIX = st.lists(st.lists(NUMBERS, min_size=2, max_size=2), max_size=9)


def seen_of(rows: list[list[int]]) -> Seen:
    indptr = np.concatenate(([0], np.cumsum([len(row) for row in rows]))).astype(np.int64)
    return Seen(indptr, np.array([item for row in rows for item in row], dtype=np.int32))


@settings(deadline=None, max_examples=80)
@given(st.data(), MATRIX, MATRIX, st.integers(1, 12), st.sampled_from([-np.inf, 0.0, 1.0]))
def test_lists_equal_sorting(
    data: st.DataObject,
    queries: list[list[float]],
    items: list[list[float]],
    k: int,
    above: float,
) -> None:
    n, m = len(queries), len(items)
    barred = data.draw(
        st.lists(st.lists(st.integers(-1, m + 1), max_size=5), min_size=n, max_size=n)
    )
    allowed = data.draw(st.none() | st.lists(st.booleans(), max_size=m + 2))
    x, y = (np.array(rows, dtype=np.float32).reshape(-1, 2) for rows in (queries, items))
    best = top_products(
        x,
        by_norm(y),
        k,
        seen=seen_of(barred),
        allowed=None if allowed is None else np.array(allowed, dtype=np.bool_),
        above=above,
    )
    for row, query in enumerate(x):
        mask = [True] * m if allowed is None else (allowed + [False] * m)[:m]
        out = [*barred[row], *(item for item in range(m) if not mask[item])]
        expected = naive_implicit.top_products(query, y, k, barred=out, above=above)
        filled = len(expected)
        assert best.items[row].tolist() == [i for i, _ in expected] + [-1] * (k - filled)
        assert best.scores[row].tolist() == [s for _, s in expected] + [0] * (k - filled)


def test_many_queries_and_items_against_sorting() -> None:
    rng = np.random.default_rng(0)
    # Norms fall fast, so that the search ends before the last tile.
    y = rng.standard_normal((3 * TILE + 5, 4), dtype=np.float32)
    y *= (np.arange(len(y), dtype=np.float32)[:, None] + 1) ** -0.5
    y = rng.permutation(y)
    x = rng.standard_normal((2 * QUERIES + 3, 4), dtype=np.float32)
    best = top_products(x, by_norm(y), 10)
    scores = x.astype(np.float64) @ y.T.astype(np.float64)
    assert np.array_equal(best.items, np.argsort(-scores, axis=1, kind="stable")[:, :10])
    assert best.scores == pytest.approx(-np.sort(-scores, axis=1)[:, :10], rel=1e-6)
    for threads in (1, 2):
        again = top_products(x, by_norm(y), 10, threads=threads)
        assert np.array_equal(again.items, best.items)
        assert np.array_equal(again.scores, best.scores)


def test_a_query_is_answered_equally_alone_and_in_a_batch() -> None:
    rng = np.random.default_rng(1)
    x, y = (rng.standard_normal((n, 16), dtype=np.float32) for n in (50, 300))
    best = top_products(x, by_norm(y), 20)
    for row in range(50):
        one = top_products(x[row : row + 1], by_norm(y), 20)
        assert np.array_equal(one.items[0], best.items[row])
        assert np.array_equal(one.scores[0], best.scores[row])


def test_nan_is_never_listed() -> None:
    y = np.array([[np.nan], [1.0]], dtype=np.float32)
    best = top_products(np.ones((1, 1), dtype=np.float32), by_norm(y), 2)
    assert best.items.tolist() == [[1, -1]]


def test_a_length_below_one_is_rejected() -> None:
    with pytest.raises(ValueError, match="k is 0"):
        top_products(np.ones((1, 1), np.float32), by_norm(np.ones((1, 1), np.float32)), 0)
