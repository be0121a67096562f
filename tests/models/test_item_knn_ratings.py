"""Item-based neighbourhoods of ratings, by hand and against the oracle."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import naive_neighbours as naive
from tests.models.rated_rows import dense, histories, random_rows, rated, rows_of

from nearline.errors import Damaged, InvalidInput, NotTrained
from nearline.models.neighbours.item_knn_ratings import ItemKnnRatings, ItemKnnRatingsConfig
from nearline.models.neighbours.rating_neighbours import MEASURES, PREDICTIONS

N_ITEMS = 8
ROWS = random_rows(14, N_ITEMS, seed=2)


def plain(**changes: Any) -> ItemKnnRatings:
    simple: dict[str, Any] = {"measure": "cosine", "prediction": "average", "shrinkage": 0.0}
    return ItemKnnRatings(ItemKnnRatingsConfig(**(simple | changes)))


def test_weighted_average_by_hand() -> None:
    # Columns 0 = (4, 2), 1 = (2, 4), 2 = (4, -): cosines s01 = 16/20, s02 = 1, s12 = 1.
    data = rated([[(0, 4.0), (1, 2.0), (2, 4.0)], [(0, 2.0), (1, 4.0)]], 3)
    model = plain(neighbours=1).fit(data)
    scores = model.score_many(histories([[(0, 4.0), (1, 2.0)]]))
    # Item 2: both neighbours have cosine 1, and the tie goes to item 0.
    assert scores[0, 2] == pytest.approx(4.0)
    every = plain(neighbours=None).fit(data).score_many(histories([[(0, 4.0), (1, 2.0)]]))
    assert every[0, 2] == pytest.approx(3.0)
    assert model.similar(np.array([0]), 3).items.tolist() == [[2, 1, -1]]
    assert model.similar(np.array([0]), 3).scores == pytest.approx(np.array([[1.0, 0.8, 0.0]]))


def test_without_neighbours_the_prediction_is_the_baseline() -> None:
    # Mean 3; one sweep: b_0 = (4 + 4 - 6) / (10 + 2), b_1 = -b_0.
    # The user of a single 4 has the bias (4 - 3 - b_0) / (15 + 1).
    data = dense([[4.0, 2.0], [4.0, 2.0]])
    model = plain(threshold=1.0, sweeps=1).fit(data)
    item, user = 2 / 12, (1 - 2 / 12) / 16
    expected = [[3 + item, 3 - item], [3 + item + user, 3 - item + user]]
    assert model.score_many(histories([[], [(0, 4.0)]])) == pytest.approx(np.array(expected))


@settings(max_examples=40, deadline=None)
@given(
    rows=rows_of(4),
    measure=st.sampled_from(MEASURES),
    prediction=st.sampled_from(PREDICTIONS),
    shrinkage=st.sampled_from([0.0, 2.0]),
)
def test_scores_equal_the_definition(
    rows: list[list[tuple[int, float]]], measure: str, prediction: str, shrinkage: float
) -> None:
    # A threshold well above zero: rounding decides what lies at zero.
    same: dict[str, Any] = {
        "measure": measure,
        "prediction": prediction,
        "shrinkage": shrinkage,
        "threshold": 0.01,
    }
    model = plain(**same, neighbours=None).fit(rated(rows, 4))
    expected = naive.predictions([dict(row) for row in rows], 4, by_user=False, k=None, **same)
    assert model.score_many(histories(rows)) == pytest.approx(expected, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_the_k_nearest_that_the_user_rated(measure: str, prediction: str) -> None:
    # Ratings without ties, so that the k nearest are the same everywhere.
    rng = np.random.default_rng(0)
    rows = [[(i, float(np.float32(r + rng.uniform(-0.4, 0.4)))) for i, r in row] for row in ROWS]
    same: dict[str, Any] = {"measure": measure, "prediction": prediction, "shrinkage": 3.0}
    model = plain(**same, neighbours=2).fit(rated(rows, N_ITEMS))
    expected = naive.predictions(
        [dict(row) for row in rows], N_ITEMS, by_user=False, k=2, threshold=0.0, **same
    )
    users, items = (grid.ravel().astype(np.int32) for grid in np.mgrid[: len(rows), :N_ITEMS])
    found = model.predict(users, items)
    assert found == pytest.approx(np.clip(expected, *model.bounds).ravel(), abs=1e-5)
    shuffled = np.random.default_rng(1).permutation(len(users))
    assert np.array_equal(model.predict(users[shuffled], items[shuffled]), found[shuffled])


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_parts_sum_to_the_score(prediction: str) -> None:
    model = plain(prediction=prediction).fit(rated(ROWS, N_ITEMS))
    history = histories([[(1, 2.0), (-1, 3.0), (0, 5.0), (1, 4.0)]])
    scores = model.score_many(history)[0]
    for item in range(N_ITEMS):
        parts = model.explain(history, item)
        assert sum(part.amount for part in parts) == pytest.approx(float(scores[item]), abs=1e-5)
        assert {part.source for part in parts} <= {-1, 2, 3}
    assert model.explain(history, N_ITEMS) == []
    with pytest.raises(InvalidInput, match="takes one"):
        model.explain(histories([[], []]), 0)


def test_invalid_input_is_rejected() -> None:
    with pytest.raises(InvalidInput, match=r"ItemKnnRatingsConfig\.measure"):
        plain(measure="euclid")
    with pytest.raises(InvalidInput, match=r"ItemKnnRatingsConfig\.kept"):
        plain(kept=0)
    with pytest.raises(InvalidInput, match="no finite rating"):
        plain().fit(rated([[(0, np.nan)]], 1))
    with pytest.raises(NotTrained):
        plain().predict(np.array([0]), np.array([0]))
    model = plain().fit(rated(ROWS, N_ITEMS))
    with pytest.raises(InvalidInput, match="not finite"):
        model.score_many(histories([[(0, np.inf)]]))
    with pytest.raises(InvalidInput, match="users holds the index 99"):
        model.predict(np.array([99]), np.array([0]))
    with pytest.raises(Damaged, match="item_biases"):
        ItemKnnRatings.restore(model.config, {})


def test_one_rating_and_equal_ratings() -> None:
    for rows in ([[(0, 3.0)]], [[(0, 3.0), (1, 3.0)], [(1, 3.0)]]):
        for prediction in PREDICTIONS:
            for measure in MEASURES:
                model = plain(prediction=prediction, measure=measure).fit(rated(rows, 2))
                assert model.score_many(histories([*rows, []])) == pytest.approx(3.0)
