"""Weighted sums of rows against a plain matrix product."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nearline.kernels.edges import Rows
from nearline.kernels.row_sums import BLOCK, dense_rows, row_sums


def test_by_hand() -> None:
    matrix = np.array([[1, 2, 3], [10, 20, 30]], dtype=np.float32)
    rows = Rows(
        np.array([0, 2, 2, 5], dtype=np.int64),
        np.array([0, 1, 1, -1, 7], dtype=np.int32),
        np.array([1, 0.5, 2, 9, 9], dtype=np.float32),
    )
    assert row_sums(matrix, rows).tolist() == [[6, 12, 18], [0, 0, 0], [20, 40, 60]]


@settings(deadline=None, max_examples=20)
@given(
    seed=st.integers(0, 2**32 - 1),
    n_users=st.integers(0, 40),
    n=st.sampled_from([1, 5, BLOCK + 3]),
)
def test_equals_the_product_on_any_number_of_threads(seed: int, n_users: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    matrix = rng.standard_normal((4, n)).astype(np.float32)
    vectors = rng.standard_normal((n_users, 4)).astype(np.float32)
    found = row_sums(matrix, dense_rows(vectors), threads=2)
    assert found == pytest.approx(vectors.astype(np.float64) @ matrix, rel=1e-5, abs=1e-5)
    assert np.array_equal(found, row_sums(matrix, dense_rows(vectors), threads=1))
    if n_users:
        assert np.array_equal(found[-1:], row_sums(matrix, dense_rows(vectors[-1:])))


def test_a_vector_is_rejected() -> None:
    with pytest.raises(ValueError, match="1 dimensions"):
        row_sums(np.zeros(3, dtype=np.float32), dense_rows(np.zeros((1, 3), dtype=np.float32)))
