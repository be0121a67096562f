"""Relations between items, by hand and against the oracles."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import naive

from nearline.kernels.edges import Rows, pack, pair_edges, product_edges, steps_of

N_ITEMS = 6
HISTORIES = st.lists(st.lists(st.integers(-1, N_ITEMS - 1), max_size=8), max_size=6)


def ragged(rows: list[list[int]], weights: list[list[float]] | None = None) -> Rows:
    indptr = np.cumsum([0] + [len(row) for row in rows]).astype(np.int64)
    items = np.array([item for row in rows for item in row], dtype=np.int32)
    flat = [1.0] * len(items) if weights is None else [w for row in weights for w in row]
    return Rows(indptr, items, np.array(flat, dtype=np.float32))


def as_lists(edges: Rows) -> list[list[tuple[int, float]]]:
    pairs = list(zip(edges.items.tolist(), edges.weights.tolist(), strict=True))
    bounds = zip(edges.indptr[:-1], edges.indptr[1:], strict=True)
    return [pairs[first:last] for first, last in bounds]


def test_transitions_by_hand() -> None:
    # 0 then 1 at gap 1, 0 then 2 at gap 2, 1 then 2 at gap 1; half as much backwards.
    forward = np.array([1.0, 0.5])
    pop = np.array([1.0, 1.0, 1.0])
    edges = pair_edges(
        ragged([[0, 1, 2]]),
        steps_of(forward, forward / 2),
        source=pop,
        target=pop,
        offset=1.0,
        top_k=9,
    )
    assert as_lists(edges) == [
        [(1, 0.5), (2, 0.25)],
        [(2, 0.5), (0, 0.25)],
        [(1, 0.25), (0, 0.125)],
    ]


@settings(deadline=None)
@given(
    HISTORIES,
    st.lists(st.sampled_from([-1.0, 0.0, 0.5, 1.0]), min_size=48, max_size=48),
    st.integers(1, 4),
    st.integers(1, 7),
)
def test_pairs_equal_the_definition(
    rows: list[list[int]], flat: list[float], reach: int, k: int
) -> None:
    # Dislikes make no pairs, which models see to; two of them would multiply to a like.
    flat = [max(weight, 0.0) for weight in flat]
    starts = np.cumsum([0] + [len(row) for row in rows])
    weights = [flat[start : start + len(row)] for start, row in zip(starts, rows, strict=False)]
    forward = 1.0 / np.arange(1, reach + 1)
    backward = 0.3 * forward
    source, target = np.arange(1.0, N_ITEMS + 1), np.sqrt(np.arange(1.0, N_ITEMS + 1))
    edges = pair_edges(
        ragged(rows, weights),
        steps_of(forward, backward),
        source=source,
        target=target,
        offset=0.5,
        top_k=k,
    )
    totals = naive.pair_totals(rows, weights, forward.tolist(), backward.tolist())
    for item, found in enumerate(as_lists(edges)):
        values = {
            other: total / (source[item] * target[other] + 0.5)
            for other, total in totals.get(item, {}).items()
        }
        expected = naive.top_k(values, k)
        assert [value for _, value in found] == pytest.approx([v for _, v in expected], rel=1e-6)
        # Where two values differ only in rounding, either order is right.
        for other, value in found:
            assert values[other] == pytest.approx(value, rel=1e-6)


@settings(deadline=None)
@given(
    st.lists(st.sampled_from([0.0, 0.0, 0.5, 1.0, -1.0]), min_size=30, max_size=30),
    st.integers(1, 6),
    st.booleans(),
)
def test_products_equal_dense_matrices(flat: list[float], k: int, diagonal: bool) -> None:
    left = np.array(flat).reshape(5, 6)
    dense = left @ left.T
    edges = product_edges(
        sparse_rows(left), sparse_rows(left.T), 5, top_k=k, diagonal=diagonal, threads=1
    )
    for row, found in enumerate(as_lists(edges)):
        values = {j: float(v) for j, v in enumerate(dense[row]) if v > 0 and (diagonal or j != row)}
        assert found == naive.top_k(values, k)


def sparse_rows(matrix: np.ndarray) -> Rows:
    rows = [np.flatnonzero(row).tolist() for row in matrix]
    return ragged(rows, [row[columns].tolist() for row, columns in zip(matrix, rows, strict=True)])


def test_edges_do_not_depend_on_threads() -> None:
    rng = np.random.default_rng(0)
    rows = ragged(rng.integers(0, 600, (400, 9)).tolist())
    ones = np.ones(600)
    one, two = (
        pair_edges(
            rows, steps_of(ones[:3], ones[:3]), source=ones, target=ones, top_k=9, threads=threads
        )
        for threads in (1, 2)
    )
    assert [part.tobytes() for part in (one.indptr, one.items, one.weights)] == [
        part.tobytes() for part in (two.indptr, two.items, two.weights)
    ]


def test_empty_input() -> None:
    none = np.zeros(0)
    edges = pair_edges(ragged([[]]), steps_of(none, none), source=none, target=none, top_k=3)
    assert edges.indptr.tolist() == [0]
    assert product_edges(pack([]), pack([]), 0, top_k=3).indptr.tolist() == [0]


def test_indices_outside_of_arrays_are_rejected() -> None:
    ones = np.ones(2)
    steps = steps_of(ones, ones)
    with pytest.raises(ValueError, match="item index 2 is not below 2"):
        pair_edges(ragged([[0, 2]]), steps, source=ones, target=ones, top_k=1)
    with pytest.raises(ValueError, match="reach"):
        steps_of(ones, ones[:1])
    with pytest.raises(ValueError, match="source has 2"):
        pair_edges(ragged([[0]]), steps, source=ones, target=ones[:1], top_k=1)
    with pytest.raises(ValueError, match="top_k"):
        pair_edges(ragged([[0]]), steps, source=ones, target=ones, top_k=0)
    with pytest.raises(ValueError, match="top_k"):
        product_edges(ragged([[0]]), ragged([[0]]), 1, top_k=0)
    short = Rows(np.array([0, 2]), np.zeros(1, np.int32), np.ones(1, np.float32))
    with pytest.raises(ValueError, match="indptr"):
        product_edges(short, ragged([[0]]), 1, top_k=1)
