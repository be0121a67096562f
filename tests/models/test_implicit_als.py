"""Implicit ALS against dense matrices, and by hand."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import naive_implicit
from tests.models.synthetic import N_ITEMS, recall, shop

from nearline.data.dataset import Dataset, Histories
from nearline.errors import Damaged, InvalidInput, NotTrained
from nearline.models.factors.implicit_als import ImplicitAls
from nearline.models.factors.implicit_als_config import ImplicitAlsConfig

SHOP, TARGETS = shop()


def dataset(histories: Histories, n_items: int) -> Dataset:
    n = len(histories)
    return Dataset(
        user_ids=[f"u{u}" for u in range(n)],
        item_ids=[f"i{i}" for i in range(n_items)],
        histories=histories,
        values=np.full(len(histories.items), np.nan, dtype=np.float32),
    )


def weighted(rows: list[list[int]], weights: list[float]) -> Histories:
    plain = Histories.from_rows(rows)
    return Histories(plain.indptr, plain.items, np.array(weights, dtype=np.float32), plain.times)


def dense(histories: Histories, n_items: int) -> np.ndarray:
    weights = np.zeros((len(histories), n_items))
    users = np.repeat(np.arange(len(histories)), np.diff(histories.indptr))
    np.add.at(weights, (users, histories.items), histories.weights)
    return weights


def start(n_items: int, f: int, seed: int) -> np.ndarray:
    """Item factors from which a fit starts."""
    drawn = np.random.default_rng(seed).standard_normal((n_items, f), dtype=np.float32)
    return drawn / np.float32(np.sqrt(f))


@pytest.mark.parametrize("solver", ["cg", "cholesky"])
def test_factors_equal_dense_als(solver: str) -> None:
    config = ImplicitAlsConfig(
        factors=6, regularization=2.0, alpha=4.0, iterations=4, solver=solver, cg_steps=20
    )
    model = ImplicitAls(config).fit(SHOP, seed=5)
    weights = dense(SHOP.histories, N_ITEMS)
    x, y = naive_implicit.als(weights, start(N_ITEMS, 6, 5), sweeps=4, alpha=4.0, l2=2.0)
    assert model.user_factors == pytest.approx(x, abs=1e-4)
    assert model.item_factors == pytest.approx(y, abs=1e-4)
    expected = naive_implicit.loss(weights, x, y, alpha=4.0, l2=2.0)
    assert model.loss() == pytest.approx(expected, rel=1e-4)


def test_two_steps_per_sweep_reach_the_loss_of_exact_solutions() -> None:
    losses = [
        ImplicitAls(ImplicitAlsConfig(factors=8, solver=solver)).fit(SHOP, seed=0).loss()
        for solver in ("cg", "cholesky")
    ]
    assert losses[0] == pytest.approx(losses[1], rel=5e-3)


def test_every_sweep_lowers_the_loss() -> None:
    losses = [
        ImplicitAls(ImplicitAlsConfig(factors=4, iterations=n)).fit(SHOP, seed=1).loss()
        for n in (1, 2, 4, 8)
    ]
    assert losses == sorted(losses, reverse=True)


def test_one_user_and_item_by_hand() -> None:
    # With x given, y = c x / (c x^2 + l2), and the same for x given y, both with c = 1 + 2 * 3.
    config = ImplicitAlsConfig(factors=1, regularization=0.5, alpha=2.0, iterations=1)
    data = dataset(weighted([[0]], [3.0]), 1)
    model = ImplicitAls(config).fit(data, seed=0)
    y = float(start(1, 1, 0)[0, 0])
    x = 7 * y / (7 * y**2 + 0.5)
    y = 7 * x / (7 * x**2 + 0.5)
    assert model.item_factors[0, 0] == pytest.approx(y, rel=1e-5)
    folded = 7 * y / (7 * y**2 + 0.5)
    assert model.score_many(data.histories)[0, 0] == pytest.approx(folded * y, rel=1e-5)
    loss = (7 * (1 - x * y) ** 2 + 0.5 * (x**2 + y**2)) / 7
    assert model.loss() == pytest.approx(loss, rel=1e-5)


@settings(deadline=None, max_examples=30)
@given(
    st.lists(st.integers(-1, N_ITEMS + 3), max_size=15),
    st.lists(st.sampled_from([1.0, 0.5, 2.0, -1.0, 0.0]), min_size=15, max_size=15),
)
def test_a_fold_in_is_the_dense_solution_and_its_parts_sum_to_the_score(
    items: list[int], weights: list[float]
) -> None:
    history = weighted([items], weights[: len(items)])
    known = [(i, w) for i, w in zip(items, weights, strict=False) if 0 <= i < N_ITEMS]
    row = np.zeros((1, N_ITEMS))
    for item, weight in known:
        row[0, item] += weight
    y = FITTED.item_factors.astype(np.float64)
    x = naive_implicit.solve(row, y, alpha=3.0, l2=10.0)
    scores = FITTED.score_many(history)[0]
    assert scores == pytest.approx((x @ y.T)[0], abs=1e-5)
    asked = np.array([3, -1, N_ITEMS, 3], dtype=np.int32)
    assert FITTED.score(history, asked) == pytest.approx([scores[3], 0, 0, scores[3]], abs=1e-6)
    for item in (3, 40):
        parts = FITTED.explain(history, item)
        assert sum(part.amount for part in parts) == pytest.approx(scores[item], abs=1e-6)
        assert all(items[part.source] in dict(known) for part in parts)


FITTED = ImplicitAls(ImplicitAlsConfig(factors=16)).fit(SHOP, seed=2)


def test_repeated_events_count_as_one_heavier_event() -> None:
    repeated = weighted([[4, 7, 4]], [1.0, 1.0, 2.0])
    merged = weighted([[4, 7]], [3.0, 1.0])
    assert FITTED.score_many(repeated) == pytest.approx(FITTED.score_many(merged), abs=1e-6)
    parts = {part.source: part.amount for part in FITTED.explain(repeated, 11)}
    assert parts[2] == pytest.approx(2 * parts[0])


def test_fold_in_reproduces_the_trained_factors() -> None:
    config = ImplicitAlsConfig(factors=4, regularization=1.0, alpha=2.0, iterations=60)
    model = ImplicitAls(config).fit(SHOP, seed=0)
    assert model.user_factors is not None
    fitted = model.user_factors @ model.item_factors.T
    # After many sweeps both sides stand still.
    assert np.abs(model.score_many(SHOP.histories) - fitted).mean() < 0.01


def test_a_dislike_lowers_the_scores_of_similar_items() -> None:
    liked, disliked = weighted([[0, 4]], [1.0, 1.0]), weighted([[0, 4]], [1.0, -1.0])
    like = FITTED.score(liked, np.array([4], dtype=np.int32))[0]
    dislike = FITTED.score(disliked, np.array([4], dtype=np.int32))[0]
    assert dislike < like
    only = weighted([[0]], [-1.0])
    assert (FITTED.recommend_from(only, 5).items == -1).all()


def test_a_user_without_known_items_gets_an_empty_list() -> None:
    found = FITTED.recommend_from(Histories.from_rows([[], [-1, N_ITEMS]]), 4)
    assert (found.items == -1).all()
    assert not found.scores.any()


def test_lists_do_not_depend_on_the_block_size(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = FITTED.recommend_from(SHOP.histories, 5)
    monkeypatch.setattr("nearline.models.factors.implicit_als.BLOCK", 7)
    parts = FITTED.recommend_from(SHOP.histories, 5)
    assert np.array_equal(whole.items, parts.items)
    assert np.array_equal(whole.scores, parts.scores)


def test_similar_items_are_those_of_the_same_group() -> None:
    found = FITTED.similar(np.arange(12, dtype=np.int32), 3)
    same = found.items % 4 == np.arange(12)[:, None] % 4
    assert same.mean() > 0.6
    assert (FITTED.similar(np.array([-1, N_ITEMS], dtype=np.int32), 3).items == -1).all()


def test_an_item_without_events_has_no_factor() -> None:
    model = ImplicitAls().fit(dataset(Histories.from_rows([[0, 1], [1]]), 3))
    assert not model.item_factors[2].any()
    assert (model.similar(np.array([2], dtype=np.int32), 2).items == -1).all()


def test_update_solves_a_new_item_over_its_users() -> None:
    model = ImplicitAls(ImplicitAlsConfig(factors=8)).fit(SHOP, seed=2)
    before = model.item_factors.copy()
    # Users 0, 4, 8, ... keep to group 0: a new item that twenty of them take.
    fans = np.arange(0, 80, 4)
    known = SHOP.histories.select(fans)
    rows = [[*known.row(user).tolist(), N_ITEMS + 1] for user in range(len(fans))]
    x = naive_implicit.solve(dense(known, N_ITEMS), before.astype(np.float64), alpha=3.0, l2=10.0)
    assert model.user_factors is not None
    everyone = model.user_factors.astype(np.float64)
    left = everyone.T @ everyone + 3.0 * x.T @ x + 10.0 * np.eye(8)
    expected = np.linalg.solve(left, 4.0 * x.sum(axis=0))
    model.update(np.array([N_ITEMS + 1], dtype=np.int32), Histories.from_rows(rows))
    assert model.n_items == N_ITEMS + 2
    assert model.item_factors[N_ITEMS + 1] == pytest.approx(expected, abs=1e-5)
    assert np.array_equal(model.item_factors[:N_ITEMS], before)
    assert not model.item_factors[N_ITEMS].any()
    likes = model.similar(np.array([N_ITEMS + 1], dtype=np.int32), 5).items[0]
    assert (likes % 4 == 0).sum() >= 3
    model.update(np.zeros(0, dtype=np.int32), Histories.from_rows([]))
    assert model.n_items == N_ITEMS + 2
    with pytest.raises(InvalidInput, match="items holds -1"):
        model.update(np.array([-1], dtype=np.int32), Histories.from_rows([[]]))


def test_default_settings_predict_the_next_item() -> None:
    lists = ImplicitAls().fit(SHOP, seed=0).recommend_from(SHOP.histories, 10)
    assert recall(lists.items, TARGETS) > 0.5


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_weights_that_are_not_finite_are_rejected(bad: float) -> None:
    with pytest.raises(InvalidInput, match="event 1 has the weight"):
        ImplicitAls().fit(dataset(weighted([[0, 1]], [1.0, bad]), 2))
    with pytest.raises(InvalidInput, match="event 0 has the weight"):
        FITTED.score_many(weighted([[0]], [bad]))


@pytest.mark.parametrize(
    "settings",
    [
        {"factors": 0},
        {"regularization": 1e-7},
        {"alpha": 0.0},
        {"alpha": float("nan")},
        {"iterations": 0},
        {"solver": "lu"},
        {"cg_steps": 0},
    ],
)
def test_settings_out_of_bounds_are_rejected(settings: dict[str, object]) -> None:
    (field,) = settings
    with pytest.raises(InvalidInput, match=field) as caught:
        ImplicitAlsConfig(**settings)  # type: ignore[arg-type]
    assert caught.value.field == field


def test_weights_that_single_precision_cannot_solve_for_are_rejected() -> None:
    data = dataset(weighted([[0], [0, 1]], [2e6, 2e6, 1.0]), 2)
    assert np.isfinite(ImplicitAls().fit(data).loss())
    with pytest.raises(InvalidInput, match="weight 2e\\+06; times alpha=10"):
        ImplicitAls(ImplicitAlsConfig(alpha=10.0)).fit(data)


def test_factors_too_large_for_their_penalty_are_rejected() -> None:
    config = ImplicitAlsConfig(factors=2, regularization=1e-6)
    arrays: dict[str, Any] = {
        "item_factors": np.full((3, 2), 1e12, np.float32),
        "user_gram": np.eye(2),
    }
    with pytest.raises(InvalidInput, match="regularization=1e-06; raise it"):
        ImplicitAls.restore(config, arrays)


def test_data_without_users_or_items_fits() -> None:
    model = ImplicitAls(ImplicitAlsConfig(factors=2)).fit(dataset(Histories.from_rows([]), 0))
    assert model.recommend_from(Histories.from_rows([[0]]), 2).items.tolist() == [[-1, -1]]


def test_methods_that_need_users_fail_after_restore() -> None:
    restored = ImplicitAls.restore(FITTED.config, FITTED.arrays())
    assert restored.user_factors is None
    with pytest.raises(NotTrained, match="fit it"):
        restored.loss()
    with pytest.raises(InvalidInput, match="2 rows"):
        restored.explain(Histories.from_rows([[0], [1]]), 0)
    assert restored.explain(Histories.from_rows([[0]]), N_ITEMS) == []


def test_arrays_that_are_missing_or_of_another_shape_are_rejected() -> None:
    arrays = FITTED.arrays()
    with pytest.raises(Damaged, match="'user_gram'"):
        ImplicitAls.restore(FITTED.config, {"item_factors": arrays["item_factors"]})
    with pytest.raises(Damaged, match="not finite"):
        ImplicitAls.restore(FITTED.config, arrays | {"user_gram": np.full((16, 16), np.nan)})
    with pytest.raises(Damaged, match="not one for 8 factors"):
        ImplicitAls.restore(ImplicitAlsConfig(factors=8), arrays)


def test_users_without_known_items_are_ignored() -> None:
    rows = [[], [3, 7], [-1, N_ITEMS + 5], [11], []]
    found = FITTED.recommend_from(Histories.from_rows(rows), 4)
    assert (found.items[[0, 2, 4]] == -1).all()
    assert (found.scores[[0, 2, 4]] == 0).all()
    for row in (1, 3):
        one = FITTED.recommend_from(Histories.from_rows([rows[row]]), 4)
        assert np.array_equal(found.items[row], one.items[0])
        assert np.array_equal(found.scores[row], one.scores[0])
        assert not np.isin(found.items[row], rows[row]).any()


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.lists(st.tuples(st.integers(0, 5), st.sampled_from([1.0, 3.0, -1.0, -0.5])), max_size=6),
        min_size=1,
        max_size=6,
    ),
    st.sampled_from([0.001, 0.1, 10.0]),
)
def test_events_against_items_leave_everything_finite(
    rows: list[list[tuple[int, float]]], regularization: float
) -> None:
    """Users and items that nobody likes shrink to 0 over the sweeps, and stay numbers."""
    histories = weighted(
        [[item for item, _ in row] for row in rows], [weight for row in rows for _, weight in row]
    )
    config = ImplicitAlsConfig(factors=4, iterations=30, regularization=regularization)
    model = ImplicitAls(config).fit(dataset(histories, 6))
    assert np.isfinite(model.item_factors).all()
    assert np.isfinite(model.score_many(histories)).all()


def test_a_catalogue_that_is_only_disliked_scores_nothing() -> None:
    histories = weighted([[0, 1], [1, 2], [2]], [-1.0, -1.0, -1.0, -0.5, -1.0])
    model = ImplicitAls(ImplicitAlsConfig(factors=4, iterations=30)).fit(dataset(histories, 3))
    assert np.abs(model.score_many(histories)).max() < 1e-6
