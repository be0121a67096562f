"""Metrics against worked examples, against trec_eval, and against their own definitions."""

import math
from itertools import combinations
from typing import Any

import ir_measures
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from nearline.data.dataset import Histories, IntArray
from nearline.errors import InvalidInput
from nearline.evaluation import metrics
from nearline.kernels.csr import Csr

REFERENCE = {
    "ndcg": ir_measures.nDCG,
    "recall": ir_measures.R,
    "precision": ir_measures.P,
    "map": ir_measures.AP,
    "mrr": ir_measures.RR,
    "hit_rate": ir_measures.Success,
}
N_ITEMS = 12


def lists(*rows: list[int]) -> IntArray:
    width = max(len(row) for row in rows)
    return np.array([row + [-1] * (width - len(row)) for row in rows], dtype=np.int32)


def truth(*rows: list[int]) -> Histories:
    return Histories.from_rows(rows)


def accuracy(items: IntArray, relevant: Histories, k: int) -> dict[str, list[float]]:
    hits = metrics.judge(items, relevant, k)
    return {name: metric(hits).tolist() for name, metric in metrics.ACCURACY.items()}


def test_worked_example() -> None:
    # Places 2 and 4 of 4 are right; three items are relevant.
    got = accuracy(lists([7, 1, 8, 2]), truth([1, 2, 3]), k=4)
    ideal = 1 + 1 / math.log2(3) + 1 / math.log2(4)
    assert got["ndcg"] == pytest.approx([(1 / math.log2(3) + 1 / math.log2(5)) / ideal])
    assert got["recall"] == pytest.approx([2 / 3])
    assert got["precision"] == [0.5]
    assert got["map"] == pytest.approx([(1 / 2 + 2 / 4) / 3])
    assert got["mrr"] == [0.5]
    assert got["hit_rate"] == [1.0]


def test_perfect_list_and_useless_list() -> None:
    got = accuracy(lists([4, 5], [6, 7]), truth([5, 4], [1]), k=2)
    for name, values in got.items():
        assert values == [1.0, 0.0], name


def test_ideal_is_cut_at_k_and_average_precision_is_not() -> None:
    got = accuracy(lists([0, 1]), truth([0, 1, 2, 3]), k=2)
    assert got["ndcg"] == [1.0]
    assert got["map"] == [0.5]


def test_only_the_first_k_places_count() -> None:
    assert accuracy(lists([5, 6, 1]), truth([1]), k=2)["recall"] == [0.0]


def test_list_shorter_than_k_keeps_the_divisor() -> None:
    assert accuracy(lists([1]), truth([1]), k=5)["precision"] == [0.2]


def test_users_without_truth_are_left_out() -> None:
    hits = metrics.judge(lists([1], [2], [3]), truth([], [2], []), k=1)
    assert hits.users.tolist() == [1]
    assert hits.found.tolist() == [[True]]


def test_padding_is_never_a_hit() -> None:
    # The key of padding in row 1 would be that of item 3, the highest, in row 0.
    hits = metrics.judge(lists([-1, -1], [-1, -1]), truth([3], [-1]), k=2)
    assert not hits.found.any()
    assert hits.n_relevant.tolist() == [1, 1]


def test_repeats_in_the_truth_count_once_and_dislikes_not_at_all() -> None:
    relevant = truth([1, 1, 2], [4])
    relevant.weights[:] = [1, 2, 1, -1]
    hits = metrics.judge(lists([1, 4], [4, 1]), relevant, k=2)
    assert hits.users.tolist() == [0]
    assert hits.n_relevant.tolist() == [2]


def test_unknown_items_of_the_truth_lower_recall() -> None:
    assert accuracy(lists([1]), truth([1, -1, -1, 2]), k=1)["recall"] == [0.25]


def test_refusals() -> None:
    with pytest.raises(InvalidInput, match="list 1 contains an item twice"):
        metrics.judge(lists([1, 2], [3, 3]), truth([1], [1]), k=2)
    with pytest.raises(InvalidInput, match="k is 0"):
        metrics.judge(lists([1]), truth([1]), k=0)
    with pytest.raises(InvalidInput, match="1 lists and 2 rows"):
        metrics.judge(lists([1]), truth([1], [2]), k=1)


@st.composite
def judged(draw: st.DrawFn) -> tuple[list[list[int]], list[list[int]], int]:
    n = draw(st.integers(1, 5))
    row = st.lists(st.integers(0, N_ITEMS - 1), max_size=8, unique=True)
    return (
        draw(st.lists(row, min_size=n, max_size=n)),
        draw(st.lists(row, min_size=n, max_size=n)),
        draw(st.integers(1, 10)),
    )


@given(judged())
@settings(max_examples=60, deadline=None)
def test_equal_to_trec_eval(case: tuple[list[list[int]], list[list[int]], int]) -> None:
    rows, relevant, k = case
    got = accuracy(lists(*rows), truth(*relevant), k)
    users = [u for u, row in enumerate(relevant) if row]
    qrels = [ir_measures.Qrel(str(u), str(item), 1) for u in users for item in relevant[u]]
    run = [
        ir_measures.ScoredDoc(str(u), str(item), -float(place))
        for u in users
        for place, item in enumerate(rows[u])
    ]
    for name, measure in REFERENCE.items():
        answered = {
            int(line.query_id): line.value
            for line in ir_measures.iter_calc([measure @ k], qrels, run)
        }
        assert got[name] == pytest.approx([answered.get(u, 0.0) for u in users]), name


def test_exposure_coverage_and_gini() -> None:
    shown = metrics.exposure(lists([0, 1], [0]), n_items=4)
    assert shown.tolist() == [2, 1, 0, 0]
    assert metrics.coverage(shown) == 0.5
    # Sorted 0, 0, 1, 2 with places -3, -1, 1, 3: 7 / (4 * 3).
    assert metrics.gini(shown) == pytest.approx(7 / 12)


def test_gini_of_equal_one_sided_and_no_exposure() -> None:
    assert metrics.gini(np.array([3, 3, 3])) == 0.0
    assert metrics.gini(np.array([0, 0, 0, 9])) == 0.75
    assert metrics.gini(np.array([0, 0])) == 0.0


@given(st.lists(st.integers(0, 20), min_size=1, max_size=8))
@settings(max_examples=50, deadline=None)
def test_gini_is_the_mean_difference_of_all_pairs(shown: list[int]) -> None:
    apart = sum(abs(a - b) for a in shown for b in shown)
    expected = apart / (2 * len(shown) * sum(shown)) if any(shown) else 0.0
    assert metrics.gini(np.array(shown)) == pytest.approx(expected)


def test_novelty_in_bits() -> None:
    counts = np.array([4, 2, 1, 1, 0])  # p = 1/2, 1/4, 1/8, 1/8, and 1/8 for the unseen one
    got = metrics.novelty(lists([0, 1], [4], []), counts)
    assert got[:2].tolist() == [1.5, 3.0]
    assert math.isnan(got[2])


def test_novelty_needs_counts() -> None:
    with pytest.raises(InvalidInput, match="all 0"):
        metrics.novelty(lists([0]), np.zeros(3, dtype=np.int64))


def test_diversity_of_equal_opposite_and_orthogonal_items() -> None:
    features = np.array([[1, 0], [5, 0], [-2, 0], [0, 3]], dtype=np.float32)
    got = metrics.diversity(lists([0, 1], [0, 2], [0, 3], [0, 1, 3], [0]), features)
    assert got[:4] == pytest.approx([0.0, 2.0, 1.0, 2 / 3])
    assert math.isnan(got[4])


def test_diversity_treats_a_zero_vector_as_unrelated() -> None:
    features = np.array([[0.0, 0.0], [1.0, 0.0], [0.0, 0.0]])
    assert metrics.diversity(lists([0, 1], [0, 2]), features).tolist() == [1.0, 1.0]


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=20, deadline=None)
def test_diversity_equals_the_loop_over_pairs_dense_and_sparse(seed: int) -> None:
    rng = np.random.default_rng(seed)
    features = rng.integers(0, 3, size=(N_ITEMS, 4)).astype(np.float64)
    features[0] = 0
    rows = [rng.permutation(N_ITEMS)[: rng.integers(2, 7)].tolist() for _ in range(200)]

    def cosine(a: int, b: int) -> float:
        lengths = float(np.linalg.norm(features[a]) * np.linalg.norm(features[b]))
        return float(features[a] @ features[b]) / lengths if lengths else 0.0

    expected = [float(np.mean([1 - cosine(a, b) for a, b in combinations(r, 2)])) for r in rows]
    assert metrics.diversity(lists(*rows), features) == pytest.approx(expected)
    in_csr = metrics.diversity(lists(*rows), Csr.from_dense(features))
    of_scipy: Any = sparse.csr_array(features)
    np.testing.assert_array_equal(metrics.diversity(lists(*rows), of_scipy), in_csr)
    assert in_csr == pytest.approx(expected)
