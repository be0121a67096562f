import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import naive_factors as naive
from tests.models.rated_rows import dense, histories, random_rows, rated, rows_of

from nearline.errors import InvalidInput, NotTrained
from nearline.models.factors.als import SPREAD, Als, AlsConfig

ROWS = random_rows(12, 9, seed=1)


def oracle(rows: list[list[tuple[int, float]]], n_items: int, config: AlsConfig) -> np.ndarray:
    start = np.random.default_rng(0).normal(0.0, SPREAD, (n_items, config.factors))
    return naive.als(
        rows,
        start,
        sweeps=config.sweeps,
        l2=config.l2,
        bias_l2=config.bias_l2,
        weighting=config.weighting,
    )


@settings(max_examples=25, deadline=None)
@given(rows=rows_of(4), weighting=st.sampled_from([0.0, 0.5, 1.0]))
def test_scores_equal_the_dense_solution(
    rows: list[list[tuple[int, float]]], weighting: float
) -> None:
    config = AlsConfig(factors=2, sweeps=3, l2=0.3, bias_l2=0.2, weighting=weighting)
    model = Als(config).fit(rated(rows, 4))
    assert model.score_many(histories(rows)) == pytest.approx(oracle(rows, 4, config), abs=1e-4)


def test_predictions_equal_the_dense_solution_and_stay_on_the_scale() -> None:
    config = AlsConfig(factors=3, sweeps=8, l2=0.05, bias_l2=0.05)
    model = Als(config).fit(rated(ROWS, 9))
    users, items = (grid.ravel() for grid in np.mgrid[:12, :9])
    found = model.predict(users.astype(np.int32), items.astype(np.int32))
    expected = np.clip(oracle(ROWS, 9, config), *model.bounds).ravel()
    assert found == pytest.approx(expected, abs=1e-4)
    assert found.dtype == np.float32
    assert model.bounds == (2.0, 4.0)


def test_biases_alone_by_hand() -> None:
    # Ratings 1 and 5 of one item: mean 3, and a huge penalty leaves only the user's bias to move.
    model = Als(AlsConfig(factors=1, l2=1e9, bias_l2=1.0, weighting=1.0, sweeps=1))
    model.fit(dense([[1.0], [5.0]]))
    # The item's bias is 0 by symmetry; b_u = (r - 3) / (1 + 1).
    assert model.score_many(histories([[(0, 1.0)], [(0, 5.0)], []])) == pytest.approx(
        np.array([[2.0], [4.0], [3.0]]), abs=1e-6
    )


def test_a_new_user_is_folded_in_like_a_known_one() -> None:
    model = Als().fit(rated(ROWS, 9))
    users = np.full(9, 4, dtype=np.int32)
    known = model.predict(users, np.arange(9, dtype=np.int32))
    folded = np.clip(model.score_many(histories([ROWS[4]]))[0], *model.bounds)
    assert folded == pytest.approx(known, abs=1e-6)


def test_a_new_item_is_one_solve() -> None:
    model = Als(AlsConfig(factors=2)).fit(rated(ROWS, 9))
    # Item 2, rated again by the same users as a new item, is the solution for it.
    raters = np.array([u for u, row in enumerate(ROWS) if 2 in dict(row)], dtype=np.int32)
    given = np.array([dict(ROWS[user])[2] for user in raters], dtype=np.float32)
    before = model.score_many(histories(ROWS))
    added = model.add_item(raters, given)
    assert added == 9
    assert model.n_items == 10
    after = model.score_many(histories(ROWS))
    assert after[:, :9] == pytest.approx(before)
    # The last sweep solved item 2 from users of one half-sweep before: near, not equal.
    assert after[:, 9] == pytest.approx(before[:, 2], abs=0.05)


def test_an_item_without_ratings_scores_the_user_mean() -> None:
    model = Als().fit(rated(ROWS, 11))
    added = model.add_item(np.zeros(0, dtype=np.int32), np.zeros(0, dtype=np.float32))
    scores = model.score_many(histories([[]]))[0]
    assert scores[[9, 10, added]] == pytest.approx(model.mean)


def test_parts_of_a_score_sum_to_it() -> None:
    model = Als(AlsConfig(factors=3)).fit(rated(ROWS, 9))
    history = histories([[*ROWS[0], (-1, 5.0), (ROWS[0][0][0], 1.0), (40, 2.0)]])
    for item in range(9):
        parts = model.explain(history, item)
        score = model.score(history, np.array([item], dtype=np.int32))[0]
        assert sum(part.amount for part in parts) == pytest.approx(score, abs=1e-6)
        assert [part.relation for part in parts[:2]] == ["mean", "item_bias"]
        assert [part.source for part in parts[2:]] == [*range(len(ROWS[0])), len(ROWS[0]) + 1]
    assert len(model.explain(histories([[]]), 0)) == 2
    assert model.explain(history, 99) == []
    with pytest.raises(InvalidInput, match="takes one"):
        model.explain(histories([[], []]), 0)


def test_constant_ratings_are_predicted() -> None:
    model = Als().fit(dense([[4.0, 4.0], [4.0, 4.0]]))
    pair = np.zeros(1, dtype=np.int32)
    assert model.predict(pair, pair)[0] == 4.0
    assert (model.similar(pair, 3).items == -1).all()


def test_invalid_requests_are_rejected() -> None:
    with pytest.raises(InvalidInput, match="no finite rating"):
        Als().fit(rated([[(0, float("nan"))]], 2))
    model = Als().fit(rated(ROWS, 9))
    one, ten = np.array([1], dtype=np.int32), np.array([99], dtype=np.int32)
    with pytest.raises(InvalidInput, match="users holds the index 99; known are 0 to 11"):
        model.predict(ten, one)
    with pytest.raises(InvalidInput, match="items holds the index 99; known are 0 to 8"):
        model.predict(one, ten)
    with pytest.raises(InvalidInput, match="a rating is not finite"):
        model.score_many(histories([[(0, float("inf"))]]))
    with pytest.raises(InvalidInput, match="1 users need 1 finite ratings"):
        model.add_item(one, np.array([np.nan], dtype=np.float32))
    restored = Als.restore(model.config, model.arrays())
    with pytest.raises(NotTrained, match="knows no users"):
        restored.predict(one, one)
    with pytest.raises(NotTrained, match="knows no users"):
        restored.add_item(one, np.ones(1, dtype=np.float32))


@pytest.mark.parametrize(
    ("field", "value"),
    [("factors", 0), ("sweeps", 0), ("l2", 0.0), ("bias_l2", -1.0), ("weighting", 1.5)],
)
def test_settings_out_of_bounds_are_rejected(field: str, value: float) -> None:
    with pytest.raises(InvalidInput, match=rf"AlsConfig\.{field} is"):
        AlsConfig(**{field: value})  # type: ignore[arg-type]
