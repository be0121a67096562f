import numpy as np
import pytest
from scipy.special import softmax

from nearline.models.hybrids.normalisers import Normaliser, apply, normalised, sums_of

SCORES = np.array([[1.0, 3.0, 0.0, -2.0], [0.0, 0.0, 0.0, 0.0]], dtype=np.float32)


def test_shares_by_hand() -> None:
    found = normalised(SCORES, Normaliser("share", 1.0))
    assert found == pytest.approx(np.array([[0.25, 0.75, 0.0, -0.5], [0, 0, 0, 0]]))


@pytest.mark.parametrize("temperature", [0.3, 1.0, 4.0])
def test_softmax_equals_scipy(temperature: float) -> None:
    found = normalised(SCORES, Normaliser("softmax", temperature))
    assert found == pytest.approx(softmax(SCORES / temperature, axis=1), abs=1e-6)


def test_large_scores_do_not_overflow() -> None:
    found = normalised(np.array([[3e4, 0.0]], dtype=np.float32), Normaliser("softmax", 0.01))
    assert found.tolist() == [[1.0, 0.0]]


@pytest.mark.parametrize("name", ["share", "softmax"])
def test_rows_without_items(name: str) -> None:
    assert normalised(np.zeros((2, 0), dtype=np.float32), Normaliser(name, 1.0)).shape == (2, 0)


@pytest.mark.parametrize("how", [Normaliser("share"), Normaliser("softmax", 0.7)])
def test_normalising_some_items_equals_normalising_all(how: Normaliser) -> None:
    every = normalised(SCORES, how)
    some = apply(SCORES[:, [3, 1]], sums_of(SCORES, how), how)
    assert np.array_equal(some, every[:, [3, 1]])
