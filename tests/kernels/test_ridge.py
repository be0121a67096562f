from collections.abc import Sequence

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import naive_factors as naive

from nearline.kernels import ridge
from nearline.kernels.ridge import Targets, solve_rows


def targets(rows: Sequence[Sequence[tuple[int, float]]]) -> Targets:
    indptr = np.concatenate(([0], np.cumsum([len(row) for row in rows]))).astype(np.int64)
    columns = np.array([column for row in rows for column, _ in row], dtype=np.int32)
    return Targets(indptr, columns, np.array([value for row in rows for _, value in row]))


ROWS = st.lists(
    st.lists(st.tuples(st.integers(0, 4), st.floats(-5, 5)), max_size=7), min_size=1, max_size=5
)


def test_one_factor_by_hand() -> None:
    # (1*4 + 2*5) / (1 + 4 + 2) = 2; a row without entries is 0.
    factors = np.array([[1.0], [2.0]])
    solved = solve_rows(targets([[(0, 4.0), (1, 5.0)], []]), factors, np.array([[2.0]]))
    assert solved == pytest.approx(np.array([[2.0], [0.0]]))


def test_scales_shift_and_noise_by_hand() -> None:
    # left: 3 * 1 + 1 = 4; right: 2 + 6 = 8; noise 5 over the root of 4.
    solved = solve_rows(
        targets([[(0, 6.0)]]),
        np.array([[1.0]]),
        np.array([[1.0]]),
        scales=np.array([3.0]),
        shift=np.array([2.0]),
        noise=np.array([[5.0]]),
    )
    assert solved[0, 0] == pytest.approx(8 / 4 + 5 / 2)


@settings(max_examples=40, deadline=None)
@given(rows=ROWS, f=st.integers(1, 4), seed=st.integers(0, 100))
def test_rows_equal_the_normal_equations(
    rows: list[list[tuple[int, float]]], f: int, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    factors, root = rng.normal(size=(5, f)), rng.normal(size=(f, f))
    precision = root @ root.T + np.eye(f)
    solved = solve_rows(targets(rows), factors, precision)
    for row, found in zip(rows, solved, strict=True):
        assert found == pytest.approx(naive.ridge(row, factors, precision), abs=1e-8)


def test_rows_longer_than_a_panel() -> None:
    rng = np.random.default_rng(0)
    m = 2 * ridge.PANEL + 3
    factors = rng.normal(size=(m, 3))
    row = [(column, float(value)) for column, value in enumerate(rng.normal(size=m))]
    solved = solve_rows(targets([row]), factors, np.eye(3))
    assert solved[0] == pytest.approx(naive.ridge(row, factors, np.eye(3)), abs=1e-10)


def test_noise_has_the_inverse_of_the_left_side_as_covariance() -> None:
    rng = np.random.default_rng(1)
    factors, n = rng.normal(size=(4, 2)), 20_000
    row = [(column, 0.0) for column in range(4)]
    drawn = solve_rows(targets([row] * n), factors, np.eye(2), noise=rng.standard_normal((n, 2)))
    assert np.cov(drawn.T) == pytest.approx(
        np.linalg.inv(factors.T @ factors + np.eye(2)), abs=0.02
    )


def test_results_do_not_depend_on_threads() -> None:
    rng = np.random.default_rng(2)
    rows = [[(int(c), 1.0) for c in rng.integers(0, 30, 9)] for _ in range(200)]
    factors = rng.normal(size=(30, 5))
    one = solve_rows(targets(rows), factors, np.eye(5), threads=1)
    assert np.array_equal(one, solve_rows(targets(rows), factors, np.eye(5), threads=3))


def test_a_precision_of_another_size_is_rejected() -> None:
    with pytest.raises(ValueError, match=r"precision has shape \(2, 2\); 3 factors need \(3, 3\)"):
        solve_rows(targets([[]]), np.zeros((1, 3)), np.eye(2))
