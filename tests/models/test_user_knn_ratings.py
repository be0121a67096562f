"""User-based neighbourhoods of ratings, by hand and against the oracle."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import naive_neighbours as naive
from tests.models.rated_rows import dense, histories, random_rows, rated, rows_of

from nearline.errors import Damaged, InvalidInput
from nearline.models.neighbours.rating_neighbours import MEASURES, PREDICTIONS
from nearline.models.neighbours.user_knn_ratings import UserKnnRatings, UserKnnRatingsConfig

N_ITEMS = 8
ROWS = random_rows(14, N_ITEMS, seed=2)


def plain(**changes: Any) -> UserKnnRatings:
    simple: dict[str, Any] = {"measure": "cosine", "prediction": "average", "shrinkage": 0.0}
    return UserKnnRatings(UserKnnRatingsConfig(**(simple | changes)))


def test_the_threshold_separates_pearson_from_the_cosine() -> None:
    # u1 = (4, 5, 2) and u2 = (3, 4, 5): Pearson -0.6547, cosine 42 / sqrt(45 * 50) = 0.8854.
    data, first = dense([[3.0, 4.0, 5.0]]), histories([[(0, 4.0), (1, 5.0), (2, 2.0)]])
    assert plain(measure="pearson", threshold=0.7).fit(data).neighbours(first).items.size == 0
    near = plain(measure="cosine", threshold=0.7).fit(data).neighbours(first)
    assert near.items.tolist() == [0]
    assert near.weights == pytest.approx([42 / np.sqrt(45 * 50)])


def test_weighted_average_and_mean_centred_by_hand() -> None:
    # Cosines over common items with (0: 2, 1: 4): 16/20 with user 0, 1 with user 1.
    data = rated([[(0, 4.0), (1, 2.0), (2, 6.0)], [(0, 1.0), (1, 2.0), (2, 3.0)]], 3)
    asked = histories([[(0, 2.0), (1, 4.0)]])
    average = plain().fit(data).score_many(asked)
    assert average[0, 2] == pytest.approx((0.8 * 6 + 1.0 * 3) / 1.8)
    # Means 3 of the history, 4 and 2 of the neighbours.
    centred = plain(prediction="mean").fit(data).score_many(asked)
    assert centred[0, 2] == pytest.approx(3 + (0.8 * 2 + 1.0 * 1) / 1.8)
    nearest = plain(neighbours=1).fit(data).score_many(asked)
    assert nearest[0, 2] == pytest.approx(3.0)


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
    expected = naive.predictions([dict(row) for row in rows], 4, by_user=True, k=None, **same)
    assert model.score_many(histories(rows)) == pytest.approx(expected, rel=1e-5, abs=1e-5)


@pytest.mark.parametrize("measure", MEASURES)
@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_the_k_nearest_who_rated_the_item(measure: str, prediction: str) -> None:
    rng = np.random.default_rng(0)
    rows = [[(i, float(np.float32(r + rng.uniform(-0.4, 0.4)))) for i, r in row] for row in ROWS]
    same: dict[str, Any] = {"measure": measure, "prediction": prediction, "shrinkage": 3.0}
    model = plain(**same, neighbours=2).fit(rated(rows, N_ITEMS))
    expected = naive.predictions(
        [dict(row) for row in rows], N_ITEMS, by_user=True, k=2, threshold=0.0, **same
    )
    users, items = (grid.ravel().astype(np.int32) for grid in np.mgrid[: len(rows), :N_ITEMS])
    found = model.predict(users, items)
    assert found == pytest.approx(np.clip(expected, *model.bounds).ravel(), abs=1e-5)


def test_a_new_rating_counts_at_once_and_replaces_the_old_one() -> None:
    model = plain().fit(rated(ROWS, N_ITEMS))
    changed = model.score_many(histories([[(0, 5.0), (1, 1.0), (0, 2.0), (-1, 9.0)]]))
    assert np.array_equal(changed, model.score_many(histories([[(1, 1.0), (0, 2.0)]])))


def test_similar_items_over_the_users_who_rated_both() -> None:
    model = plain().fit(rated(ROWS, N_ITEMS))
    found = model.similar(np.array([3, 0]), 2)
    columns = naive.columns([dict(row) for row in ROWS], N_ITEMS)
    for item, scores in zip((3, 0), found.scores, strict=True):
        near = {
            other: naive.rating_similarity(columns[item], columns[other], False, 0.0)
            for other in range(N_ITEMS)
            if other != item
        }
        assert scores == pytest.approx([s for _, s in naive.nearest(near, 2, 0.0)])


def test_invalid_input_is_rejected() -> None:
    with pytest.raises(InvalidInput, match=r"UserKnnRatingsConfig\.prediction"):
        plain(prediction="median")
    model = plain().fit(rated(ROWS, N_ITEMS))
    with pytest.raises(InvalidInput, match="not finite"):
        model.neighbours(histories([[(0, np.nan)]]))
    with pytest.raises(Damaged, match="item_biases"):
        UserKnnRatings.restore(model.config, {})
