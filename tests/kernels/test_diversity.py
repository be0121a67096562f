"""Greedy selection equals an obvious one, and the picks of a published library."""

import itertools
from typing import NamedTuple

import numpy as np
import pytest
import pyversity
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pyversity.strategies.dpp import _exp_zscore_weights

from nearline.kernels.diversity import DPP, MMR, RELEVANCE, SMOOTHING, Sparse, select

Doubles = NDArray[np.float64]


class Case(NamedTuple):
    """Candidates with dense features, groups and labels."""

    relevance: Doubles
    features: Doubles
    groups: Doubles
    labels: list[list[int]]
    caps: list[int]


def random_case(seed: int, n: int, n_features: int = 12) -> Case:
    rng = np.random.default_rng(seed)
    features = rng.random((n, n_features)) * (rng.random((n, n_features)) < 0.5)
    features /= np.maximum(np.linalg.norm(features, axis=1, keepdims=True), 1e-12)
    groups = (rng.random((n, 4)) < 0.4).astype(float)
    groups /= np.maximum(groups.sum(axis=1, keepdims=True), 1.0)
    labels = [rng.choice(5, rng.integers(0, 3), replace=False).tolist() for _ in range(n)]
    caps = rng.integers(0, 4, 5).tolist()
    return Case(rng.permutation(np.linspace(0.01, 1.0, n)), features, groups, labels, caps)


def sparse(rows: Doubles) -> Sparse:
    places = rows != 0
    indptr = np.append(0, np.cumsum(places.sum(axis=1))).astype(np.int64)
    columns = np.nonzero(places)[1].astype(np.int32)
    return Sparse(indptr, columns, rows[places], rows.shape[1])


def ours(
    case: Case,
    k: int,
    method: int,
    strength: float = 0.0,
    calibration: float = 0.0,
    wanted: Doubles | None = None,
) -> list[int]:
    indptr = np.cumsum([0] + [len(labels) for labels in case.labels])
    labels = np.array(list(itertools.chain(*case.labels)), dtype=np.int32)
    room = np.array(case.caps, dtype=np.int32)
    wanted = np.full(4, 0.25) if wanted is None else wanted
    features, groups = sparse(case.features), sparse(case.groups)
    found = select(
        k,
        method,
        case.relevance,
        strength,
        features,
        calibration,
        groups,
        wanted,
        indptr.astype(np.int64),
        labels,
        room,
    )
    return [int(i) for i in found]


def similarity(case: Case) -> Doubles:
    """The whole matrix; every item is as similar to itself as can be."""
    matrix = case.features @ case.features.T
    np.fill_diagonal(matrix, 1.0)
    return matrix


def divergence(p: Doubles, rows: Doubles) -> float:
    q = (1 - SMOOTHING) * rows.mean(axis=0) + SMOOTHING * p
    return float(sum(a * np.log(a / b) for a, b in zip(p, q, strict=True) if a > 0))


def obvious(
    case: Case,
    k: int,
    method: int,
    strength: float = 0.0,
    calibration: float = 0.0,
    wanted: Doubles | None = None,
) -> list[int]:
    """In each step, compute the value of every list with one more item from scratch."""
    matrix, n = similarity(case), len(case.relevance)
    kernel = case.relevance[:, None] * matrix * case.relevance[None, :]
    wanted = np.full(4, 0.25) if wanted is None else wanted
    chosen: list[int] = []

    def fits(i: int) -> bool:
        count = [label for j in [*chosen, i] for label in case.labels[j]]
        return all(count.count(label) <= case.caps[label] for label in case.labels[i])

    def value(i: int) -> float:
        base = case.relevance[i]
        if method == MMR:
            near = max((matrix[i, j] for j in chosen), default=0.0)
            base = (1 - strength) * base - strength * near
        elif method == DPP:
            bigger, smaller = (
                kernel[np.ix_([*chosen, i], [*chosen, i])],
                kernel[np.ix_(chosen, chosen)],
            )
            base = np.log(np.linalg.det(bigger) / np.linalg.det(smaller))
        return float(
            (1 - calibration) * base - calibration * divergence(wanted, case.groups[[*chosen, i]])
        )

    while len(chosen) < k:
        left = [i for i in range(n) if i not in chosen and fits(i)]
        if not left:
            break
        chosen.append(max(left, key=lambda i: (value(i), -i)))
    return chosen


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000), n=st.integers(0, 14), k=st.integers(1, 8))
def test_selection_by_relevance_with_caps(seed: int, n: int, k: int) -> None:
    case = random_case(seed, n)
    assert ours(case, k, RELEVANCE) == obvious(case, k, RELEVANCE)


@settings(deadline=None, max_examples=40)
@given(
    seed=st.integers(0, 10_000), n=st.integers(1, 14), k=st.integers(1, 8), d=st.floats(0.05, 1.0)
)
def test_mmr(seed: int, n: int, k: int, d: float) -> None:
    case = random_case(seed, n)
    assert ours(case, k, MMR, d) == obvious(case, k, MMR, d)


@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000), n=st.integers(1, 12), k=st.integers(1, 6))
def test_dpp(seed: int, n: int, k: int) -> None:
    case = random_case(seed, n, n_features=40)  # so many that no item is spanned by others
    assert ours(case, k, DPP) == obvious(case, k, DPP)


@pytest.mark.parametrize("method", [RELEVANCE, MMR])
@settings(deadline=None, max_examples=40)
@given(seed=st.integers(0, 10_000), c=st.floats(0.05, 0.95))
def test_calibration(method: int, seed: int, c: float) -> None:
    case = random_case(seed, 12)
    wanted = np.random.default_rng(seed).dirichlet(np.ones(4))
    wanted[0] = 0.0
    wanted /= wanted.sum()
    assert ours(case, 6, method, 0.3, c, wanted) == obvious(case, 6, method, 0.3, c, wanted)


def uncapped(seed: int) -> Case:
    case = random_case(seed, 200, n_features=64)
    return case._replace(labels=[[]] * 200)


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("d", [0.1, 0.5, 0.9])
def test_mmr_picks_what_pyversity_picks(seed: int, d: float) -> None:
    case = uncapped(seed)
    found = pyversity.diversify(
        case.features, case.relevance, k=10, strategy=pyversity.Strategy.MMR, diversity=d
    )
    assert ours(case, 10, MMR, d) == found.indices.tolist()


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("d", [0.1, 0.5, 0.9])
def test_dpp_picks_what_pyversity_picks(seed: int, d: float) -> None:
    case = uncapped(seed)
    found = pyversity.diversify(
        case.features, case.relevance, k=10, strategy=pyversity.Strategy.DPP, diversity=d
    )
    weights = _exp_zscore_weights(case.relevance, 1 - d).astype(np.float64)
    assert ours(case._replace(relevance=weights), 10, DPP) == found.indices.tolist()


def test_what_is_spanned_by_the_list_follows_by_weight() -> None:
    case = Case(
        relevance=np.array([0.2, 0.9, 0.5, 0.8]),
        features=np.array([[1.0, 0.0]] * 4),
        groups=np.zeros((4, 4)),
        labels=[[]] * 4,
        caps=[],
    )
    assert ours(case, 4, DPP) == [1, 3, 2, 0]


def test_the_worked_example() -> None:
    """Two equal items and one other: MMR takes the other second, relevance the equal one."""
    case = Case(
        relevance=np.array([1.0, 0.9, 0.3]),
        features=np.array([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]]),
        groups=np.zeros((3, 4)),
        labels=[[0], [0], [1]],
        caps=[2, 1],
    )
    assert ours(case, 2, RELEVANCE) == [0, 1]
    assert ours(case, 2, MMR, 0.5) == [0, 2]  # 0.45 - 0.5 < 0.15
    assert ours(case, 2, MMR, 0.3) == [0, 1]  # 0.63 - 0.3 > 0.21
    assert ours(case._replace(caps=[1, 1]), 3, RELEVANCE) == [0, 2]
