"""User-based neighbourhoods of events, by hand and against the oracle."""

import math

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tests import naive_neighbours as naive
from tests.models.synthetic import shop
from tests.models.test_item_knn import N_ITEMS, ROWS, events

from nearline.data.dataset import Histories
from nearline.errors import Damaged, InvalidInput
from nearline.models.neighbours.user_knn import UserKnn, UserKnnConfig


def test_cosine_by_hand() -> None:
    # Cosines of {0, 1} with the users: 1/2, 2/sqrt(6), 0.
    model = UserKnn().fit(events([[0, 2], [0, 1, 3], [4]], 5))
    history = Histories.from_rows([[1, 0, 1]])
    near = model.neighbours(history)
    assert near.items.tolist() == [1, 0]
    first, second = 2 / math.sqrt(6), 0.5
    assert near.weights == pytest.approx([first, second])
    assert model.score_many(history) == pytest.approx(
        np.array([[first + second, first, second, first, 0.0]])
    )
    assert model.recommend_from(history, 5).items.tolist() == [[3, 2, -1, -1, -1]]


def test_nearest_or_threshold() -> None:
    data, history = events([[0, 2], [0, 1, 3], [4]], 5), Histories.from_rows([[0, 1]])
    for changes in ({"neighbours": 1}, {"neighbours": None, "threshold": 0.7}):
        model = UserKnn(UserKnnConfig(**changes)).fit(data)
        assert model.neighbours(history).items.tolist() == [1]


@settings(max_examples=40, deadline=None)
@given(
    rows=ROWS,
    history=st.lists(st.integers(0, N_ITEMS - 1), max_size=5),
    measure=st.sampled_from(["cosine", "tfidf"]),
)
@example(rows=[[], [0], [0]], history=[0], measure="tfidf")  # a weight of ln(3 / 3)
def test_scores_equal_the_definition(
    rows: list[list[int]], history: list[int], measure: str
) -> None:
    config = UserKnnConfig(measure=measure, shrinkage=1.5, neighbours=None)
    model = UserKnn(config).fit(events(rows))
    n = len(rows)
    idf = [
        1.0
        if measure == "cosine"
        else max(0.0, math.log(n / (1 + sum(item in row for row in rows))))
        for item in range(N_ITEMS)
    ]
    weighted = [{item: idf[item] for item in row} for row in (*rows, history)]
    expected = np.zeros(N_ITEMS)
    for row, weights in zip(rows, weighted[:n], strict=True):
        similarity = naive.set_similarity(weighted[n], weights, measure, 1.5)
        expected[list(set(row))] += similarity
    found = model.score_many(Histories.from_rows([history]))
    assert found == pytest.approx(expected[None], rel=1e-5, abs=1e-9)


def test_bm25_by_hand() -> None:
    # Items 0 and 1 have two users of four: ln(4/3). Mean length 2: saturation 2.2 / 2.2 = 1.
    model = UserKnn(UserKnnConfig(measure="bm25")).fit(events([[0, 1], [0, 2], [1, 3], [4, 5]]))
    near = model.neighbours(Histories.from_rows([[0, 1]]))
    assert near.items.tolist() == [0, 1, 2]
    idf = math.log(4 / 3) ** 2
    assert near.weights == pytest.approx([2 * idf, idf, idf])


@pytest.mark.parametrize("measure", ["cosine", "tfidf", "bm25"])
def test_parts_sum_to_the_score(measure: str) -> None:
    data, _ = shop()
    model = UserKnn(UserKnnConfig(measure=measure, shrinkage=2.0)).fit(data)
    history = data.histories.select(np.array([7]))
    item = int(model.recommend_from(history, 1).items[0, 0])
    parts = model.explain(history, item)
    assert sum(part.amount for part in parts) == pytest.approx(
        float(model.score_many(history)[0, item]), rel=1e-6
    )
    assert len(parts) > 1
    with pytest.raises(InvalidInput, match="takes one"):
        model.explain(data.histories, item)


def test_degenerate_data() -> None:
    empty = UserKnn().fit(events([[]]))
    assert (empty.score_many(Histories.from_rows([[0]])) == 0).all()
    data = events([[0, 1]])
    data.histories.weights[0] = np.inf
    with pytest.raises(InvalidInput, match="weight inf"):
        UserKnn().fit(data)
    with pytest.raises(InvalidInput, match=r"UserKnnConfig\.neighbours"):
        UserKnnConfig(neighbours=-1)
    with pytest.raises(Damaged, match="items"):
        UserKnn.restore(UserKnnConfig(), {"indptr": np.zeros(1, dtype=np.int64)})
