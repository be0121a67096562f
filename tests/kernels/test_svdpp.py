import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import naive_factors as naive
from tests.kernels.test_ridge import targets

from nearline.kernels.svdpp import Parameters, Rates, descend, implicit_sums

ROWS = st.lists(
    st.lists(st.tuples(st.integers(0, 3), st.floats(-2, 2)), max_size=5), min_size=1, max_size=4
)


def test_implicit_sums_by_hand() -> None:
    implicit = np.array([[1.0], [3.0]])
    ragged = targets([[(0, 0.0), (1, 0.0), (0, 0.0), (1, 0.0)], [], [(1, 0.0)]])
    sums = implicit_sums(ragged.indptr, ragged.columns, implicit)
    assert sums == pytest.approx(np.array([[(1 + 3 + 1 + 3) / 2], [0.0], [3.0]]))


def test_one_rating_by_hand() -> None:
    # Error 2 - 0 - 0 - (1 + 0) * 1 = 1; steps of a tenth, without penalties.
    learned = Parameters(
        np.zeros(1), np.zeros(1), np.ones((1, 1)), np.ones((1, 1)), np.zeros((1, 1))
    )
    descend(targets([[(0, 2.0)]]), np.array([0]), learned, Rates(0.1, 0.0, 0.0, 0.0))
    assert learned.user_biases[0] == pytest.approx(0.1)
    assert learned.item_biases[0] == pytest.approx(0.1)
    assert learned.users[0, 0] == pytest.approx(1.1)
    assert learned.items[0, 0] == pytest.approx(1.1)
    assert learned.implicit[0, 0] == pytest.approx(0.1)


@settings(max_examples=30, deadline=None)
@given(rows=ROWS, seed=st.integers(0, 100))
def test_a_pass_equals_the_formulas(rows: list[list[tuple[int, float]]], seed: int) -> None:
    rng = np.random.default_rng(seed)
    start = Parameters(
        rng.normal(size=len(rows)),
        rng.normal(size=4),
        rng.normal(size=(len(rows), 2)),
        rng.normal(size=(4, 2)),
        rng.normal(size=(4, 2)),
    )
    found = Parameters(*(array.copy() for array in start))
    descend(targets(rows), np.arange(len(rows)), found, Rates(0.05, 0.1, 0.02, 0.03))
    naive.svdpp_pass(rows, *start, step=0.05, l2=0.1, bias_l2=0.02, implicit_l2=0.03)
    for name, ours, theirs in zip(Parameters._fields, found, start, strict=True):
        assert ours == pytest.approx(theirs, abs=1e-10), name
