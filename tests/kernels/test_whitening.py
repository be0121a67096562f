"""Factors in another basis, against plain matrix products."""

import numpy as np
import pytest

from nearline.kernels.whitening import BLOCK, Factors, gram, multiply, whitening


def rows(n: int, f: int) -> np.ndarray:
    return np.random.default_rng(n).standard_normal((n, f), dtype=np.float32)


@pytest.mark.parametrize("n", [0, 1, 7, 2 * BLOCK + 3])
def test_gram_and_products_of_blocks(n: int) -> None:
    some, square = rows(n, 3), rows(3, 3)
    exact = some.astype(np.float64)
    assert gram(some) == pytest.approx(exact.T @ exact, rel=1e-5, abs=1e-3)
    expected = exact @ square
    multiply(some, square, some)
    assert some == pytest.approx(expected, abs=1e-5)


def test_whitening_by_hand() -> None:
    lower, inverse = whitening(np.array([[3.0, 0.0], [0.0, 8.0]]), 1.0)
    assert lower.tolist() == [[2, 0], [0, 3]]
    assert inverse == pytest.approx(np.diag([1 / 2, 1 / 3]))


@pytest.mark.parametrize("bad", [-2.0, np.nan, np.inf])
def test_matrices_without_cholesky_factor_are_rejected(bad: float) -> None:
    with pytest.raises(np.linalg.LinAlgError):
        whitening(np.array([[bad]]), 1.0)


def test_changing_the_basis_keeps_the_true_rows() -> None:
    true = rows(20, 4)
    factors = Factors(true.copy())
    inner = factors.gram()
    lower, inverse = whitening(inner, 1.0)
    factors.change_basis(lower.T, inverse.T)
    assert factors.values == pytest.approx(true @ inverse.T, abs=1e-5)
    # Whitened rows have at most a unit Gram matrix; the penalty is what is missing.
    assert gram(factors.values) == pytest.approx(
        np.eye(4) - inverse @ inverse.T, rel=1e-4, abs=1e-5
    )
    assert factors.gram() == pytest.approx(inner, rel=1e-5, abs=1e-4)
    factors.change_basis(inverse, lower)
    assert factors.true_values() == pytest.approx(true, abs=1e-5)
    assert factors.values is factors.true_values()
