"""Sparse matrices against SciPy, bit for bit where SciPy adds in the same order, and by hand."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from nearline.kernels.csr import Csr, as_csr, beside, group
from nearline.kernels.edges import Rows


@st.composite
def pairs(draw: st.DrawFn, n: int | None = None) -> tuple[Csr, Any]:
    """Draw a matrix from unordered entries with repetitions, and the same one of SciPy."""
    n = draw(st.integers(0, 6)) if n is None else n
    m = draw(st.integers(0, 6))
    # SciPy sorts longer rows without keeping the order of equal columns.
    size = draw(st.integers(0, 15)) if n and m else 0
    rng = np.random.default_rng(draw(st.integers(0, 1000)))
    kind = draw(st.sampled_from([np.float32, np.float64]))
    rows, columns = rng.integers(0, max(n, 1), size), rng.integers(0, max(m, 1), size)
    values = rng.normal(size=size).astype(kind)
    wanted = sparse.coo_array((values, (rows, columns)), shape=(n, m)).tocsr()
    return Csr.from_pairs(values, rows, columns, (n, m)), wanted


def same(found: Csr, wanted: Any) -> None:
    wanted = sparse.csr_array(wanted)
    wanted.sort_indices()
    assert found.shape == wanted.shape
    assert found.data.dtype == wanted.dtype
    np.testing.assert_array_equal(found.indptr, wanted.indptr)
    np.testing.assert_array_equal(found.indices, wanted.indices)
    np.testing.assert_array_equal(found.data, wanted.data)


def test_by_hand() -> None:
    # [[0, 3, 0], [1, 0, 2]], with the 3 in two parts.
    matrix = Csr.from_pairs(np.array([2.0, 1.0, 1.0, 2.0]), [1, 0, 1, 0], [2, 1, 0, 1], (2, 3))
    assert matrix.toarray().tolist() == [[0, 3, 0], [1, 0, 2]]
    assert matrix.indptr.tolist() == [0, 1, 3]
    assert matrix.indices.tolist() == [1, 0, 2]
    assert matrix.nnz == 3
    assert (matrix @ np.array([1.0, 10.0, 100.0])).tolist() == [30, 201]
    assert (matrix @ matrix.T).toarray().tolist() == [[9, 0], [0, 5]]
    assert matrix.sum(axis=0).tolist() == [1, 3, 2]
    assert matrix.sum(axis=1).tolist() == [3, 3]
    assert matrix.scaled(np.array([2.0, 1.0]), np.array([1.0, 5.0, 1.0])).data.tolist() == [
        30,
        1,
        2,
    ]
    assert matrix.take(np.array([1, 1])).toarray().tolist() == [[1, 0, 2], [1, 0, 2]]


@settings(deadline=None)
@given(pairs())
def test_conversions_equal_scipy(both: tuple[Csr, Any]) -> None:
    found, wanted = both
    same(found, wanted)
    same(found.T, wanted.T)
    same(found.map(np.abs), abs(wanted))
    same(found.astype(np.float64), wanted.astype(np.float64))
    assert as_csr(found) is found
    same(as_csr(wanted), wanted)
    np.testing.assert_array_equal(found.toarray(), wanted.toarray())
    same(Csr.from_dense(found.toarray()), sparse.csr_array(wanted.toarray()))
    rows = found.to_rows()
    same(Csr.from_rows(rows, found.shape[1]), wanted.astype(np.float32))
    assert rows.weights.dtype == np.float32


@settings(deadline=None)
@given(pairs(), st.integers(0, 1000))
def test_scaling_sums_and_rows_equal_scipy(both: tuple[Csr, Any], seed: int) -> None:
    found, wanted = both
    rng = np.random.default_rng(seed)
    n, m = found.shape
    by_row, by_column = rng.normal(size=n), rng.normal(size=m).astype(np.float32)
    same(found.scaled(by_row), sparse.diags_array(by_row) @ wanted)
    same(found.scaled(columns=by_column), wanted @ sparse.diags_array(by_column))
    for axis in (0, 1):
        np.testing.assert_array_equal(found.sum(axis), wanted.sum(axis=axis))
        assert found.sum(axis).dtype == found.data.dtype
    if n:
        picked = rng.integers(0, n, rng.integers(0, 5))
        same(found.take(picked), wanted[picked])


@settings(deadline=None)
@given(pairs(), st.integers(0, 3), st.sampled_from([np.float32, np.float64]), st.data())
def test_products_equal_scipy(
    both: tuple[Csr, Any], width: int, kind: type, data: st.DataObject
) -> None:
    found, wanted = both
    dense: np.ndarray = np.random.default_rng(0).normal(size=(found.shape[1], width)).astype(kind)
    for other in (dense, np.asfortranarray(dense), *dense.T):
        np.testing.assert_array_equal(found @ other, wanted @ other)
        assert (found @ other).dtype == (wanted @ other).dtype
    right, wanted_right = data.draw(pairs(n=found.shape[1]))
    product = wanted @ wanted_right
    np.testing.assert_array_equal((found @ right).toarray(), product.toarray())
    np.testing.assert_array_equal(found.dense_product(right), product.toarray())
    assert found.dense_product(right).dtype == (found @ right).data.dtype == product.dtype
    assert (np.diff((found @ right).row_of_each()) >= 0).all()


def test_many_rows_use_all_threads_with_equal_bits() -> None:
    rng = np.random.default_rng(0)
    wanted = sparse.csr_array(rng.random((3000, 200)) * (rng.random((3000, 200)) < 0.05))
    found = as_csr(wanted)
    dense = np.random.default_rng(1).normal(size=(200, 7))
    np.testing.assert_array_equal(found @ dense, wanted @ dense)
    np.testing.assert_array_equal(found.dense_product(found.T), (wanted @ wanted.T).toarray())
    same(found.T, wanted.T)


def test_beside_is_hstack() -> None:
    left = Csr.from_dense(np.array([[1.0, 0.0], [0.0, 2.0]], dtype=np.float32))
    right = Csr.from_dense(np.array([[0.0], [3.0]], dtype=np.float32))
    both = beside([left, right, left])
    assert both.toarray().tolist() == [[1, 0, 0, 1, 0], [0, 2, 3, 0, 2]]
    assert both.data.dtype == np.float32


def test_what_does_not_fit_is_refused() -> None:
    matrix = Csr.from_dense(np.eye(2, 3))
    for other in (np.ones(2), np.ones((4, 1)), matrix):
        with pytest.raises(ValueError, match="do not fit"):
            matrix @ other
    with pytest.raises(ValueError, match="do not fit"):
        matrix.dense_product(matrix)
    with pytest.raises(TypeError):
        np.ones(2) @ matrix  # type: ignore[operator]
    with pytest.raises(ValueError, match="indptr has 3 entries for 3 rows"):
        Csr(matrix.data, matrix.indices, matrix.indptr, (3, 3))
    for bad in ([0, 3], [-1, 0]):
        with pytest.raises(ValueError, match=r"below 3|negative"):
            Csr.from_pairs(np.ones(2), np.array([0, 1]), np.array(bad), (2, 3))


def test_groups_are_ascending() -> None:
    indptr, order = group(np.array([2, 0, 2, 0, 3]), 5)
    assert indptr.tolist() == [0, 2, 2, 4, 5, 5]
    assert order.tolist() == [1, 3, 0, 2, 4]


def test_rows_are_shared() -> None:
    rows = Rows(np.array([0, 1]), np.array([2], np.int32), np.array([0.5], np.float32))
    matrix = Csr.from_rows(rows, 3)
    assert matrix.data is rows.weights
    assert matrix.to_rows().items is rows.items
