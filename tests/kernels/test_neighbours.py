"""Nearest neighbours between sets, by hand and against the oracle."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import naive_neighbours as naive
from tests.kernels.test_edges import as_lists
from tests.kernels.test_sets import ragged

from nearline.kernels import neighbours as module
from nearline.kernels.edges import Rows
from nearline.kernels.neighbours import make_index, nearest_among, nearest_rows
from nearline.kernels.sets import transpose

N_FEATURES = 9
FEATURES = st.sets(st.integers(0, N_FEATURES - 1)).map(sorted)
SETS = st.lists(FEATURES, min_size=1, max_size=12)


def cosine_scales(sets: list[list[int]], weights: np.ndarray) -> np.ndarray:
    squares = [sum(weights[f] for f in features) for features in sets]
    return np.array([1 / math.sqrt(s) if s > 0 else 0.0 for s in squares])


def check(found: Rows, expected: list[dict[int, float]], k: int | None, threshold: float) -> None:
    """Neighbours have the similarity of the definition, and no other is clearly nearer."""
    for row, wanted in zip(as_lists(found), expected, strict=True):
        best = naive.nearest(wanted, k, threshold)
        assert [s for _, s in row] == pytest.approx([s for _, s in best], rel=1e-5)
        assert [s for _, s in row] == pytest.approx([wanted[i] for i, _ in row], rel=1e-5)
        assert len({i for i, _ in row}) == len(row)
        assert all(a > b or (a == b and i < j) for (i, a), (j, b) in pairwise(row))


def test_cosine_by_hand() -> None:
    # Sets 0 and 1 share 1 of 2 and 2 features: 1/2. Set 2 shares one with 1: 1/sqrt(2).
    sets = ragged([[0, 1], [1, 2], [2], [3]])
    scales = cosine_scales([[0, 1], [1, 2], [2], [3]], np.ones(4))
    found = nearest_among(sets, transpose(sets, 4), scales, top_k=2)
    assert np.diff(found.indptr).tolist() == [1, 2, 1, 0]
    assert found.items.tolist() == [1, 2, 0, 1]
    root = math.sqrt(0.5)
    assert found.weights == pytest.approx([0.5, root, 0.5, root])
    # With one in common and a shrinkage of 1, similarities are halved; 0.3 leaves out the lesser.
    shrunk = nearest_among(
        sets, transpose(sets, 4), scales, top_k=None, shrinkage=1.0, threshold=0.3
    )
    assert np.diff(shrunk.indptr).tolist() == [0, 1, 1, 0]
    assert shrunk.items.tolist() == [2, 1]
    assert shrunk.weights == pytest.approx([root / 2, root / 2])


@settings(deadline=None, max_examples=60)
@given(
    sets=SETS,
    weighted=st.booleans(),
    k=st.sampled_from([None, 1, 3]),
    shrinkage=st.sampled_from([0.0, 2.0]),
    threshold=st.sampled_from([0.0, 0.35]),
)
def test_neighbours_among_sets_equal_the_definition(
    sets: list[list[int]], weighted: bool, k: int | None, shrinkage: float, threshold: float
) -> None:
    weights = np.arange(N_FEATURES) / 4.0 if weighted else np.ones(N_FEATURES)
    rows = ragged(sets)
    found = nearest_among(
        rows,
        transpose(rows, N_FEATURES),
        cosine_scales(sets, weights),
        weights=weights if weighted else None,
        top_k=k,
        threshold=threshold,
        shrinkage=shrinkage,
        threads=1,
    )
    roots = [{f: math.sqrt(weights[f]) for f in features} for features in sets]
    expected = [
        {
            j: naive.set_similarity(one, two, "cosine", shrinkage)
            for j, two in enumerate(roots)
            if j != i
        }
        for i, one in enumerate(roots)
    ]
    check(found, expected, k, threshold)


@settings(deadline=None, max_examples=40)
@given(sets=SETS, rows=SETS, weighted=st.booleans())
def test_neighbours_of_other_rows(
    sets: list[list[int]], rows: list[list[int]], weighted: bool
) -> None:
    weights = np.arange(N_FEATURES) / 4.0 if weighted else np.ones(N_FEATURES)
    lists = transpose(ragged(sets), N_FEATURES)
    index = make_index(lists, cosine_scales(sets, weights), weights if weighted else None)
    # Features that the index does not know are passed over.
    strange = ragged([[*row, -1, N_FEATURES + 3] for row in rows])
    found = nearest_rows(strange, cosine_scales(rows, weights), index, top_k=2)
    roots = [{f: math.sqrt(weights[f]) for f in features} for features in (*sets, *rows)]
    expected = [
        {j: naive.set_similarity(one, roots[j], "cosine", 0.0) for j in range(len(sets))}
        for one in roots[len(sets) :]
    ]
    check(found, expected, 2, 0.0)


@pytest.mark.parametrize("weighted", [False, True])
def test_few_neighbours_among_many_sets(weighted: bool) -> None:
    # Sets 2n and 2n + 1 are equal and share nothing with the others, so similarities are 1.
    sets = [[n // 2] for n in range(200)]
    rows, weights = ragged(sets), np.arange(1.0, 101.0)
    found = nearest_among(
        rows,
        transpose(rows, 100),
        cosine_scales(sets, weights if weighted else np.ones(100)),
        weights=weights if weighted else None,
        top_k=3,
    )
    assert found.items.tolist() == [n ^ 1 for n in range(200)]
    assert found.weights == pytest.approx(np.ones(200))


@pytest.mark.parametrize("weighted", [False, True])
def test_results_do_not_depend_on_bitmaps_blocks_and_threads(
    weighted: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    chances = np.linspace(0.4, 0.005, 150)
    sets = [np.flatnonzero(rng.random(90) < chance).tolist() for chance in chances]
    rows, ones = ragged(sets), np.ones(90)
    lists, scales = transpose(rows, 90), cosine_scales(sets, ones)
    weights = ones if weighted else None

    def fit(dense: float, threads: int) -> Rows:
        monkeypatch.setattr(module, "DENSE", dense)
        return nearest_among(rows, lists, scales, weights=weights, top_k=7, threads=threads)

    one = fit(9.0, 1)
    for dense, threads in ((0.05, 1), (0.2, 2), (0.2, 3), (9.0, 2)):
        other = fit(dense, threads)
        assert as_lists(one) == as_lists(other)
    members = [set(features) for features in sets]
    expected = [
        {j: len(a & b) * scales[i] * scales[j] for j, b in enumerate(members) if j != i}
        for i, a in enumerate(members)
    ]
    check(one, expected, 7, 0.0)


def test_invalid_arguments_are_rejected() -> None:
    rows = ragged([[0]])
    with pytest.raises(ValueError, match="top_k is 0"):
        nearest_among(rows, rows, np.ones(1), top_k=0)
    with pytest.raises(ValueError, match="threshold -1"):
        nearest_among(rows, rows, np.ones(1), top_k=1, threshold=-1.0)
    with pytest.raises(ValueError, match="target 3 is not below 2"):
        make_index(ragged([[3]]), np.ones(2))


def test_empty_input() -> None:
    empty = ragged([])
    assert len(nearest_among(empty, empty, np.zeros(0), top_k=3).items) == 0
