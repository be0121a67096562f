"""Item-based neighbourhoods of events, by hand and against the oracle."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests import naive_neighbours as naive
from tests.models.synthetic import shop

from nearline.data.dataset import Dataset, Histories
from nearline.errors import Damaged, InvalidInput
from nearline.models.neighbours.item_knn import ItemKnn, ItemKnnConfig

N_ITEMS = 6
ROWS = st.lists(st.lists(st.integers(0, N_ITEMS - 1), max_size=6), min_size=1, max_size=7)


def events(rows: list[list[int]], n_items: int = N_ITEMS) -> Dataset:
    histories = Histories.from_rows(rows)
    return Dataset(
        user_ids=[f"u{user}" for user in range(len(rows))],
        item_ids=[f"i{item}" for item in range(n_items)],
        histories=histories,
        values=np.full(len(histories.items), np.nan, dtype=np.float32),
    )


def plain(**changes: object) -> ItemKnn:
    return ItemKnn(ItemKnnConfig(**({"shrinkage": 0.0} | changes)))  # type: ignore[arg-type]


def test_cosine_by_hand() -> None:
    # Item 0 has users 0 and 1, item 1 users 0, 1 and 2, item 2 user 2.
    data = events([[0, 1, 0], [1, 0], [1, 2]], 4)
    model = plain().fit(data)
    scores = model.score_many(Histories.from_rows([[0], [1], [0, 2, 0], [3, -1]]))
    near, far = 2 / math.sqrt(6), 1 / math.sqrt(3)
    assert scores == pytest.approx(
        np.array([[0, near, 0, 0], [near, 0, far, 0], [0, near + far, 0, 0], [0, 0, 0, 0]])
    )
    assert model.similar(np.array([1]), 3).items.tolist() == [[0, 2, -1]]


def test_nearest_or_threshold() -> None:
    data = events([[0, 1], [1, 0], [1, 2]], 3)
    assert plain(neighbours=1).fit(data).similar(np.array([1]), 3).items.tolist() == [[0, -1, -1]]
    assert plain(threshold=0.6, neighbours=None).fit(data).similar(
        np.array([1, 2]), 1
    ).items.tolist() == [[0], [-1]]


def test_similarities_with_few_common_users_are_shrunk() -> None:
    data = events([[0, 1], [1, 0], [1, 2]], 3)
    half = plain(shrinkage=2.0).fit(data).similar(np.array([0]), 1)
    assert half.scores == pytest.approx(np.array([[2 / 4 * 2 / math.sqrt(6)]]))


def test_dislikes_do_not_count() -> None:
    data = events([[0, 1], [1, 0], [1, 2]], 3)
    data.histories.weights[:2] = [1.0, -1.0]
    found = plain().fit(data).similar(np.array([0]), 1)
    assert found.scores == pytest.approx(np.array([[1 / math.sqrt(2 * 2)]]))


@settings(max_examples=40, deadline=None)
@given(rows=ROWS, measure=st.sampled_from(["cosine", "tfidf", "bm25"]))
def test_similarities_equal_the_definition(rows: list[list[int]], measure: str) -> None:
    model = plain(measure=measure, shrinkage=1.5, neighbours=None).fit(events(rows))
    columns = [[user for user, row in enumerate(rows) if item in row] for item in range(N_ITEMS)]
    if not any(columns):
        return
    weights = naive.document_weights(columns, measure, 1.2, 0.75)
    expected = [
        [
            0.0 if i == j else naive.set_similarity(one, two, measure, 1.5)
            for j, two in enumerate(weights)
        ]
        for i, one in enumerate(weights)
    ]
    single = Histories.from_rows([[item] for item in range(N_ITEMS)])
    assert model.score_many(single) == pytest.approx(np.array(expected), rel=1e-5, abs=1e-9)


def test_parts_sum_to_the_score() -> None:
    data, _ = shop()
    model = ItemKnn().fit(data)
    history = data.histories.select(np.array([7]))
    item = int(model.recommend_from(history, 1).items[0, 0])
    parts = model.explain(history, item)
    assert sum(part.amount for part in parts) == pytest.approx(
        float(model.score_many(history)[0, item]), abs=1e-6
    )
    assert {part.relation for part in parts} == {"item_knn"}
    assert len(parts) > 1


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"measure": "euclid"}, "measure"),
        ({"neighbours": 0}, "neighbours"),
        ({"threshold": -0.1}, "threshold"),
        ({"shrinkage": math.nan}, "shrinkage"),
        ({"b": 1.5}, "b"),
    ],
)
def test_invalid_settings_are_rejected(changes: dict[str, object], field: str) -> None:
    with pytest.raises(InvalidInput, match=f"ItemKnnConfig.{field}"):
        plain(**changes)


def test_degenerate_data() -> None:
    assert (plain().fit(events([[]])).score_many(Histories.from_rows([[0]])) == 0).all()
    # One user only, and a user with everything: nothing to divide by zero.
    for measure in ("cosine", "tfidf", "bm25"):
        found = plain(measure=measure).fit(events([list(range(N_ITEMS))]))
        assert np.isfinite(found.score_many(Histories.from_rows([[0]]))).all()
    data = events([[0, 1]])
    data.histories.weights[0] = np.nan
    with pytest.raises(InvalidInput, match="weight nan"):
        plain().fit(data)
    with pytest.raises(Damaged, match="items"):
        ItemKnn.restore(ItemKnnConfig(), {"indptr": np.zeros(1, dtype=np.int64)})
