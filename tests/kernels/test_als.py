"""Solvers of implicit ALS against dense normal equations."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import naive_implicit

from nearline.kernels.als import are_distinct, improve_rows, solve_rows, squared_loss
from nearline.kernels.edges import Rows, pack

WEIGHTS = st.lists(
    st.lists(st.sampled_from([0.0, 0.0, 0.5, 1.0, 3.0, -1.0]), min_size=6, max_size=6),
    min_size=1,
    max_size=8,
)


def ragged(weights: np.ndarray) -> Rows:
    columns = [np.flatnonzero(row).astype(np.int32) for row in weights]
    return pack(
        [
            (np.array([len(some)]), some, row[some].astype(np.float32))
            for some, row in zip(columns, weights, strict=True)
        ]
    )


def whitened(m: int, f: int, seed: int = 0) -> tuple[np.ndarray, float]:
    """Fixed factors with ``Y'Y + l2 I = I``, and that l2."""
    y = np.linalg.qr(np.random.default_rng(seed).standard_normal((m, f)))[0]
    return (y * np.sqrt(0.75)).astype(np.float32), 0.25


@settings(deadline=None, max_examples=40)
@given(WEIGHTS, st.integers(1, 5), st.sampled_from([0.5, 2.0, 10.0]), st.integers(0, 99))
def test_both_solvers_give_the_dense_solution(
    rows: list[list[float]], f: int, alpha: float, seed: int
) -> None:
    weights = np.array(rows)
    fixed, l2 = whitened(6, f, seed)
    exact = naive_implicit.solve(weights, fixed.astype(np.float64), alpha=alpha, l2=l2)
    start = np.random.default_rng(seed).standard_normal((len(rows), f), dtype=np.float32)
    by_steps, at_once = start.copy(), start.copy()
    improve_rows(ragged(weights), fixed, by_steps, alpha=alpha, steps=20)
    solve_rows(ragged(weights), fixed, at_once, alpha=alpha)
    assert by_steps == pytest.approx(exact, abs=1e-5)
    assert at_once == pytest.approx(exact, abs=1e-5)


def test_one_user_by_hand() -> None:
    # One factor: (1 + 2 * 3 * 0.25) z = (1 + 2 * 3) * 0.5, and the dislike of the other: 2 * 0.16.
    rows = ragged(np.array([[3.0, -1.0]]))
    out = np.zeros((1, 1), dtype=np.float32)
    improve_rows(rows, np.array([[0.5], [0.4]], dtype=np.float32), out, alpha=2.0, steps=1)
    assert out[0, 0] == pytest.approx(3.5 / (1 + 1.5 + 0.32), rel=1e-6)


def test_each_step_reduces_the_error() -> None:
    weights = (np.random.default_rng(0).random((5, 40)) < 0.5) * 4.0
    fixed, l2 = whitened(40, 12)
    exact = naive_implicit.solve(weights, fixed.astype(np.float64), alpha=5.0, l2=l2)
    errors = []
    for steps in (1, 2, 4, 12):
        out = np.zeros((5, 12), dtype=np.float32)
        improve_rows(ragged(weights), fixed, out, alpha=5.0, steps=steps)
        errors.append(np.abs(out - exact).max())
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-5


@pytest.mark.parametrize("n", [7, 16, 45])
def test_rows_longer_than_the_buffer(n: int) -> None:
    weights = np.ones((3, n))
    fixed, _ = whitened(n, 4)
    plain, small = (np.zeros((3, 4), dtype=np.float32) for _ in range(2))
    improve_rows(ragged(weights), fixed, plain, alpha=3.0, steps=3)
    improve_rows(ragged(weights), fixed, small, alpha=3.0, steps=3, buffer=1)
    assert np.array_equal(plain, small)


def test_rows_do_not_depend_on_threads() -> None:
    weights = np.random.default_rng(1).integers(0, 2, (600, 9)).astype(np.float64)
    fixed, _ = whitened(9, 4)
    rows, outs = ragged(weights), []
    for threads in (1, 2):
        steps, exact = (np.zeros((600, 4), dtype=np.float32) for _ in range(2))
        improve_rows(rows, fixed, steps, alpha=3.0, steps=2, threads=threads)
        solve_rows(rows, fixed, exact, alpha=3.0, threads=threads)
        outs.append((steps, exact, squared_loss(rows, steps, fixed, alpha=3.0, threads=threads)))
    for one, two in zip(*outs, strict=True):
        assert np.array_equal(one, two)


def test_rows_without_entries_become_zero() -> None:
    out = np.ones((2, 3), dtype=np.float32)
    improve_rows(ragged(np.zeros((2, 4))), whitened(4, 3)[0], out, alpha=1.0, steps=2)
    assert not out.any()


def test_loss_of_the_entries() -> None:
    x, y = np.array([[1.0], [2.0]]), np.array([[0.5], [1.0]])
    weights = np.array([[1.0, 0.0], [0.0, -2.0]])
    # Liked: (1 + 3) (1 - 0.5)^2 - 0.5^2; disliked: (1 + 6) (0 - 2)^2 - 2^2.
    found = squared_loss(ragged(weights), x.astype(np.float32), y.astype(np.float32), alpha=3.0)
    assert found == pytest.approx(0.75 + 24)


@pytest.mark.parametrize(
    ("row", "distinct"), [([0, 2, 1], True), ([], True), ([1, 1], False), ([-1], False)]
)
def test_repeated_and_unknown_columns_are_detected(row: list[int], distinct: bool) -> None:
    columns = np.array(row, dtype=np.int32)
    rows = pack([(np.array([len(row)]), columns, np.ones(len(row), dtype=np.float32))])
    assert are_distinct(rows, 3) is distinct
    assert not are_distinct(rows, 0) or not row
