"""Top-k selection against sorting."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import naive

from nearline.kernels.topk import keep_best, top_k_rows

# Few different values, so that ties are common.
SCORES = st.lists(st.sampled_from([-1.0, 0.0, 0.25, 0.5, 2.0, -np.inf, np.nan]), max_size=20)


@settings(deadline=None)
@given(SCORES, st.integers(1, 25), st.sampled_from([-np.inf, 0.0, 0.25]))
def test_top_k_equals_sorting(scores: list[float], k: int, above: float) -> None:
    best = top_k_rows(np.array([scores], dtype=np.float32).reshape(1, -1), k, above=above)
    expected = naive.top_k({i: s for i, s in enumerate(scores) if s == s}, k, above=above)
    filled = [item for item, _ in expected] + [-1] * (k - len(expected))
    assert best.items[0].tolist() == filled
    assert best.scores[0, : len(expected)].tolist() == [score for _, score in expected]
    assert not best.scores[0, len(expected) :].any()


@settings(deadline=None)
@given(
    st.lists(st.sampled_from([0.0, 0.25, 0.5, 2.0, np.inf]), max_size=60),
    st.integers(1, 25),
    st.integers(0, 9),
)
def test_the_best_entries_come_to_the_front(scores: list[float], k: int, seed: int) -> None:
    items = np.random.default_rng(seed).permutation(len(scores)).astype(np.int32)
    expected = dict(sorted(zip(items.tolist(), scores, strict=True), key=best_first)[:k])
    values = np.array(scores, dtype=np.float64)
    size = keep_best(values, items, len(scores), k)
    assert dict(zip(items[:size].tolist(), values[:size].tolist(), strict=True)) == expected


def best_first(entry: tuple[int, float]) -> tuple[float, int]:
    item, score = entry
    return -score, item


def test_rows_do_not_depend_on_threads() -> None:
    scores = np.random.default_rng(0).integers(0, 9, (300, 40)).astype(np.float32)
    one, two = (top_k_rows(scores, 7, threads=threads) for threads in (1, 2))
    assert np.array_equal(one.items, two.items)
    assert np.array_equal(one.scores, two.scores)


def test_invalid_scores_and_lengths_are_rejected() -> None:
    with pytest.raises(ValueError, match="1 dimensions"):
        top_k_rows(np.zeros(3, dtype=np.float32), 1)
    with pytest.raises(ValueError, match="k is 0"):
        top_k_rows(np.zeros((1, 3), dtype=np.float32), 0)
