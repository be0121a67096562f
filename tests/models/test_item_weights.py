"""EASE, SLIM, RP3beta, spectral filter: weights against dense NumPy, and what all share."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.models.synthetic import dataset, shop
from tests.naive_linear import ease_weights, filter_weights, liked, walk_weights

from nearline.data.dataset import Histories
from nearline.errors import Damaged, InvalidInput
from nearline.kernels.csr import Csr
from nearline.models.base import Model
from nearline.models.capabilities import explain
from nearline.models.item_weights import liked_once
from nearline.models.linear.ease import Ease, EaseConfig, weights_from_gram
from nearline.models.linear.slim import Slim, SlimConfig
from nearline.models.linear.spectral_filter import (
    SpectralFilter,
    SpectralFilterConfig,
    singular_vectors,
)
from nearline.models.neighbours.rp3beta import RP3Beta, RP3BetaConfig

ROWS = [[0, 1], [0, 1, 2], [1, 2], [3], []]
BASKETS = st.lists(st.lists(st.integers(0, 5), max_size=6, unique=True), min_size=1, max_size=12)
MODELS: list[Model] = [Ease(EaseConfig(l2=1.0)), Slim(SlimConfig(l1=0.1, l2=1.0)), RP3Beta()]


def single(n_items: int) -> Histories:
    return Histories.from_rows([[item] for item in range(n_items)])


def weighted(items: list[int], weights: list[float]) -> Histories:
    return replace(Histories.from_rows([items]), weights=np.array(weights, dtype=np.float32))


def test_ease_by_hand() -> None:
    # X'X = [[1, 1], [1, 1]] and l2 = 1: P = [[2, -1], [-1, 2]] / 3, so W[0, 1] = 1/2.
    model = Ease(EaseConfig(l2=1.0)).fit(dataset([[0, 1]], 2))
    assert model.score_many(single(2)) == pytest.approx(np.array([[0, 0.5], [0.5, 0]]))


@settings(deadline=None, max_examples=20)
@given(rows=BASKETS, l2=st.floats(0.5, 20))
def test_ease_equals_the_closed_form(rows: list[list[int]], l2: float) -> None:
    model = Ease(EaseConfig(l2=l2)).fit(dataset(rows, 6))
    weights = ease_weights(liked(rows, 6), l2)
    histories = Histories.from_rows(rows)
    assert model.score_many(single(6)) == pytest.approx(weights, abs=1e-6)
    assert model.score_many(histories) == pytest.approx(liked(rows, 6) @ weights, abs=1e-5)


def test_rp3beta_by_hand() -> None:
    # From 0 to 1: by user 0 (1/2 * 1/2) and user 1 (1/2 * 1/3), over sqrt(3 users of item 1).
    model = RP3Beta(RP3BetaConfig(alpha=1.0, beta=0.5)).fit(dataset(ROWS, 5))
    assert model.score_many(single(5))[0, 1] == pytest.approx((1 / 4 + 1 / 6) / 3**0.5)


@settings(deadline=None, max_examples=20)
@given(rows=BASKETS, alpha=st.floats(0, 2), beta=st.floats(0, 1))
def test_rp3beta_equals_a_product_of_transitions(
    rows: list[list[int]], alpha: float, beta: float
) -> None:
    model = RP3Beta(RP3BetaConfig(alpha=alpha, beta=beta)).fit(dataset(rows, 6))
    assert model.score_many(single(6)) == pytest.approx(
        walk_weights(liked(rows, 6), alpha, beta), rel=1e-5, abs=1e-7
    )


def test_spectral_filter_equals_dense_algebra() -> None:
    """On random histories, whose singular values are distinct."""
    rng = np.random.default_rng(5)
    rows = [sorted(rng.permutation(12)[: rng.integers(2, 7)].tolist()) for _ in range(40)]
    config = SpectralFilterConfig(alpha=0.4, factors=3, linear_shift=0.1, spectral_shift=0.6)
    model = SpectralFilter(config).fit(dataset(rows, 13))
    expected = filter_weights(liked(rows, 13), 0.4, 3, 0.1, 0.6)
    assert model.score_many(single(13)) == pytest.approx(expected, abs=1e-5)
    assert model.score_many(Histories.from_rows(rows)) == pytest.approx(
        liked(rows, 13) @ expected, abs=1e-4
    )


def test_spectral_filter_by_hand() -> None:
    # Both entries are 1 / sqrt(2 * 1): (R'R)[0, 1] = 1/2, V = (1, 1) / sqrt(2), VV' = 1/2.
    config = SpectralFilterConfig(alpha=0.5, factors=1)
    model = SpectralFilter(config).fit(dataset([[0, 1]], 2))
    expected = np.array([[0.25, 0.75], [0.75, 0.25]])
    assert model.score_many(single(2)) == pytest.approx(expected, abs=1e-6)


def test_singular_vectors_are_equal_for_equal_seeds() -> None:
    rng = np.random.default_rng(1)
    matrix = Csr.from_dense(rng.random((30, 20)) * (rng.random((30, 20)) < 0.3))
    one, two = (singular_vectors(matrix, 5, seed=3) for _ in range(2))
    assert np.array_equal(one, two)
    assert one.T @ one == pytest.approx(np.eye(5), abs=1e-5)


def test_spectral_filter_chooses_settings_on_validation_data() -> None:
    data, targets = shop()
    model = SpectralFilter(SpectralFilterConfig(alpha=50.0, factors=1))
    model.fit(data, validation=targets)
    assert model.config.alpha < 50.0
    again = model.refit(data)
    assert again.config == model.config
    assert np.array_equal(again.score_many(data.histories), model.score_many(data.histories))


def test_slim_by_hand() -> None:
    # Two users of both items: minimise 0.5 * 2 (1 - w)^2 + w + 0.5 * 2 w^2, so w = 1/4.
    model = Slim(SlimConfig(l1=1.0, l2=2.0)).fit(dataset([[0, 1], [0, 1], []], 3))
    expected = np.array([[0, 0.25, 0], [0.25, 0, 0], [0, 0, 0]])
    assert model.score_many(single(3)) == pytest.approx(expected)


def test_slim_uses_only_the_nearest_candidates() -> None:
    rows = [[0, 1, 2], [0, 1], [0, 1], [0, 2]]
    model = Slim(SlimConfig(l1=0.0, l2=0.1, candidates=1)).fit(dataset(rows, 3))
    scores = model.score_many(single(3))
    # Item 1 is nearest to 0; of 0 and 1, item 0 is nearest to 2.
    assert (scores > 0).tolist() == [[False, True, True], [True, False, False], [False] * 3]


def test_slim_has_negative_weights_only_if_allowed() -> None:
    data, _ = shop()
    for positive in (True, False):
        model = Slim(SlimConfig(l1=0.1, l2=1.0, positive=positive)).fit(data)
        assert (model.score_many(single(data.n_items)) < 0).any() != positive


def test_liked_items_count_once_and_later_dislikes_remove_them() -> None:
    histories = weighted([0, 1, 0, 2, 2, -1], [1, 1, 3, 1, -1, 1])
    assert liked_once(histories).tolist() == [0, 1, 1, 0, 0, 0]
    assert liked_once(Histories.from_rows([[], []])).tolist() == []
    assert liked_once(Histories.from_rows([[-1]])).tolist() == [0]


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_shared_rules(model: Model) -> None:
    model = type(model)(model.config).fit(dataset(ROWS, 5))
    history = weighted([0, 9, 2, 0, -1], [1, 1, 1, 1, 1])
    parts = explain(model, history, 1)
    assert [(part.source, part.relation) for part in parts] == [(2, model.name), (3, model.name)]
    assert sum(part.amount for part in parts) == pytest.approx(
        float(model.score(history, np.array([1], dtype=np.int32))[0]), abs=1e-6
    )
    assert explain(model, history, 77) == []
    with pytest.raises(InvalidInput, match="2 rows"):
        explain(model, Histories.from_rows([[0], [1]]), 1)
    # Disliked: it speaks for nothing, and is seen all the same.
    assert model.recommend_from(weighted([1], [-1.0]), 3).items.tolist() == [[-1, -1, -1]]
    listed = model.recommend_from(weighted([0, 1], [1.0, -1.0]), 5).items[0]
    assert 1 not in listed
    # Nobody liked item 4.
    assert model.similar(np.array([4], dtype=np.int32), 3).items.tolist() == [[-1, -1, -1]]
    assert model.n_items == 5
    with pytest.raises(Damaged, match="missing"):
        type(model).restore(model.config, {})


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.name)
def test_degenerate_data(model: Model) -> None:
    empty = type(model)(model.config).fit(dataset([[], []], 0))
    assert empty.recommend_from(Histories.from_rows([[]]), 2).items.tolist() == [[-1, -1]]
    one = type(model)(model.config).fit(dataset([[0], [0]], 1))
    assert one.recommend_from(Histories.from_rows([[0]]), 2).items.tolist() == [[-1, -1]]
    data = dataset([[0, 1]], 2)
    wrong = np.array([1, np.nan], dtype=np.float32)
    data = replace(data, histories=replace(data.histories, weights=wrong))
    with pytest.raises(InvalidInput, match="event 1 has the weight nan"):
        type(model)(model.config).fit(data)


def test_an_indefinite_matrix_is_reported() -> None:
    with pytest.raises(InvalidInput, match="singular with l2=1"):
        weights_from_gram(np.array([[0.0, 5.0], [5.0, 0.0]]), 1.0)


def test_ease_rejects_large_catalogues() -> None:
    with pytest.raises(InvalidInput, match=r"takes at most 2.*'slim'"):
        Ease(EaseConfig(max_items=2)).fit(dataset([[0, 1, 2]], 3))


@pytest.mark.parametrize(
    ("kind", "settings", "message"),
    [
        (EaseConfig, {"l2": 0.0}, "EaseConfig.l2 is 0.0; it must be above 0"),
        (EaseConfig, {"l2": float("inf")}, "l2 is inf"),
        (SlimConfig, {"l1": -1.0}, "l1 is -1.0; it must be at least 0"),
        (SlimConfig, {"candidates": 0}, "candidates is 0"),
        (RP3BetaConfig, {"alpha": 4.0}, "at least 0 and at most 3"),
    ],
)
def test_invalid_settings_are_rejected(
    kind: type, settings: dict[str, float], message: str
) -> None:
    with pytest.raises(InvalidInput, match=message):
        kind(**settings)
