"""Gains of mixtures, and sums of softmaxes, against sorting and plain sums."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nearline.kernels.mixture_gains import mixture_gains
from nearline.kernels.softmax_sums import softmax_sums
from nearline.models.hybrids.normalisers import Normaliser, sums_of, sums_of_each

DISCOUNTS = 1.0 / np.log2(np.arange(2, 5))
# Few different values, so that ties are common.
VALUE = st.sampled_from([0.0, 0.25, 0.5, 1.0])


@st.composite
def rows(draw: st.DrawFn) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    n, width = draw(st.integers(1, 4)), draw(st.integers(1, 7))

    def table(values: st.SearchStrategy[float]) -> np.ndarray:
        size = n * width
        found = draw(st.lists(values, min_size=size, max_size=size))
        return np.array(found).reshape(n, width)

    flags = table(st.sampled_from([0.0, 1.0])).astype(np.bool_)
    return table(VALUE).astype(np.float32), table(VALUE).astype(np.float32), flags


@settings(deadline=None)
@given(rows())
def test_gains_are_those_of_sorted_lists(
    given_rows: tuple[np.ndarray, np.ndarray, np.ndarray],
) -> None:
    rest, own, relevant = given_rows
    shares = np.array([0.0, 0.5, 1.0], dtype=np.float32)
    row_of, columns = np.nonzero(relevant)
    indptr = np.searchsorted(row_of, np.arange(len(rest) + 1))
    found = mixture_gains(rest, own, shares, indptr, columns, DISCOUNTS)
    for at, share in enumerate(shares):
        mixed = (1 - share) * rest + share * own
        for row in range(len(rest)):
            order = np.argsort(-mixed[row], kind="stable")[: len(DISCOUNTS)]
            hits = relevant[row, order]
            assert found[at, row] == pytest.approx(float(hits @ DISCOUNTS[: len(hits)]))


def test_rows_without_targets_gain_nothing() -> None:
    scores, none = np.ones((2, 3), dtype=np.float32), np.zeros(0, dtype=np.int64)
    shares = np.array([0.3], dtype=np.float32)
    assert not mixture_gains(scores, scores, shares, np.zeros(3, np.int64), none, DISCOUNTS).any()


def test_sums_of_sparse_and_full_rows() -> None:
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(40, 30)).astype(np.float32)
    scores[rng.random(scores.shape) < 0.7] = 0.0
    scores[0] = 0.0
    scores[1] = -np.abs(scores[1]) - 1.0
    hows = [Normaliser("softmax", 0.5), Normaliser("share"), Normaliser("softmax", 3.0)]
    for how, found in zip(hows, sums_of_each(scores, hows), strict=True):
        wanted = sums_of(scores, how)
        np.testing.assert_array_equal(found.top, wanted.top)
        np.testing.assert_allclose(found.total, wanted.total, rtol=1e-5)


def test_no_temperature_has_no_sums() -> None:
    top, total = softmax_sums(np.ones((2, 3), dtype=np.float32), np.zeros(0))
    assert top.shape == (2,)
    assert total.shape == (0, 2)
